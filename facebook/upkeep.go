package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Fields are the webhook fields of a Page that the app wants, at app level and at
// Page level
// (https://developers.facebook.com/docs/graph-api/webhooks/reference/page).
func Fields() []string {
	return []string{"messages", "messaging_postbacks", "message_echoes", "message_deliveries", "message_reads", "message_reactions",
		"message_edits", "messaging_referrals", "messaging_handovers", "standby", "messaging_policy_enforcement", "feed"}
}

// state is what a Page keeps: until when everything has come, by webhook or
// backfill.
type state struct {
	Complete time.Time `json:"complete"`
	// Gap is since when something may be missing that is not fetched yet.
	Gap time.Time `json:"gap,omitzero"`
}

// retryUpkeep is the pause after a look that failed.
const retryUpkeep = time.Minute

// upkeep looks at the Page's subscription until ctx ends. Facebook ends it when
// the webhook fails for an hour; it is then renewed, and what happened since the
// last look is fetched, as after a time without the engine.
func (p *page) upkeep(ctx context.Context, sink channel.Sink) {
	first := true
	for ctx.Err() == nil {
		err := p.look(ctx, sink, first)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			first = false
		} else {
			p.env.Log.Warn("facebook: look after the Page", slog.Any("error", err))
		}
		p.trouble(err)
		pause := p.app.limits().Upkeep
		if err != nil {
			pause = min(pause, retryUpkeep)
		}
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// endsAfter is how long a webhook may have failed when Facebook ends the
// subscription: an hour, as it says, and the pause before the try that ends it.
const endsAfter = 2 * time.Hour

// look renews the subscription if need be, and closes a gap. A gap is noted before
// anything is mended, so that it is not forgotten when closing it fails.
func (p *page) look(ctx context.Context, sink channel.Sink, first bool) error {
	if p.token() == "" {
		return nil // the status says so already
	}
	st, err := p.loadState(ctx)
	if err != nil {
		return err
	}
	began := p.app.now()
	missing, err := p.missingFields(ctx)
	if err != nil {
		return err
	}
	missed := p.missedSince()
	if since, gap := p.gap(st, began, first, len(missing) > 0, missed); gap {
		st.Gap = since
		if err := p.saveState(ctx, st); err != nil {
			return err
		}
		p.recovers(missed)
	}
	if len(missing) > 0 {
		if err := p.subscribe(ctx); err != nil {
			return err
		}
	}
	p.learnUser(ctx)
	if !st.Gap.IsZero() {
		p.env.Log.Info("facebook: closing a gap", "since", st.Gap, "missing_fields", len(missing))
		err := p.Backfill(ctx, st.Gap, sink)
		if err != nil && !errors.Is(err, channel.ErrInactive) {
			return err
		}
	}
	return p.saveState(ctx, state{Complete: began})
}

// gap reports since when something may be missing: what Facebook did not get
// through to us it gives up in the end, for which it need not end the subscription.
// What came just before may have been on its way still; and what Facebook ended,
// it ended since nothing got through for long.
func (p *page) gap(st state, now time.Time, first, ended bool, missed time.Time) (time.Time, bool) {
	l := p.app.limits()
	longest := l.Upkeep + l.Gap // between two looks that succeed
	if first {
		longest = l.Gap
	}
	unseen := now.Sub(st.Complete) > longest
	if st.Complete.IsZero() || !ended && !unseen && missed.IsZero() {
		return time.Time{}, false
	}
	since := st.Complete
	if !ended && !unseen {
		since = missed
	}
	since = since.Add(-l.Gap)
	if ended {
		since = since.Add(-endsAfter)
	}
	if !st.Gap.IsZero() && st.Gap.Before(since) {
		since = st.Gap
	}
	return since, true
}

// misses notes that events could not be made durable.
func (p *page) misses() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missed.IsZero() {
		p.missed = p.app.now()
	}
}

func (p *page) missedSince() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missed
}

// recovers notes that what was missed since then is fetched.
func (p *page) recovers(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missed.Equal(since) {
		p.missed = time.Time{}
	}
}

func (p *page) loadState(ctx context.Context) (state, error) {
	var st state
	b, err := p.env.LoadState(ctx)
	if err != nil {
		return st, err
	}
	if len(b) > 0 && json.Unmarshal(b, &st) != nil {
		return state{}, nil //nolint:nilerr // it is begun anew
	}
	return st, nil
}

func (p *page) saveState(ctx context.Context, st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return p.env.SaveState(ctx, b)
}

// subscription reads the fields of the Page that the app is subscribed to.
func (p *page) subscription(ctx context.Context) ([]string, error) {
	var out struct {
		Data []struct {
			ID     ident    `json:"id"`
			Fields []string `json:"subscribed_fields"`
		} `json:"data"`
	}
	if err := p.app.read(ctx, p.call(p.id+"/subscribed_apps", poolPages, nil, &out)); err != nil {
		return nil, err
	}
	for _, a := range out.Data {
		if string(a.ID) == p.app.ID {
			return a.Fields, nil
		}
	}
	return nil, nil
}

func (p *page) missingFields(ctx context.Context) ([]string, error) {
	have, err := p.subscription(ctx)
	if err != nil {
		return nil, err
	}
	return without(Fields(), have), nil
}

// without returns what of want is not in have.
func without(want, have []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(f string) bool { return slices.Contains(have, f) })
}

func (p *page) subscribe(ctx context.Context) error {
	return p.app.subscribe(ctx, p.id, p.token())
}

// subscribe subscribes the app to a Page. The list replaces the one before.
func (a *App) subscribe(ctx context.Context, page, token string) error {
	var out struct {
		Success flexBool `json:"success"`
	}
	c := call{method: http.MethodPost, path: page + "/subscribed_apps", token: token, page: page, pool: poolPages, out: &out,
		params: url.Values{"subscribed_fields": {strings.Join(Fields(), ",")}}}
	if err := a.do(ctx, c); err != nil {
		return err
	}
	if !out.Success {
		return errors.New("facebook: the Page could not be subscribed to")
	}
	return nil
}

// learnUser learns whose token it is that a host gave without saying so, so that
// it is forgotten when they remove the app.
func (p *page) learnUser(ctx context.Context) {
	p.mu.Lock()
	secrets, known := p.secrets, p.userKnown
	p.mu.Unlock()
	token := secrets.Get(credToken)
	if known || token == "" || secrets.Get(credUser) != "" || p.env.SaveCredentials == nil {
		return
	}
	d, err := p.app.debug(ctx, token)
	switch {
	case err != nil && !final(err):
		return // perhaps next time
	case err == nil && d.Valid && d.UserID != "" && p.app.counts(p):
		with := channel.NewCredentials(map[string]string{credToken: token, credUser: string(d.UserID)})
		if err := p.env.SaveCredentials(ctx, with); err != nil {
			p.env.Log.Warn("facebook: keep whose token it is", slog.Any("error", err))
			return
		}
		secrets = with
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.userKnown = true
	if p.secrets.Get(credToken) == token {
		p.secrets = secrets
	}
}
