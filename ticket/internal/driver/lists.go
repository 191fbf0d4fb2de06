package driver

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// Ranks of statuses, as columns: the engine's own are 1 to 4.
const (
	OpenRank  = 1
	OtherRank = 5 // of a status that is not the engine's; the word is in the document
)

// StatusRank is the column for a status. Lists join what they find by rank, so
// that each part is a range of an index.
func StatusRank(s ticket.Status) int64 {
	switch s {
	case ticket.Open:
		return OpenRank
	case ticket.Pending:
		return 2
	case ticket.Solved:
		return 3
	case ticket.Closed:
		return 4
	}
	return OtherRank
}

// Ranks returns the ranks of statuses, each once, and those statuses that need
// to be compared as words.
func Ranks(statuses []ticket.Status) (ranks []int64, others []string) {
	for _, s := range statuses {
		rank := StatusRank(s)
		if !slices.Contains(ranks, rank) {
			ranks = append(ranks, rank)
		}
		if rank == OtherRank {
			others = append(others, string(s))
		}
	}
	return ranks, others
}

// AllRanks are those of all tickets.
func AllRanks() []int64 { return []int64{1, 2, 3, 4, OtherRank} }

// Waiter is what waits since a time, in microseconds.
func Waiter(id string, since int64, isTicket bool) ticket.Waiter {
	w := ticket.Waiter{Since: time.UnixMicro(since).UTC()}
	if isTicket {
		w.Ticket = ticket.TicketID(id)
	} else {
		w.Conversation = ticket.ConversationID(id)
	}
	return w
}
