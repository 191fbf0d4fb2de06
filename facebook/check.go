package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Scopes are the permissions that the app needs on a Page, with what each is for
// (https://developers.facebook.com/docs/permissions).
func Scopes() []Scope {
	return []Scope{
		{"pages_show_list", "the Page cannot be chosen"},
		{"pages_messaging", "messages cannot be received or sent"},
		{"pages_manage_metadata", "the Page's events do not come"},
		{"pages_read_engagement", "the Page's posts cannot be read"},
		{"pages_read_user_content", "visitors' posts and comments cannot be read"},
		{"pages_manage_engagement", "comments cannot be answered, hidden or liked"},
	}
}

// Scope is a permission, and what does not work without it.
type Scope struct{ Name, Without string }

// Tasks are what the person who connects a Page must be allowed to do on it.
func Tasks() []string { return []string{"MESSAGING", "MODERATE", "CREATE_CONTENT"} }

// checkTime bounds a check.
const checkTime = 45 * time.Second

// warnBefore is how long before something expires the check warns.
const warnBefore = 14 * 24 * time.Hour

// debugged is what debug_token says.
type debugged struct {
	AppID      ident    `json:"app_id"`
	Valid      bool     `json:"is_valid"`
	ExpiresAt  instant  `json:"expires_at"`
	DataAccess instant  `json:"data_access_expires_at"`
	ProfileID  ident    `json:"profile_id"`
	UserID     ident    `json:"user_id"`
	Scopes     []string `json:"scopes"`
	Granular   []struct {
		Scope   string  `json:"scope"`
		Targets []ident `json:"target_ids"`
	} `json:"granular_scopes"`
	Error *struct {
		Code    ident `json:"code"`
		Subcode ident `json:"subcode"`
	} `json:"error"`
}

func (a *App) debug(ctx context.Context, token string) (*debugged, error) {
	var out struct {
		Data debugged `json:"data"`
	}
	if err := a.read(ctx, call{path: "debug_token", params: url.Values{"input_token": {token}}, pool: poolApp, out: &out}); err != nil {
		return nil, err
	}
	return &out.Data, nil
}

// Check implements channel.Checker: the token and its days left, every permission
// by name and whether it holds for this Page, the webhook fields at both levels,
// the version of the API, and who controls the conversations.
func (p *page) Check(ctx context.Context) []channel.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	k := &check{page: p, ctx: ctx}
	if p.token() == "" {
		k.bad("token", "There is no access token.", fixReconnect)
	} else if k.token() {
		k.object()
		k.fields()
		k.routing()
	}
	k.app()
	k.version()
	k.review()
	return k.out
}

// check gathers findings.
type check struct {
	page *page
	ctx  context.Context
	out  []channel.Finding
}

func (k *check) add(sev channel.Severity, code, text, fix string, data ...string) {
	f := channel.Finding{Code: code, Severity: sev, Text: text, Fix: fix}
	for i := 0; i+1 < len(data); i += 2 {
		if f.Data == nil {
			f.Data = map[string]string{}
		}
		f.Data[data[i]] = data[i+1]
	}
	k.out = append(k.out, f)
}

func (k *check) ok(code, text string)       { k.add(channel.SeverityOK, code, text, "") }
func (k *check) bad(code, text, fix string) { k.add(channel.SeverityError, code, text, fix) }
func (k *check) warn(code, text, fix string, data ...string) {
	k.add(channel.SeverityWarning, code, text, fix, data...)
}

// failed tells of a call that failed.
func (k *check) failed(code, what string, err error) {
	if ge, ok := errors.AsType[*Error](err); ok {
		fix := ge.Fix()
		if fix == "" {
			fix = "Try again later."
		}
		k.bad(code, what+": "+ge.reason()+".", fix)
		return
	}
	k.bad("connect", what+": Facebook could not be reached.", "See whether this machine reaches the Graph API; try again later.")
}

func days(d time.Duration) string { return strconv.Itoa(int(d.Hours() / 24)) }

// token checks the token itself. It reports whether it works.
func (k *check) token() bool {
	d, err := k.page.app.debug(k.ctx, k.page.token())
	if err != nil {
		k.failed("token", "The access token cannot be checked", err)
		return !final(err)
	}
	if d.Error != nil || !d.Valid {
		ge := &Error{Code: 190}
		if d.Error != nil {
			ge = &Error{Code: number(d.Error.Code), Subcode: number(d.Error.Subcode)}
		}
		k.bad("token", "The access token is not valid: "+ge.lookup().why+".", ge.Fix())
		return false
	}
	switch {
	case d.AppID != "" && string(d.AppID) != k.page.app.ID:
		k.bad("token_app", "The access token is another app's.", fixReconnect)
		return false
	case d.ProfileID != "" && string(d.ProfileID) != k.page.id:
		k.bad("token_page", "The access token is another Page's.", fixReconnect)
		return false
	}
	now := k.page.app.now()
	k.left("token", "The access token", d.ExpiresAt.Time, now)
	k.left("data_access", "The access to data of people", d.DataAccess.Time, now)
	k.scopes(d)
	return true
}

