package ticket

import "time"

// ReturnAction is what happens to the ticket when somebody writes again.
type ReturnAction string

// Return actions.
const (
	Join     ReturnAction = "join"      // the message joins, the status stays
	Reopen   ReturnAction = "reopen"    // it joins, and the ticket is open again
	FollowUp ReturnAction = "follow_up" // a new ticket, in the same conversation
)

// ReturnCase is what a [ReturnPolicy] looks at.
type ReturnCase struct {
	Status         Status
	Since          time.Duration // how long it has been solved or closed
	SubjectChanged bool
	Automatic      bool // no person wrote it
	Imported       bool
	Outbound       bool // written on our side, outside this system
}

// ReturnPolicy decides what happens when a customer writes again. The zero
// value is this table; the first row that fits decides:
//
//	automatic, or written on our side       join
//	open                                    join
//	pending                                 reopen
//	solved, for less than ReopenWithin      reopen
//	solved, longer                          follow up
//	closed                                  follow up
type ReturnPolicy struct {
	// ReopenWithin is how long a solved ticket can be reopened; default 30
	// days, negative never.
	ReopenWithin time.Duration
	// NewSubject makes a changed subject a follow-up, whatever the status of
	// the ticket. Off by default: people write on in an old thread.
	NewSubject bool
	// Func, if set, replaces the table. It must be pure.
	Func func(ReturnCase) ReturnAction
}

func (p *ReturnPolicy) complete() {
	orDefault(&p.ReopenWithin, 30*24*time.Hour)
}

// Decide applies the policy.
func (p ReturnPolicy) Decide(c ReturnCase) ReturnAction {
	switch {
	case p.Func != nil:
		return p.Func(c)
	case c.Automatic || c.Outbound:
		return Join
	case p.NewSubject && c.SubjectChanged:
		return FollowUp
	}
	switch c.Status {
	case Open:
		return Join
	case Pending:
		return Reopen
	case Solved:
		if c.Since < p.ReopenWithin {
			return Reopen
		}
	}
	return FollowUp
}
