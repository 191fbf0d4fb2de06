package facebook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// registration is one Page and its openings, the one that counts last. Guarded
// by App.mu.
type registration struct {
	portal  string
	channel channel.ID
	open    []*page
}

func (r *registration) current() *page { return r.open[len(r.open)-1] }

// receiver returns the latest opening that receives, or nil.
func (r *registration) receiver() *page {
	for _, p := range slices.Backward(r.open) {
		if p.sink != nil {
			return p
		}
	}
	return nil
}

// register makes p the opening that counts of its Page.
func (a *App) register(p *page) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.pages[p.id]
	if r != nil && (r.portal != p.env.Portal || r.channel != p.acct.ID) {
		taken := &channel.FieldError{Field: "page_id", Problem: "is connected already"}
		if r.portal == p.env.Portal {
			taken.Owner = r.channel
		}
		return taken
	}
	if r == nil {
		r = &registration{portal: p.env.Portal, channel: p.acct.ID}
		if a.pages == nil {
			a.pages = map[string]*registration{}
		}
		a.pages[p.id] = r
	}
	r.open = append(slices.DeleteFunc(r.open, func(o *page) bool { return o.sink == nil }), p)
	return nil
}

// unregister takes p away.
func (a *App) unregister(p *page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.closed = true
	r := a.pages[p.id]
	if r == nil {
		return
	}
	r.open = slices.DeleteFunc(r.open, func(o *page) bool { return o == p })
	if len(r.open) == 0 {
		delete(a.pages, p.id)
	}
}

// counts reports whether p is the opening that counts of its Page.
func (a *App) counts(p *page) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	r := a.pages[p.id]
	return r != nil && r.current() == p
}

// receiving sets the sink of p. It reports false if p was closed.
func (a *App) receiving(p *page, sink channel.Sink) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.closed {
		return false
	}
	p.sink = sink
	r := a.pages[p.id]
	if r == nil {
		r = &registration{portal: p.env.Portal, channel: p.acct.ID}
		if a.pages == nil {
			a.pages = map[string]*registration{}
		}
		a.pages[p.id] = r
	}
	if !slices.Contains(r.open, p) {
		r.open = slices.Insert(r.open, 0, p)
	}
	return true
}

// stopped ends the receiving of p. An earlier opening is then of no use.
func (a *App) stopped(p *page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.sink = nil
	if r := a.pages[p.id]; r != nil && r.current() != p {
		r.open = slices.DeleteFunc(r.open, func(o *page) bool { return o == p })
	}
}

// lookup finds the opening that takes the events of a Page. known says that the
// Page is connected, be it that nothing receives; the caller must end the
// delivery that was begun.
func (a *App) lookup(id string) (p *page, known bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	r := a.pages[id]
	if r == nil {
		return nil, false
	}
	if p = r.receiver(); p != nil {
		p.commits.Add(1)
	}
	return p, true
}

// connected returns the openings that count, of all Pages.
func (a *App) connected() []*page {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []*page
	for _, r := range a.pages {
		out = append(out, r.current())
	}
	return out
}

// attachment is one attached portal.
type attachment struct {
	portal  string
	refresh func(context.Context) error
}

// Attach makes the app ask refresh for a portal's new Pages before it gives up on
// an event; see [channel.Attacher].
func (a *App) Attach(portal string, refresh func(context.Context) error) (detach func()) {
	at := &attachment{portal: portal, refresh: refresh}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attached == nil {
		a.attached = map[*attachment]struct{}{}
	}
	a.attached[at] = struct{}{}
	return sync.OnceFunc(func() {
		a.mu.Lock()
		delete(a.attached, at)
		a.mu.Unlock()
		// No call of refresh goes on.
		a.refresh.mu.Lock()
		defer a.refresh.mu.Unlock()
	})
}

// refresher keeps calls of refresh apart.
type refresher struct {
	mu   sync.Mutex
	last time.Time
	err  error
}

// resolve finds a Page, asking the portals if it is not registered: another node
// may have connected it a moment ago.
func (a *App) resolve(ctx context.Context, id string) (p *page, known bool, err error) {
	if p, known = a.lookup(id); known {
		return p, known, nil
	}
	// What else came along is to be committed after it.
	asking, cancel := context.WithTimeout(ctx, a.limits().Commit/2)
	defer cancel()
	err = a.ask(asking)
	if p, known = a.lookup(id); known {
		return p, known, nil // whatever is the matter with another portal
	}
	return nil, false, err
}

// ask has all portals read their channels anew, unless that was done just now.
func (a *App) ask(ctx context.Context) error {
	r := &a.refresh
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("facebook: ask the portals for their Pages: %w", err)
	}
	if since := a.now().Sub(r.last); since >= 0 && since < a.limits().Refresh && !r.last.IsZero() {
		return r.err
	}
	a.mu.RLock()
	list := slices.Collect(maps.Keys(a.attached))
	a.mu.RUnlock()
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, at := range list {
		wg.Go(func() {
			if err := at.refresh(ctx); err != nil {
				errs[i] = fmt.Errorf("facebook: ask portal %s for its Pages: %w", at.portal, err)
			}
		})
	}
	wg.Wait()
	r.last, r.err = a.now(), errors.Join(errs...)
	return r.err
}
