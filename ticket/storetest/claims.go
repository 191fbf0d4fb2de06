package storetest

import (
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// claim claims of lane "l" at d after the kit's time, for a minute.
func (k *kit) claim(owner string, d time.Duration, limit int) ([]*ticket.Work, time.Time) {
	k.Helper()
	works, next, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "l", Owner: owner, Now: k.after(d), Until: k.after(d + time.Minute), Limit: limit})
	k.ok(err, "Claim")
	k.must(len(works) <= limit, "Claim returned %d works, over the limit of %d", len(works), limit)
	return works, next
}

func ids(works []*ticket.Work) []ticket.WorkID {
	out := []ticket.WorkID{}
	for _, w := range works {
		out = append(out, w.ID)
	}
	return out
}

func claimChecks() []check {
	return []check{
		{"a claim leases work and says so", func(k *kit) {
			w := k.newWork("l")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, _ := k.claim("a", time.Second, 10)
			want := *w
			want.Owner, want.LeaseUntil, want.Attempts, want.Revision = "a", k.after(time.Second+time.Minute), 1, 2
			k.same("claimed", got, []*ticket.Work{&want})
			k.same("kept", k.read(ticket.Want{Works: []ticket.WorkID{w.ID}}).Works[w.ID], &want)
		}},
		{"work is claimed by NotBefore, then by id", func(k *kit) {
			a, b, c, d := k.newWork("l"), k.newWork("l"), k.newWork("l"), k.newWork("l")
			a.NotBefore, b.NotBefore, c.NotBefore, d.NotBefore = k.after(3), k.after(2*time.Microsecond), k.after(time.Microsecond), k.after(2*time.Microsecond)
			a.NotBefore = k.after(3 * time.Microsecond)
			k.commit(&ticket.Changes{Works: []*ticket.Work{d, b, a, c}})
			first, _ := k.claim("a", time.Second, 3)
			k.same("first", ids(first), []ticket.WorkID{c.ID, b.ID, d.ID})
			second, _ := k.claim("a", time.Second, 3)
			k.same("second", ids(second), []ticket.WorkID{a.ID})
		}},
		{"work is not claimed before its time", func(k *kit) {
			w := k.newWork("l")
			w.NotBefore = k.after(time.Second)
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, next := k.claim("a", time.Second-time.Microsecond, 10)
			k.must(len(got) == 0, "claimed too early")
			k.must(next.Equal(w.NotBefore), "next is %v, want %v", next, w.NotBefore)
			got, _ = k.claim("a", time.Second, 10)
			k.same("at its time", ids(got), []ticket.WorkID{w.ID})
		}},
		{"next is when what is left may become due", func(k *kit) {
			_, next := k.claim("a", 0, 10)
			k.must(next.IsZero(), "next of an empty lane is %v", next)
			leased, due, later := k.newWork("l"), k.newWork("l"), k.newWork("l")
			later.NotBefore = k.after(time.Hour)
			k.commit(&ticket.Changes{Works: []*ticket.Work{leased}})
			k.claim("other", 0, 1)
			k.commit(&ticket.Changes{Works: []*ticket.Work{due, later}})
			got, next := k.claim("a", 0, 0)
			k.must(len(got) == 0 && !next.IsZero() && !next.After(k.now), "next with due work left is %v", next)
			got, next = k.claim("a", 0, 10)
			k.same("claimed", ids(got), []ticket.WorkID{due.ID})
			k.must(next.Equal(k.after(time.Minute)), "next is %v, want the end of the other's lease, %v", next, k.after(time.Minute))
			k.commit(&ticket.Changes{Done: []ticket.Done{{ID: leased.ID, Revision: 2}, {ID: due.ID, Revision: 2}}})
			_, next = k.claim("a", 0, 10)
			k.must(next.Equal(later.NotBefore), "next is %v, want %v", next, later.NotBefore)
			k.must(next.Location() == time.UTC, "next is in %v", next.Location())
		}},
		{"parked work is not claimed", func(k *kit) {
			w := k.newWork("l")
			w.Parked = true
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, next := k.claim("a", time.Hour, 10)
			k.must(len(got) == 0 && next.IsZero(), "Claim: %s, next %v", show(got), next)
			w.Parked = false
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			got, _ = k.claim("a", time.Hour, 10)
			k.same("no longer parked", ids(got), []ticket.WorkID{w.ID})
		}},
		{"lanes are apart", func(k *kit) {
			empty, other := k.newWork(""), k.newWork("other")
			k.commit(&ticket.Changes{Works: []*ticket.Work{empty, other}})
			got, next := k.claim("a", time.Hour, 10)
			k.must(len(got) == 0 && next.IsZero(), "Claim: %s, next %v", show(got), next)
			got, _, err := k.s.Claim(k.ctx, ticket.Claim{Owner: "a", Now: k.now, Until: k.after(time.Minute), Limit: 10})
			k.ok(err, "Claim")
			k.same("the empty lane", ids(got), []ticket.WorkID{empty.ID})
		}},
		{"a lease expires before and after handed", func(k *kit) {
			w := k.newWork("l")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			k.claim("a", 0, 1)
			got, next := k.claim("b", time.Minute-time.Microsecond, 1)
			k.must(len(got) == 0 && next.Equal(k.after(time.Minute)), "Claim during the lease: %s, next %v", show(got), next)
			got, _ = k.claim("b", time.Minute, 1)
			k.must(len(got) == 1 && got[0].Owner == "b" && got[0].Attempts == 2 && !got[0].Handed, "Claim after the lease: %s", show(got))
			got[0].Handed = true
			k.commit(&ticket.Changes{Works: got})
			again, _ := k.claim("c", 2*time.Minute-time.Microsecond, 1)
			k.must(len(again) == 0, "Claim during the lease: %s", show(again))
			again, _ = k.claim("c", 2*time.Minute, 1)
			k.must(len(again) == 1 && again[0].Owner == "c" && again[0].Attempts == 3 && again[0].Handed, "Claim after handed: %s", show(again))
		}},
		{"a claim is exclusive under concurrency", exclusiveClaims},
	}
}

func exclusiveClaims(k *kit) {
	const n = 120
	c := &ticket.Changes{}
	for range n {
		c.Works = append(c.Works, k.newWork("l"))
	}
	k.commit(c)
	var mu sync.Mutex
	owners := map[ticket.WorkID]int{}
	var failed error
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range n {
				works, _, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "l", Owner: "x", Now: k.now, Until: k.after(time.Minute), Limit: 7})
				mu.Lock()
				for _, w := range works {
					owners[w.ID]++
				}
				if err != nil {
					failed = err
				}
				mu.Unlock()
				if err != nil || len(works) == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	k.ok(failed, "Claim")
	for id, times := range owners {
		k.must(times == 1, "work %s was claimed %d times", id, times)
	}
	k.must(len(owners) == n, "%d of %d works were claimed", len(owners), n)
}