// left tells how long something holds; a zero time is for ever.
func (k *check) left(code, what string, until, now time.Time) {
	left := until.Sub(now)
	switch {
	case until.IsZero():
		k.ok(code, what+" does not expire.")
	case left <= 0:
		k.bad(code, what+" has expired.", fixReconnect)
	case left < warnBefore:
		k.warn(code, what+" expires in "+days(left)+" days.", fixReconnect, "days_left", days(left))
	default:
		k.add(channel.SeverityOK, code, what+" holds for "+days(left)+" days.", "", "days_left", days(left))
	}
}

func (k *check) scopes(d *debugged) {
	for _, s := range k.page.app.scopes() {
		if !slices.Contains(d.Scopes, s.Name) {
			k.add(channel.SeverityError, "scope_missing", "The permission "+s.Name+" is missing: "+s.Without+".", fixAdmin, "scope", s.Name)
			continue
		}
		if !d.covers(s.Name, k.page.id) {
			k.add(channel.SeverityError, "scope_target", "The permission "+s.Name+" is granted, but not for this Page: "+s.Without+".",
				"Connect again, and tick this Page in Facebook's dialog.", "scope", s.Name)
			continue
		}
		k.add(channel.SeverityOK, "scope", "The permission "+s.Name+" is granted.", "", "scope", s.Name)
	}
}

// covers reports whether a scope holds for a Page. Without targets it holds for
// all.
func (d *debugged) covers(scope, page string) bool {
	for _, g := range d.Granular {
		if g.Scope == scope && len(g.Targets) > 0 && !slices.Contains(g.Targets, ident(page)) {
			return false
		}
	}
	return true
}

// object checks that the Page can be read, and the tasks: those that are missing
// show in what is refused.
func (k *check) object() {
	var out struct {
		ID   ident  `json:"id"`
		Name string `json:"name"`
	}
	if err := k.page.app.read(k.ctx, k.page.call(k.page.id, poolPages, url.Values{"fields": {"id,name"}}, &out)); err != nil {
		k.failed("page", "The Page cannot be read", err)
		return
	}
	k.ok("page", "The Page "+plain(oneLine(out.Name))+" can be read.")
	tests := []struct {
		task, path string
		in         pool
		params     url.Values
	}{
		{"MESSAGING", k.page.id + "/conversations", poolMessenger, url.Values{"platform": {"messenger"}, "limit": {"1"}, "fields": {"id"}}},
		{"MODERATE or CREATE_CONTENT", k.page.id + "/feed", poolPages, url.Values{"limit": {"1"}, "fields": {"id"}}},
	}
	for _, t := range tests {
		err := k.page.app.read(k.ctx, k.page.call(t.path, t.in, t.params, nil))
		ge, ok := errors.AsType[*Error](err)
		switch {
		case err == nil:
			k.add(channel.SeverityOK, "task", "The task "+t.task+" is allowed.", "", "task", t.task)
		case ok && ge.Name() == "task_missing":
			k.add(channel.SeverityError, "task_missing", "The person who connected the Page lacks the task "+t.task+" on it.", fixAdmin, "task", t.task)
		case ok && ge.Name() == "permission": // the scope's finding says it
		default:
			k.failed("task", "The task "+t.task+" cannot be checked", err)
		}
	}
}

// fields checks the Page-level subscription.
func (k *check) fields() {
	missing, err := k.page.missingFields(k.ctx)
	switch {
	case err != nil:
		k.failed("page_fields", "The Page's subscription cannot be read", err)
	case len(missing) > 0:
		k.add(channel.SeverityError, "page_fields", "The app is not subscribed to these events of the Page: "+strings.Join(missing, ", ")+".",
			"It is tried again by itself; or connect the Page again.", "fields", strings.Join(missing, ","))
	default:
		k.ok("page_fields", "The app is subscribed to the Page's events.")
	}
}

// app checks the app-level subscription.
func (k *check) app() {
	have, callback, err := k.page.app.appSubscription(k.ctx)
	switch missing := without(Fields(), have); {
	case err != nil:
		k.failed("app_fields", "The app's own subscription cannot be read", err)
	case callback == "":
		k.bad("app_fields", "The app has no webhook for Pages.", "Set it up at Facebook, or with App.Subscribe.")
	case len(missing) > 0:
		k.add(channel.SeverityError, "app_fields", "The app's webhook leaves out: "+strings.Join(missing, ", ")+".",
			"Subscribe to them in the app's settings, Webhooks, Page, or with App.Subscribe.", "fields", strings.Join(missing, ","))
	default:
		k.ok("app_fields", "The app's webhook takes all events of Pages.")
	}
}

