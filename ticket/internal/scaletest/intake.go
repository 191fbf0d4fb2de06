package scaletest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// Intake is what the arrival of a first mail writes: two keys, contact,
// conversation, ticket, a message of 2 KB, its raw body of 2 KB, an item, work,
// three events and a decision.
func Intake(n int64) *ticket.Changes {
	id := func(kind int) string { return fmt.Sprintf("019ca000-%04x-7000-8000-%012x", kind, n) }
	contact, conversation, tick := ticket.ContactID(id(1)), ticket.ConversationID(id(2)), ticket.TicketID(id(3))
	message, item, work, body := ticket.MessageID(id(4)), ticket.ItemID(id(5)), ticket.WorkID(id(6)), ticket.BodyID(id(7))
	text := fmt.Sprintf("Order %d: ", n) + strings.Repeat("the parcel has not arrived yet, please help. ", 44)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
	return &ticket.Changes{
		At: at,
		Claims: []ticket.KeyClaim{
			{Key: ticket.NewKey("item", id(5)), Ref: ticket.Ref{Kind: ticket.RefItem, ID: string(item)}},
			{Key: ticket.NewKey("message", id(4)), Ref: ticket.Ref{Kind: ticket.RefMessage, ID: string(message)}},
		},
		Contacts: []*ticket.Contact{{ID: contact, Name: "Lan", Identities: []ticket.Identity{{Scheme: "mailto", Address: "lan@example.com"}}, CreatedAt: at, UpdatedAt: at}},
		Conversations: []*ticket.Conversation{{ID: conversation, Channel: "support", Contact: contact, Subject: "Order", Ticket: tick,
			References: []string{"1@example.com"}, MessageCount: 1, CreatedAt: at, UpdatedAt: at}},
		Tickets: []*ticket.Ticket{{ID: tick, Subject: "Order", Status: ticket.Open, Priority: ticket.Normal, Channel: "support",
			Assignment: ticket.Assignment{Queue: "support", WaitingSince: at}, Conversation: conversation, Contact: contact, MessageCount: 1, CreatedAt: at, UpdatedAt: at}},
		Messages: []*ticket.Message{{ID: message, Conversation: conversation, Ticket: tick, Channel: "support", Direction: ticket.In, Contact: contact,
			Subject: "Order", Text: text, Search: ticket.Fold(text), State: ticket.StateReceived, Raw: ticket.BodyRef{ID: body, Size: 2048}, CreatedAt: at, UpdatedAt: at}},
		Items:     []*ticket.Item{{ID: item, Channel: "support", Day: "2026-03-01", Disposition: ticket.DisposedMessage, Message: message, ReceivedAt: at}},
		Works:     []*ticket.Work{{ID: work, Kind: ticket.WorkAutoReply, Message: message, NotBefore: at, CreatedAt: at}},
		Bodies:    []ticket.StoredBody{{ID: body, Data: []byte(text)[:2000]}},
		Events:    []*ticket.Event{{ID: id(8), Type: ticket.EventMessageReceived, At: at, Ticket: tick}, {ID: id(9), Type: ticket.EventTicketCreated, At: at, Ticket: tick}, {ID: id(10), Type: ticket.EventQueued, At: at, Ticket: tick}},
		Decisions: []*ticket.Decision{{ID: id(11), Kind: "intake", Ticket: tick, Message: message, Outcome: "new", Steps: []ticket.Step{{Rule: "evidence", Outcome: "none"}}, At: at}},
	}
}

// turn is how many mails are committed to one store before it is the other's turn.
const turn = 100

// MeasureIntake commits first mails to both stores, in turns, from so many writers
// at once. It reports the ratio of their rates, the higher the better.
func MeasureIntake(b *testing.B, stores [2]*Filled, writers int) float64 {
	b.Helper()
	base := time.Now().UnixMilli() << 6
	var took, used [2]time.Duration
	var bytes [2]uint64
	var each [2][]time.Duration
	for range b.N {
		for s, f := range stores {
			var mu sync.Mutex
			var wg sync.WaitGroup
			allocated, cpu, start := allocatedBytes(), processorTime(), time.Now()
			for w := range writers {
				wg.Go(func() {
					for i := w; i < turn; i += writers {
						mu.Lock()
						base++
						n := base
						mu.Unlock()
						from := time.Now()
						if err := f.Commit(b.Context(), Intake(n)); err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						each[s] = append(each[s], time.Since(from))
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			took[s] += time.Since(start)
			used[s] += processorTime() - cpu
			bytes[s] += allocatedBytes() - allocated
		}
	}
	if b.Failed() {
		b.FailNow()
	}
	commits := float64(b.N * turn)
	for s, name := range []string{"small", "large"} {
		slices.Sort(each[s])
		b.ReportMetric(commits/took[s].Seconds(), name+"/s")
		b.ReportMetric(float64(each[s][len(each[s])*99/100].Microseconds()), name+"-p99-µs")
		b.ReportMetric(float64(each[s][len(each[s])-1].Microseconds()), name+"-max-µs")
		b.ReportMetric(float64(used[s].Microseconds())/commits, name+"-cpu-µs")
		b.ReportMetric(float64(bytes[s])/commits, name+"-B")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(used[0].Seconds()/used[1].Seconds(), "cpu-ratio")
	ratio := took[0].Seconds() / took[1].Seconds()
	b.ReportMetric(ratio, "ratio")
	return ratio
}

func allocatedBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
