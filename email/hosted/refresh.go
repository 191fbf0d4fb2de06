package hosted

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxRefreshes bounds how many portals look for new mailboxes at a time.
const maxRefreshes = 8

// Attach makes the server ask refresh for a portal's new mailboxes before it
// refuses an address; see [channel.Attacher]. Calls of one portal's refresh do
// not overlap and keep Limits.RefreshEvery apart. A portal should be attached
// before the server listens: until then an address of its domain may be refused.
// Once detach returns, no call of refresh goes on.
func (s *Server) Attach(portal string, refresh func(context.Context) error) (detach func()) {
	ctx, cancel := context.WithCancel(context.Background())
	a := &attachment{server: s, portal: portal, refresh: refresh, ctx: ctx}
	s.mu.Lock()
	if s.attachments == nil {
		s.attachments = make(map[*attachment]struct{})
	}
	s.attachments[a] = struct{}{}
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.attachments, a)
		s.mu.Unlock()
		cancel()
		a.rounds.Wait()
	})
}

// attachment is one attached portal.
type attachment struct {
	server  *Server
	portal  string
	refresh func(context.Context) error
	ctx     context.Context // ends when detached

	rounds sync.WaitGroup

	mu   sync.Mutex
	last *round    // begun
	next *round    // not begun: who comes now may join
	done time.Time // when a round last began
}

// round is one call of refresh, shared by all who came before it began.
type round struct {
	over chan struct{}
	err  error
}

// join returns the refresh that begins next, or nil once detached.
func (a *attachment) join() *round {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil && a.ctx.Err() == nil {
		a.next = &round{over: make(chan struct{})}
		a.rounds.Add(1)
		go a.run(a.next, a.last)
	}
	return a.next
}

// wait waits for the end of a refresh.
func (r *round) wait(ctx context.Context) error {
	if r == nil {
		return nil
	}
	select {
	case <-r.over:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("hosted: refresh: %w", ctx.Err())
	}
}

func (a *attachment) run(r, before *round) {
	defer a.rounds.Done()
	defer close(r.over)
	r.err = a.pause(before)
	a.mu.Lock()
	a.next, a.last, a.done = nil, r, time.Now()
	a.mu.Unlock()
	if r.err != nil {
		return
	}
	defer func() { <-a.server.refreshes() }()
	defer func() {
		if p := recover(); p != nil {
			r.err = errors.New("hosted: refresh panicked")
		}
	}()
	ctx, cancel := context.WithTimeout(a.ctx, a.server.limits().Refresh)
	defer cancel()
	r.err = a.refresh(ctx)
}

// pause waits for the round before, the least distance and a free place.
func (a *attachment) pause(before *round) error {
	if before != nil {
		<-before.over
	}
	a.mu.Lock()
	wait := time.Until(a.done.Add(a.server.limits().RefreshEvery))
	a.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
	}
	select {
	case a.server.refreshes() <- struct{}{}:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

func (s *Server) refreshes() chan struct{} {
	s.refreshOnce.Do(func() { s.refreshSlots = make(chan struct{}, maxRefreshes) })
	return s.refreshSlots
}

var errNotReady = errors.New("hosted: the portals of this domain are not running yet")

// resolve finds a recipient, asking the portals if it is not registered. It
// reports false if there surely is none.
func (s *Server) resolve(ctx context.Context, local, domain string) (target, bool, error) {
	if t, ok := s.lookup(local, domain); ok {
		return t, true, nil
	}
	asked, ready := s.answerable(domain)
	ctx, cancel := context.WithTimeout(ctx, s.limits().Refresh)
	defer cancel()
	rounds := make([]*round, len(asked))
	for i, a := range asked {
		rounds[i] = a.join()
	}
	errs := make([]error, len(asked))
	for i, r := range rounds {
		errs[i] = r.wait(ctx)
	}
	if t, ok := s.lookup(local, domain); ok {
		return t, true, nil
	}
	if err := errors.Join(errs...); err != nil {
		return target{}, false, err
	}
	if !ready {
		return target{}, false, errNotReady
	}
	return target{}, false, nil
}

// answerable returns whom to ask about an address of domain, and whether no
// answer of theirs is final: a portal that is known to own the domain but does
// not run cannot be asked, so that nothing may be refused for good.
func (s *Server) answerable(domain string) (asked []*attachment, ready bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	running := map[string]bool{}
	registered := map[string]bool{}
	opened := false
	for acct, reg := range s.registrations {
		registered[acct.portal] = true
		opened = opened || reg.current().domain == domain
	}
	ready = true
	owned := false
	for a := range s.attachments {
		running[a.portal] = true
		if s.portalDomain(a.portal) == domain {
			asked = append(asked, a)
			owned = true
		}
	}
	for portal, d := range s.Domains {
		if normalizeDomain(d) == domain {
			owned = true
			ready = ready && (running[portal] || registered[portal])
		}
	}
	if normalizeDomain(s.Domain) == domain && !owned {
		owned = true
		ready = opened
	}
	if !owned {
		// Perhaps the domain of a mailbox that another node has just made.
		for a := range s.attachments {
			asked = append(asked, a)
		}
	}
	return slices.Clip(asked), ready
}
