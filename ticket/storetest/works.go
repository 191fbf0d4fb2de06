package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

func workChecks() []check {
	return []check{
		{"cancel against claim has one winner", cancelAgainstClaim},
		{"settling with a lost lease conflicts", func(k *kit) {
			w, m := k.newWork("l"), k.newMessage("", "")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}, Messages: []*ticket.Message{m}})
			first, _ := k.claim("a", 0, 1)
			second, _ := k.claim("b", time.Minute, 1)
			k.must(len(first) == 1 && len(second) == 1, "claimed %d and %d", len(first), len(second))
			m.State = ticket.StateSent
			k.refuse(&ticket.Changes{
				Messages: []*ticket.Message{m}, Done: []ticket.Done{{ID: w.ID, Revision: first[0].Revision}},
			}, ticket.ErrConflict, "settled by the first owner")
			k.refuse(&ticket.Changes{Works: first}, ticket.ErrConflict, "renewed by the first owner")
			got := k.read(ticket.Want{Messages: []ticket.MessageID{m.ID}}).Messages[m.ID]
			k.must(got.State == ticket.StateReceived, "the message is %q", got.State)
			k.commit(&ticket.Changes{
				Messages: []*ticket.Message{m}, Done: []ticket.Done{{ID: w.ID, Revision: second[0].Revision}},
			})
		}},
		{"claimed work can be put off", func(k *kit) {
			w := k.newWork("l")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, _ := k.claim("a", 0, 1)
			k.must(len(got) == 1, "claimed %d", len(got))
			got[0].NotBefore, got[0].Owner, got[0].LeaseUntil, got[0].LastError = k.after(time.Second), "", time.Time{}, "busy"
			k.commit(&ticket.Changes{Works: got})
			early, next := k.claim("b", 0, 1)
			k.must(len(early) == 0 && next.Equal(k.after(time.Second)), "Claim: %s, next %v", show(early), next)
			late, _ := k.claim("b", time.Second, 1)
			k.must(len(late) == 1 && late[0].LastError == "busy" && late[0].Attempts == 2, "Claim: %s", show(late))
		}},
		{"claimed work can be moved to another lane", func(k *kit) {
			w := k.newWork("other")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			w.Lane = "l"
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, _ := k.claim("a", 0, 1)
			k.same("claimed", ids(got), []ticket.WorkID{w.ID})
		}},
		{"a lease can be renewed", func(k *kit) {
			w := k.newWork("l")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, _ := k.claim("a", 0, 1)
			k.must(len(got) == 1, "claimed %d", len(got))
			got[0].LeaseUntil = k.after(time.Hour)
			k.commit(&ticket.Changes{Works: got})
			other, next := k.claim("b", 2*time.Minute, 1)
			k.must(len(other) == 0 && next.Equal(k.after(time.Hour)), "Claim: %s, next %v", show(other), next)
		}},
	}
}

func cancelAgainstClaim(k *kit) {
	for round := range 20 {
		m, w := k.newMessage("", ""), k.newWork("l")
		m.State, m.Work, w.Message = ticket.StatePending, w.ID, m.ID
		k.commit(&ticket.Changes{Messages: []*ticket.Message{m}, Works: []*ticket.Work{w}})
		var claimed []*ticket.Work
		var claimErr, cancelErr error
		var wg sync.WaitGroup
		wg.Go(func() {
			claimed, _, claimErr = k.s.Claim(k.ctx, ticket.Claim{Lane: "l", Owner: "a", Now: k.now, Until: k.after(time.Minute), Limit: 1})
		})
		wg.Go(func() {
			m := *m
			m.State = ticket.StateCancelled
			cancelErr = k.s.Commit(k.ctx, &ticket.Changes{
				At: k.now, Messages: []*ticket.Message{&m}, Done: []ticket.Done{{ID: w.ID, Revision: w.Revision}},
			})
		})
		wg.Wait()
		k.ok(claimErr, "Claim")
		got := k.read(ticket.Want{Messages: []ticket.MessageID{m.ID}, Works: []ticket.WorkID{w.ID}})
		state := got.Messages[m.ID].State
		switch {
		case cancelErr == nil:
			k.must(len(claimed) == 0, "round %d: cancelled and claimed", round)
			k.must(state == ticket.StateCancelled && len(got.Works) == 0, "round %d: cancelled, but the message is %q", round, state)
		case errors.Is(cancelErr, ticket.ErrConflict):
			k.must(len(claimed) == 1, "round %d: neither cancelled nor claimed", round)
			k.must(state == ticket.StatePending && len(got.Works) == 1, "round %d: claimed, but the message is %q", round, state)
			k.commit(&ticket.Changes{Done: []ticket.Done{{ID: w.ID, Revision: claimed[0].Revision}}})
		default:
			k.Fatalf("Commit: %v", cancelErr)
		}
	}
}

