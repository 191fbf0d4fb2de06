package account

import (
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// way is one of the two ways that mail takes through an account.
type way int

const (
	sending way = iota
	receiving
	ways
)

// board holds how each way is, and reports the worse: an account that cannot
// send is not well because it receives.
type board struct {
	mu   sync.Mutex
	last [ways]channel.Status
}

func (b *board) put(env channel.Env, w way, st channel.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if st.LastSeen.IsZero() {
		st.LastSeen = b.last[w].LastSeen
	}
	b.last[w] = st
	worst := b.last[sending]
	if badness(b.last[receiving].State) >= badness(worst.State) {
		worst = b.last[receiving]
	}
	for _, other := range b.last {
		if other.LastSeen.After(worst.LastSeen) {
			worst.LastSeen = other.LastSeen
		}
	}
	// Under the lock, so that reports come in order; Report is cheap.
	env.Report(worst)
}

// stale reports whether a way was not well, and should have been tried again
// by now.
func (b *board) stale(w way, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.last[w]
	return st.State == channel.StateDegraded && st.NextTry.Before(now)
}

func badness(s channel.State) int {
	switch s {
	case channel.StateLive:
		return 1
	case channel.StateConnecting:
		return 2
	case channel.StateDegraded:
		return 3
	case channel.StateNeedsAuthorization:
		return 4
	}
	return 0 // nothing known
}
