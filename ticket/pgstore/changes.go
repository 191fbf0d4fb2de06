package pgstore

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// row is one row of one statement.
type row struct {
	statement int
	// wave is how many rows of the same list were of the same thing before: what
	// a commit says twice about one thing is done one after the other.
	wave  int
	texts []string
	ints  []int64
	bytes [][]byte
}

// prepared is a commit in the form of its rows. Nothing of the caller's is kept.
type prepared struct {
	portal  int64
	rows    []row
	touched map[string]int // what is written, and how often
	events  int
	tickets int // new ones
	size    int // of texts and bytes
	late    bool
	claims  map[string]ticket.Key
	hint    ticket.Hint
}

func (p *prepared) add(statement, wave int, texts []string, ints []int64, bytes ...[]byte) {
	for _, t := range texts {
		p.size += len(t)
	}
	for _, b := range bytes {
		p.size += len(b)
	}
	p.late = p.late || statement >= insertTickets
	p.rows = append(p.rows, row{statement, wave, texts, ints, bytes})
}

// heldLease is what a lease is touched as, and heldBy stands between its name and
// its owner. Any number of commits of a transaction may be written under one lease.
const heldLease, heldBy = "lease", "\x1f"

// touch notes that something is written, and returns the wave.
func (p *prepared) touch(what, id string) int {
	k := what + " " + id
	n := p.touched[k]
	p.touched[k] = n + 1
	return n
}

// prepare makes the rows of c.
func prepare(portal int64, c *ticket.Changes) (*prepared, error) {
	p := &prepared{portal: portal, touched: map[string]int{}, claims: map[string]ticket.Key{}}
	for _, h := range c.Holds {
		name, owner := clean(h.Lease), clean(h.Owner)
		p.add(holdLeases, p.touch(heldLease, name+heldBy+owner), []string{name, owner}, nil)
	}
	for _, k := range c.Releases {
		p.touch("key", hex.EncodeToString(k[:]))
		p.add(releaseKeys, 0, nil, nil, append([]byte(nil), k[:]...))
	}
	claimed := map[ticket.Key]int{}
	for _, k := range c.Claims {
		name := hex.EncodeToString(k.Key[:])
		p.touch("key", name)
		p.claims[name] = k.Key
		p.add(claimKeys, claimed[k.Key], []string{clean(string(k.Ref.Kind)), clean(k.Ref.ID)}, nil, append([]byte(nil), k.Key[:]...))
		claimed[k.Key]++
	}
	for _, add := range []func(*ticket.Changes) error{p.people, p.ofTickets, p.ofMessages, p.ofItems, p.ofWorks, p.others} {
		if err := add(c); err != nil {
			return nil, err
		}
	}
	p.counts(c)
	return p, nil
}

// entity adds an entity: to the second statement with its revision if it has
// one, else to the first.
func (p *prepared) entity(insert, update int, what string, revision int64, texts []string, ints []int64) {
	wave := p.touch(what, texts[0])
	if revision == 0 {
		p.add(insert, wave, texts, ints)
		return
	}
	p.add(update, wave, texts, append(ints, revision))
}

func (p *prepared) people(c *ticket.Changes) error {
	for _, v := range c.Contacts {
		doc, err := driver.ContactDoc(v)
		if err != nil {
			return fmt.Errorf("contact %s: %w", v.ID, err)
		}
		p.entity(insertContacts, updateContacts, "contact", v.Revision, []string{clean(string(v.ID)), doc}, nil)
	}
	for _, v := range c.Conversations {
		doc, err := driver.ConversationDoc(v)
		if err != nil {
			return fmt.Errorf("conversation %s: %w", v.ID, err)
		}
		p.entity(insertConversations, updateConversations, "conversation", v.Revision,
			[]string{clean(string(v.ID)), doc, clean(string(v.Channel)), clean(string(v.Contact)), clean(string(v.Ticket)),
				clean(string(v.Queue)), clean(string(v.Assignee))},
			[]int64{since(v.WaitingSince), driver.Micros(v.UpdatedAt)})
	}
	return nil
}

func (p *prepared) ofTickets(c *ticket.Changes) error {
	for _, v := range c.Tickets {
		doc, err := driver.TicketDoc(v)
		if err != nil {
			return fmt.Errorf("ticket %s: %w", v.ID, err)
		}
		waiting, deleted := since(v.WaitingSince), int64(0)
		if !v.DeletedAt.IsZero() {
			waiting, deleted = noTime, 1
		}
		if v.Revision == 0 {
			p.tickets++
		}
		p.entity(insertTickets, updateTickets, "ticket", v.Revision,
			[]string{clean(string(v.ID)), doc, clean(string(v.Status)), clean(string(v.Queue)), clean(string(v.Assignee)), clean(string(v.Channel)),
				clean(string(v.Contact)), clean(string(v.Conversation))},
			[]int64{driver.StatusRank(v.Status), waiting, driver.Micros(v.UpdatedAt), deleted})
	}
	return nil
}

func (p *prepared) ofMessages(c *ticket.Changes) error {
	for _, v := range c.Messages {
		doc, err := driver.MessageDoc(v)
		if err != nil {
			return fmt.Errorf("message %s: %w", v.ID, err)
		}
		id, at := clean(string(v.ID)), clean(string(v.Ticket))
		p.entity(insertMessages, updateMessages, "message", v.Revision, []string{id, doc, at, clean(string(v.Conversation))}, nil)
		wave := p.touched["message "+id] - 1
		switch {
		case v.Revision != 0 && (v.Search != "" || !v.RedactedAt.IsZero()):
			p.add(dropWords, wave, []string{id}, nil)
		case v.Revision != 0:
			p.add(moveWords, wave, []string{id, at}, nil)
		}
		if words := index(v.Search); len(words) > 0 {
			p.add(insertWords, wave, []string{id, at, vector(p.portal, at, words)}, nil)
		}
	}
	return nil
}