func leaseChecks() []check {
	return []check{
		{"a named lease has one owner", func(k *kit) {
			k.lease("a", 0, time.Minute, true)
			k.lease("b", 0, time.Minute, false)
			k.lease("b", time.Minute-time.Microsecond, 2*time.Minute, false)
			ok, err := k.s.Lease(k.ctx, "another", "b", k.now, k.after(time.Minute))
			k.must(ok && err == nil, "another lease: %v, %v", ok, err)
		}},
		{"a named lease is renewed by its owner", func(k *kit) {
			k.lease("a", 0, time.Minute, true)
			k.lease("a", time.Second, 2*time.Minute, true)
			k.lease("b", time.Minute, 3*time.Minute, false)
			k.lease("b", 2*time.Minute, 3*time.Minute, true)
			k.lease("a", 2*time.Minute, 3*time.Minute, false)
		}},
		{"a named lease is given up by its owner only", func(k *kit) {
			k.lease("a", 0, time.Minute, true)
			k.lease("b", time.Second, time.Second, false)
			k.lease("c", time.Second, time.Minute, false)
			k.lease("a", time.Second, time.Second, true)
			k.lease("b", time.Second, time.Minute, true)
			k.lease("a", time.Second, time.Second, false)
			k.lease("c", 2*time.Second, time.Minute, false)
		}},
		{"a commit under a lease that another has by now is refused", holdsALease},
		{"a named lease is given to one of many", func(k *kit) {
			var mu sync.Mutex
			won := 0
			var wg sync.WaitGroup
			for range 8 {
				owner := k.id()
				wg.Go(func() {
					ok, err := k.s.Lease(k.ctx, "race", owner, k.now, k.after(time.Minute))
					mu.Lock()
					defer mu.Unlock()
					if ok && err == nil {
						won++
					}
				})
			}
			wg.Wait()
			k.must(won == 1, "%d of 8 have the lease", won)
		}},
	}
}

// lease asks for the lease "n" at now for owner until the given time.
func (k *kit) lease(owner string, now, until time.Duration, want bool) {
	k.Helper()
	ok, err := k.s.Lease(k.ctx, "n", owner, k.after(now), k.after(until))
	k.ok(err, "Lease")
	k.must(ok == want, "Lease for %s at %v until %v: %v, want %v", owner, now, until, ok, want)
}

func holdsALease(k *kit) {
	under := func(owner string, want bool, why string) {
		k.Helper()
		t := k.newTicket()
		c := &ticket.Changes{Holds: []ticket.Hold{{Lease: "n", Owner: owner}}, Tickets: []*ticket.Ticket{t}}
		if want {
			k.commit(c)
			return
		}
		k.refuse(c, ticket.ErrNotHeld, why)
		k.refuse(c, ticket.ErrConflict, why)
		k.must(len(k.read(ticket.Want{Tickets: []ticket.TicketID{t.ID}}).Tickets) == 0, "%s, and yet it was written", why)
	}
	under("a", false, "a lease that nobody ever had")
	k.lease("a", 0, time.Minute, true)
	under("a", true, "")
	under("b", false, "another's lease")
	ok, err := k.s.Lease(k.ctx, "other", "b", k.now, k.after(time.Minute))
	k.must(ok && err == nil, "another lease: %v, %v", ok, err)
	under("b", false, "another lease of the same owner")
	k.now = k.after(2 * time.Minute)
	under("a", true, "")
	k.lease("b", 0, time.Minute, true)
	under("a", false, "a lease that ran out and was taken")
	under("b", true, "")
	k.lease("b", 0, 0, true)
	under("b", false, "a lease that was given up")
}
