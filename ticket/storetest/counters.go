package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// counter reads a counter as of now.
func (k *kit) counter(name string, now time.Time) int64 {
	k.Helper()
	return k.read(ticket.Want{Counters: []string{name}, Now: now}).Counters[name]
}

func (k *kit) count(at time.Time, counts ...ticket.Count) {
	k.Helper()
	k.commit(&ticket.Changes{At: at, Counts: counts})
}

func counterChecks() []check {
	return []check{
		{"a counter adds up", func(k *kit) {
			k.same("absent", k.counter("n", k.now), int64(0))
			k.count(k.now, ticket.Count{Name: "n", Add: 2})
			k.count(k.now, ticket.Count{Name: "n", Add: 3}, ticket.Count{Name: "n", Add: 4}, ticket.Count{Name: "other", Add: 1})
			k.count(k.now, ticket.Count{Name: "n", Add: -1})
			k.same("n", k.counter("n", k.now), int64(8))
			k.same("other", k.counter("other", k.now), int64(1))
		}},
		{"a bound is reached but not passed", func(k *kit) {
			k.count(k.now, ticket.Count{Name: "n", Add: 2, Max: 3})
			k.refuse(&ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 2, Max: 3}}}, ticket.ErrLimit, "2+2 of 3")
			k.same("n", k.counter("n", k.now), int64(2))
			k.count(k.now, ticket.Count{Name: "n", Add: 1, Max: 3})
			k.refuse(&ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 1, Max: 3}}}, ticket.ErrLimit, "3+1 of 3")
			k.refuse(&ticket.Changes{Counts: []ticket.Count{{Name: "new", Add: 4, Max: 3}}}, ticket.ErrLimit, "4 of 3")
			k.count(k.now, ticket.Count{Name: "n", Add: 5})
			k.same("n without a bound", k.counter("n", k.now), int64(8))
		}},
		{"a count as large as its bound is for a counter that stands at 0", func(k *kit) {
			const much = 1 << 40
			all := ticket.Count{Name: "n", Add: much, Max: much}
			k.count(k.now, ticket.Count{Name: "n", Add: 1, Max: 1 << 20})
			k.refuse(&ticket.Changes{Counts: []ticket.Count{all}}, ticket.ErrLimit, "it stands at 1")
			k.count(k.now, ticket.Count{Name: "n", Add: -1})
			k.count(k.now, all)
			k.same("n", k.counter("n", k.now), int64(much))
			k.refuse(&ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 1, Max: 1 << 20}}}, ticket.ErrLimit, "it stands above the bound")
			k.refuse(&ticket.Changes{Counts: []ticket.Count{all}}, ticket.ErrLimit, "it stands there already")
		}},
		{"a bound counts what the same commit added before", func(k *kit) {
			k.refuse(&ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 2, Max: 3}, {Name: "n", Add: 2, Max: 3}}},
				ticket.ErrLimit, "2+2 of 3")
			k.same("n", k.counter("n", k.now), int64(0))
		}},
		{"a limit is no conflict", func(k *kit) {
			err := k.try(&ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 2, Max: 1}}})
			k.must(errors.Is(err, ticket.ErrLimit) && !errors.Is(err, ticket.ErrConflict), "Commit: %v", err)
		}},
		{"counters never go below 0", func(k *kit) {
			k.count(k.now, ticket.Count{Name: "n", Add: -3})
			k.same("from nothing", k.counter("n", k.now), int64(0))
			k.count(k.now, ticket.Count{Name: "n", Add: 2})
			k.count(k.now, ticket.Count{Name: "n", Add: -5})
			k.same("2-5", k.counter("n", k.now), int64(0))
			k.count(k.now, ticket.Count{Name: "n", Add: 1})
			k.same("and one more", k.counter("n", k.now), int64(1))
		}},
		{"counters expire", func(k *kit) {
			end := k.after(time.Minute)
			k.count(k.now, ticket.Count{Name: "n", Add: 5, Expires: end})
			k.same("before", k.counter("n", end.Add(-time.Microsecond)), int64(5))
			k.same("at the end", k.counter("n", end), int64(0))
			k.count(end.Add(-time.Microsecond), ticket.Count{Name: "n", Add: 1})
			k.same("counted before the end", k.counter("n", end.Add(-time.Microsecond)), int64(6))
			k.same("it still ends", k.counter("n", end), int64(0))
			k.count(end, ticket.Count{Name: "n", Add: 2, Max: 2, Expires: end.Add(time.Minute)})
			k.same("from 0", k.counter("n", end), int64(2))
			k.same("until the new end", k.counter("n", end.Add(time.Minute)), int64(0))
		}},
		{"bounded counters are never exceeded", boundedCounters},
	}
}

func boundedCounters(k *kit) {
	const limit, writers, tries = 25, 10, 6
	var taken atomic.Int64
	var other atomic.Pointer[error]
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range tries {
				switch err := k.s.Commit(k.ctx, &ticket.Changes{At: k.now, Counts: []ticket.Count{{Name: "n", Add: 1, Max: limit}}}); {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, ticket.ErrLimit):
					other.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := other.Load(); err != nil {
		k.Fatalf("Commit: %v", *err)
	}
	k.must(taken.Load() == limit, "%d were let in, want %d", taken.Load(), limit)
	k.same("n", k.counter("n", k.now), int64(limit))
}