func (p *prepared) ofItems(c *ticket.Changes) error {
	for _, v := range c.Items {
		doc, err := driver.ItemDoc(v)
		if err != nil {
			return fmt.Errorf("item %s: %w", v.ID, err)
		}
		day, ch, disposition, cause := clean(v.Day), clean(string(v.Channel)), clean(string(v.Disposition)), clean(string(v.Cause))
		p.entity(insertItems, updateItems, "item", v.Revision, []string{clean(string(v.ID)), doc, ch, day, disposition, cause, clean(string(v.Message))}, nil)
		if v.Revision == 0 {
			p.add(addLedger, 0, []string{day, ch, disposition, cause}, nil)
		}
	}
	return nil
}

func (p *prepared) ofWorks(c *ticket.Changes) error {
	done := map[ticket.WorkID]int{}
	for _, d := range c.Done {
		p.touch("done", string(d.ID))
		p.touched["work "+clean(string(d.ID))] += 0 // nobody else's of the same transaction
		p.add(doneWorks, done[d.ID], []string{clean(string(d.ID))}, []int64{d.Revision})
		done[d.ID]++
	}
	for _, v := range c.Works {
		doc, err := driver.WorkDoc(v)
		if err != nil {
			return fmt.Errorf("work %s: %w", v.ID, err)
		}
		notBefore, lease := driver.Micros(v.NotBefore), driver.Micros(v.LeaseUntil)
		p.entity(insertWorks, updateWorks, "work", v.Revision, []string{clean(string(v.ID)), doc, clean(v.Lane), clean(v.Owner)},
			[]int64{notBefore, lease, max(notBefore, lease), flag(v.Parked), int64(v.Attempts)})
		p.hint.Lanes = appendNew(p.hint.Lanes, v.Lane)
	}
	return nil
}

// others adds what is not an entity.
func (p *prepared) others(c *ticket.Changes) error {
	for i, v := range c.Records {
		name := []string{clean(string(v.Kind)), clean(v.ID)}
		wave := p.touch("record", name[0]+" "+name[1])
		doc := append([]byte{}, v.Doc...)
		switch {
		case v.Doc == nil && v.Revision == 0:
			// Where the same commit makes it that says so too.
			if !slices.ContainsFunc(c.Records[i+1:], func(r *ticket.Record) bool {
				return r.Kind == v.Kind && r.ID == v.ID && r.Doc != nil && r.Revision == 0
			}) {
				p.add(absentRecords, wave, name, nil)
			}
		case v.Doc == nil:
			p.add(deleteRecords, wave, name, []int64{v.Revision})
		case v.Revision == 0:
			p.add(insertRecords, wave, name, nil, doc)
		default:
			p.add(updateRecords, wave, name, []int64{v.Revision}, doc)
		}
		p.hint.Kinds = appendNew(p.hint.Kinds, v.Kind)
	}
	for _, id := range c.DropBodies {
		p.touch("body", clean(string(id)))
		p.add(dropBodies, 0, []string{clean(string(id))}, nil)
	}
	inserted := map[ticket.BodyID]int{}
	for _, b := range c.Bodies {
		p.touch("body", clean(string(b.ID)))
		p.add(insertBodies, inserted[b.ID], []string{clean(string(b.ID))}, nil, append([]byte{}, b.Data...))
		inserted[b.ID]++
	}
	for _, id := range c.DropDecisions {
		p.touch("decision", clean(id))
		p.add(dropDecisions, 0, []string{clean(id)}, nil)
	}
	decided := map[string]int{}
	for _, v := range c.Decisions {
		doc, err := driver.DecisionDoc(v)
		if err != nil {
			return fmt.Errorf("decision %s: %w", v.ID, err)
		}
		p.touch("decision", clean(v.ID))
		p.add(insertDecisions, decided[v.ID],
			[]string{clean(v.ID), doc, clean(string(v.Ticket)), clean(string(v.Conversation)), clean(string(v.Message))}, nil)
		decided[v.ID]++
	}
	for _, v := range c.Events {
		doc, err := driver.EventDoc(v)
		if err != nil {
			return fmt.Errorf("event %s: %w", v.ID, err)
		}
		p.add(insertEvents, 0, []string{clean(string(v.Ticket)), doc}, nil)
		p.events++
	}
	p.hint.Events = p.events > 0
	return nil
}

// counts adds counts, each in a wave of its own, since their order matters.
func (p *prepared) counts(c *ticket.Changes) {
	for i, n := range c.Counts {
		name := clean(n.Name)
		if p.touch("counter", name) == 0 {
			p.add(makeCounters, 0, []string{name}, nil)
		}
		p.add(addCounters, i, []string{name}, []int64{n.Add, n.Max, since(n.Expires), driver.Micros(c.At)})
	}
	if len(c.Counts) > 0 {
		// An hour is left for callers whose clocks are behind.
		p.add(forgetCounters, 0, nil, []int64{driver.Micros(c.At.Add(-time.Hour))})
	}
}

// since returns t as a column that is NULL for the zero time.
func since(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return driver.Micros(t)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// clean returns s as PostgreSQL takes it in a column: valid UTF-8 without U+0000.
// The documents have it as it is.
func clean(s string) string {
	if !strings.ContainsRune(s, 0) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