// appSubscription reads the app's own subscription to Pages.
func (a *App) appSubscription(ctx context.Context) (fields []string, callback string, err error) {
	var out struct {
		Data []struct {
			Object   string            `json:"object"`
			Callback string            `json:"callback_url"`
			Active   bool              `json:"active"`
			Fields   []json.RawMessage `json:"fields"`
		} `json:"data"`
	}
	if err := a.read(ctx, call{path: a.ID + "/subscriptions", pool: poolApp, out: &out}); err != nil {
		return nil, "", err
	}
	for _, s := range out.Data {
		if s.Object != "page" || !s.Active {
			continue
		}
		callback = s.Callback
		for _, f := range s.Fields {
			var name string
			var named struct {
				Name string `json:"name"`
			}
			if json.Unmarshal(f, &name) == nil {
				fields = append(fields, name)
			} else if json.Unmarshal(f, &named) == nil {
				fields = append(fields, named.Name)
			}
		}
	}
	return fields, callback, nil
}

// versions are the ends of those of the Graph API
// (https://developers.facebook.com/docs/graph-api/changelog/versions).
var versions = map[string]string{
	"v21.0": "2027-01-21", "v22.0": "2027-05-20", "v23.0": "2027-10-08", "v24.0": "2028-02-18", "v25.0": "2028-07-29",
}

func (k *check) version() {
	v := k.page.app.version()
	end, ok := versions[v]
	if !ok {
		if v < DefaultVersion && len(v) == len(DefaultVersion) {
			k.bad("version", "Version "+v+" of the Graph API has ended: another answers in its place.", "Set App.Version to a newer one, or leave it empty.")
			return
		}
		k.ok("version", "Version "+v+" of the Graph API is in use.")
		return
	}
	at, err := time.Parse(time.DateOnly, end)
	if err != nil {
		return
	}
	left := at.Sub(k.page.app.now())
	if left < 90*24*time.Hour {
		k.warn("version", "Version "+v+" of the Graph API ends on "+end+".", "Set App.Version to a newer one, or leave it empty.", "ends", end)
		return
	}
	k.ok("version", "Version "+v+" of the Graph API is good until "+end+".")
}

// recently is how long what was seen of the routing counts.
const recently = 24 * time.Hour

// routing says whether another app is in the way.
func (k *check) routing() {
	p := k.page
	p.mu.Lock()
	c := p.control
	p.mu.Unlock()
	now := p.app.now()
	recent := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < recently }
	var out struct {
		Status *struct {
			MultiApp *bool `json:"msgr_multi_app"`
		} `json:"messaging_feature_status"`
	}
	err := p.app.read(k.ctx, p.call(p.id, poolPages, url.Values{"fields": {"messaging_feature_status"}}, &out))
	if err == nil && out.Status != nil && out.Status.MultiApp != nil && !*out.Status.MultiApp {
		k.ok("routing", "Conversation routing is off: every connected app gets all messages, and may answer.")
		return
	}
	fix := fixDefault + " (https://www.facebook.com/settings?tab=msgr_conversation_routing)"
	switch {
	case recent(c.standby) && !recent(c.messaging) && k.notOwner(c.person):
		k.bad("routing", "Customers' messages come in standby only: another app is this Page's default app, and answers are refused.", fix)
	case recent(c.refused):
		k.warn("routing", "An answer was refused: "+c.refusal+".", fix)
	case recent(c.standby) && c.standby.After(c.messaging):
		k.warn("routing", "Some customers' messages come in standby: another app controls their conversations.", fix)
	default:
		k.ok("routing", "Nothing shows that another app is in the way.")
	}
}

// notOwner asks who controls somebody's conversation. It reports false if we are
// the default app: then another app was only given this one.
func (k *check) notOwner(psid string) bool {
	if !plausibleID(psid) {
		return true
	}
	var out struct {
		Data []struct {
			Owner struct {
				AppID ident `json:"app_id"`
			} `json:"thread_owner"`
		} `json:"data"`
	}
	err := k.page.app.read(k.ctx, k.page.call(k.page.id+"/thread_owner", poolMessenger, url.Values{"recipient": {psid}}, &out))
	return err != nil || len(out.Data) == 0 || out.Data[0].Owner.AppID == ""
}

// review looks for the symptom of an app that was not reviewed: the Graph shows
// messages of customers that never came by webhook.
func (k *check) review() {
	p := k.page
	p.mu.Lock()
	heard := p.control.messaging
	if p.control.standby.After(heard) {
		heard = p.control.standby
	}
	p.mu.Unlock()
	if p.token() == "" || !heard.IsZero() {
		return
	}
	var list struct {
		Data []conversationNode `json:"data"`
	}
	q := url.Values{"platform": {"messenger"}, "limit": {"5"}, "fields": {"id,updated_time,messages.limit(5){id,created_time,from}"}}
	if err := p.app.read(k.ctx, p.call(p.id+"/conversations", poolMessenger, q, &list)); err != nil {
		return
	}
	since := p.opened
	for _, c := range list.Data {
		for _, m := range c.Messages.Data {
			if string(m.From.ID) != p.id && m.Created.After(since) {
				k.warn("standard_access", fmt.Sprintf("Customers wrote after %s, and no event of it came here.", since.UTC().Format(time.DateTime)),
					"If only people with a role on the app get through, have it reviewed for advanced access to pages_messaging. "+
						"If this runs on several nodes, the events may have come to another.")
				return
			}
		}
	}
}
