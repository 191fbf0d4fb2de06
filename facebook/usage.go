package facebook

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// pool is one of Facebook's budgets
// (https://developers.facebook.com/docs/graph-api/overview/rate-limiting).
type pool string

const (
	poolApp       pool = "app"
	poolPages     pool = "pages"
	poolMessenger pool = "messenger"
)

// Thresholds of a budget, in percent.
const (
	slowFrom   = 80 // calls are spread, and background calls give way
	stopFrom   = 100
	usageHolds = 5 * time.Minute // how long a percentage counts without news
	slowest    = 2 * time.Second // the pause before a call just below the limit
)

// usage is how much of each budget is used, as Facebook says. The zero value is
// ready.
type usage struct {
	mu     sync.Mutex
	budget map[string]*budget
}

type budget struct {
	percent int
	at      time.Time
	until   time.Time // nothing before
	why     *Error    // of until, if it is no matter of how many calls
}

func (u *usage) of(key string) *budget {
	if u.budget == nil {
		u.budget = map[string]*budget{}
	}
	b := u.budget[key]
	if b == nil {
		b = &budget{}
		u.budget[key] = b
	}
	return b
}

func (c call) budgets() []string {
	out := []string{string(poolApp)}
	if c.page != "" {
		out = append(out, string(c.pool)+":"+c.page)
	}
	if c.says && c.page != "" {
		out = append(out, c.writes())
	}
	return out
}

// writes is the budget of messages and comments: Facebook may forbid these alone.
func (c call) writes() string { return "writes:" + string(c.pool) + ":" + c.page }

// admit waits until a call may be made, or says when it may.
func (u *usage) admit(ctx context.Context, now time.Time, c call) error {
	u.mu.Lock()
	percent := 0
	var wait time.Duration
	var why *Error
	for _, key := range c.budgets() {
		b := u.of(key)
		if left := b.until.Sub(now); left > wait {
			wait, why = left, b.why
		}
		if now.Sub(b.at) < usageHolds {
			percent = max(percent, b.percent)
		}
	}
	u.mu.Unlock()
	switch {
	case wait > 0 && why != nil:
		return &Error{Status: why.Status, Code: why.Code, Subcode: why.Subcode, Message: why.Message, After: wait, local: true}
	case wait > 0:
		return &Error{Code: 32, Message: "calls are paused", After: wait, local: true}
	case percent < slowFrom:
		return nil
	case c.background:
		return &Error{Code: 32, Message: "calls are nearly used up", After: usageHolds, local: true}
	}
	return sleep(ctx, slowest*time.Duration(min(percent, stopFrom)-slowFrom+1)/(stopFrom-slowFrom+1))
}

// maxPages bounds the Pages that one header may tell of.
const maxPages = 1000

// learn reads the headers, which come with errors too.
func (u *usage) learn(now time.Time, c call, h http.Header) {
	note := func(key string, percent int, wait time.Duration) {
		b := u.of(key)
		b.percent, b.at = percent, now
		if wait > 0 {
			b.until = now.Add(wait)
		}
	}
	type shares struct {
		Type  pool    `json:"type"`
		Calls float64 `json:"call_count"`
		Time  float64 `json:"total_time"`
		CPU   float64 `json:"total_cputime"`
		Wait  float64 `json:"estimated_time_to_regain_access"` // minutes
	}
	most := func(s shares) int { return int(min(max(s.Calls, s.Time, s.CPU, 0), 1000)) }
	u.mu.Lock()
	defer u.mu.Unlock()
	var s shares
	if v := h.Get("X-App-Usage"); v != "" && json.Unmarshal([]byte(v), &s) == nil {
		note(string(poolApp), most(s), 0)
	}
	s = shares{}
	if v := h.Get("X-Page-Usage"); v != "" && c.page != "" && json.Unmarshal([]byte(v), &s) == nil {
		note(string(poolPages)+":"+c.page, most(s), 0)
	}
	var all map[string][]shares
	if v := h.Get("X-Business-Use-Case-Usage"); v == "" || json.Unmarshal([]byte(v), &all) != nil || len(all) > maxPages {
		return
	}
	for page, list := range all {
		for _, s := range list {
			if s.Type == poolPages || s.Type == poolMessenger {
				note(string(s.Type)+":"+page, most(s), time.Duration(min(max(s.Wait, 0), 24*60)*float64(time.Minute)))
			}
		}
	}
}

// throttled pauses the calls of the budget that an error speaks of, since calls
// made meanwhile prolong it.
func (u *usage) throttled(now time.Time, c call, e *Error) {
	key := string(c.pool) + ":" + c.page
	var why *Error
	switch name := e.Name(); {
	case (name == codeRestricted || name == codeBlocked) && c.page != "" && c.says:
		key, why = c.writes(), e
	case name != "throttled" && name != "too_many":
		return
	case c.page == "", e.Code == 4 && e.Subcode == 0:
		key = string(poolApp)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.of(key)
	if until := now.Add(e.pause()); until.After(b.until) {
		b.until, b.why = until, why
	}
	e.After = max(e.After, b.until.Sub(now))
}

// pacer keeps calls of one kind apart. The zero value is ready.
type pacer struct {
	mu   sync.Mutex
	next map[string]time.Time
}

// try takes a turn if one is due now.
func (p *pacer) try(now time.Time, key string, apart time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = map[string]time.Time{}
	}
	if now.Before(p.next[key]) {
		return false
	}
	p.next[key] = now.Add(apart)
	return true
}

// wait waits for a turn.
func (p *pacer) wait(ctx context.Context, now time.Time, key string, apart time.Duration) error {
	p.mu.Lock()
	if p.next == nil {
		p.next = map[string]time.Time{}
	}
	at := p.next[key]
	if at.Before(now) {
		at = now
	}
	p.next[key] = at.Add(apart)
	p.mu.Unlock()
	return sleep(ctx, at.Sub(now))
}
