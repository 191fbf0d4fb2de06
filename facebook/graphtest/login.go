package graphtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token is an access token (ref 8, D).
type token struct {
	value   string
	user    string
	page    string // of a Page token
	long    bool
	expires time.Time // zero: not by time
	issued  time.Time
	bad     int // subcode of 190 that says why it is invalid
}

type code struct {
	user, redirect string
	until          time.Time
	used           bool
}

// allScopes are the permissions for Pages (ref 8.1, D).
var allScopes = strings.Fields("pages_show_list pages_messaging pages_manage_metadata pages_read_engagement pages_read_user_content pages_manage_engagement pages_manage_posts")

// allTasks are what an admin may do (ref 8.1, D).
var allTasks = strings.Fields("ADVERTISE ANALYZE CREATE_CONTENT MANAGE MESSAGING MODERATE")

// Manage makes the person run a Page, with the given tasks or all.
func (p *Person) Manage(page string, tasks ...string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if len(tasks) == 0 {
		tasks = allTasks
	}
	p.pages[page] = tasks
}

// Follow makes the person somebody in a Page's list who may do nothing on it: the
// list then has no token for it.
func (p *Person) Follow(page string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.pages[page] = []string{}
}

// Grant grants the app permissions, or all, as the dialog does.
func (p *Person) Grant(scopes ...string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if len(scopes) == 0 {
		scopes = allScopes
	}
	for _, s := range scopes {
		p.scopes[s] = true
	}
}

// Decline takes permissions away again.
func (p *Person) Decline(scopes ...string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	for _, s := range scopes {
		p.scopes[s] = false
	}
}

// Tick lets the app see only these of the person's Pages.
func (p *Person) Tick(pages ...string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.ticked = map[string]bool{}
	for _, id := range pages {
		p.ticked[id] = true
	}
}

// PageToken returns a token for a Page that does not expire by time, as of a
// person who runs it and granted all.
func (p *Person) PageToken(page string) string {
	p.Manage(page)
	p.Grant()
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.pageToken(p, page, true).value
}

func (g *Graph) pageToken(p *Person, page string, long bool) *token {
	for _, t := range g.tokens {
		if t.user == p.ID && t.page == page && t.bad == 0 && t.long == long {
			return t
		}
	}
	return g.newToken(p, page, long)
}

func (g *Graph) newToken(p *Person, page string, long bool) *token {
	t := &token{value: "EAAfake" + g.id() + "token", user: p.ID, page: page, long: long, issued: g.now()}
	if page == "" && long {
		t.expires = g.now().Add(60 * 24 * time.Hour)
	} else if !long {
		t.expires = g.now().Add(time.Hour)
	}
	g.tokens[t.value] = t
	return t
}

// Reasons for which a token becomes invalid: subcodes of 190 (ref 11.2).
const (
	AppRemoved      = 458
	Checkpoint      = 459
	PasswordChanged = 460
	Expired         = 463
	RoleLost        = 492
)

// Invalidate makes the person's tokens invalid.
func (p *Person) Invalidate(subcode int) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	for _, t := range p.g.tokens {
		if t.user == p.ID {
			t.bad = subcode
		}
	}
}

func (g *Graph) check(t *token) *apiError {
	switch {
	case t == nil:
		return &apiError{code: 190, message: "Invalid OAuth access token."}
	case t.bad != 0:
		return &apiError{code: 190, subcode: t.bad, message: "Error validating access token"}
	case !t.expires.IsZero() && g.now().After(t.expires):
		return &apiError{code: 190, subcode: Expired, message: "Error validating access token: Session has expired"}
	}
	return nil
}

// debug is debug_token: what is wrong with a token stands inside a 200 (ref 8.3).
func (g *Graph) debug(value string) any {
	t := g.tokens[value]
	if bad := g.check(t); bad != nil {
		return object{"data": object{"is_valid": false, "scopes": []any{}, "error": object{"code": bad.code, "subcode": bad.subcode, "message": bad.message}}}
	}
	u := g.people[t.user]
	var scopes []string
	var granular []object
	for _, s := range allScopes {
		if !u.scopes[s] {
			continue
		}
		scopes = append(scopes, s)
		one := object{"scope": s}
		if u.ticked != nil {
			targets := []string{}
			for id := range u.ticked {
				targets = append(targets, id)
			}
			one["target_ids"] = targets
		}
		granular = append(granular, one)
	}
	expires := int64(0)
	if !t.expires.IsZero() {
		expires = t.expires.Unix()
	}
	kind := "USER"
	if t.page != "" {
		kind = "PAGE"
	}
	return object{"data": object{"app_id": g.num(appID), "type": kind, "application": "Anteroom", "is_valid": true, "expires_at": expires,
		"data_access_expires_at": t.issued.Add(90 * 24 * time.Hour).Unix(), "issued_at": t.issued.Unix(), "profile_id": g.num(t.page),
		"user_id": g.num(t.user), "scopes": scopes, "granular_scopes": granular}}
}

// Login lets the person go through the dialog at loginURL, and returns where
// their browser is sent: to the callback, with a code or a refusal (ref 8.2).
func (p *Person) Login(loginURL string, agrees bool) (string, error) {
	u, err := url.Parse(loginURL)
	if err != nil {
		return "", err
	}
	q := u.Query()
	back := url.Values{"state": q["state"]}
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if agrees {
		for _, s := range split(q.Get("scope")) {
			if _, decided := p.scopes[s]; !decided || q.Get("auth_type") == "rerequest" {
				p.scopes[s] = true
			}
		}
		c := &code{user: p.ID, redirect: q.Get("redirect_uri"), until: p.g.now().Add(10 * time.Minute)}
		value := "code" + p.g.id()
		p.g.codes[value] = c
		back.Set("code", value)
	} else {
		back.Set("error", "access_denied")
		back.Set("error_reason", "user_denied")
		back.Set("error_code", "200")
		back.Set("error_description", "Permissions error")
	}
	return q.Get("redirect_uri") + "?" + back.Encode(), nil
}

// dialog is the dialog as a browser sees it: the first person agrees.
func (g *Graph) dialog(w http.ResponseWriter, q url.Values) *apiError {
	if q.Get("client_id") != appID || q.Get("redirect_uri") == "" {
		return bug(0, "Invalid client_id or redirect_uri")
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("<html><body>Continue?</body></html>"))
	return nil
}

// exchange is ref 8.2 steps 3 and 4.
func (g *Graph) exchange(q url.Values) (any, *apiError) {
	if q.Get("client_id") != appID {
		return nil, bug(0, "Invalid client_id")
	}
	if q.Get("grant_type") == "fb_exchange_token" {
		t := g.tokens[q.Get("fb_exchange_token")]
		if bad := g.check(t); bad != nil {
			return nil, bad
		}
		long := g.newToken(g.people[t.user], "", true)
		return object{"access_token": long.value, "token_type": "bearer", "expires_in": 5184000}, nil
	}
	c := g.codes[q.Get("code")]
	switch {
	case c == nil || g.now().After(c.until):
		return nil, bug(36007, "This authorization code has expired.")
	case c.used:
		return nil, bug(36009, "This authorization code has been used.")
	case c.redirect != q.Get("redirect_uri"):
		return nil, bug(36008, "redirect_uri isn't an absolute URI or does not match")
	}
	c.used = true
	t := g.newToken(g.people[c.user], "", false)
	return object{"access_token": t.value, "token_type": "bearer", "expires_in": 3600}, nil
}

// asUser are calls with a user's token.
func (g *Graph) asUser(c *call, edge string) (any, *apiError) {
	u := g.people[c.tok.user]
	switch edge {
	case "":
		return object{"id": u.ID, "name": u.Name}, nil
	case "permissions":
		var list []object
		for _, s := range slices.Sorted(keys(u.scopes)) {
			status := "declined"
			if u.scopes[s] {
				status = "granted"
			}
			list = append(list, object{"permission": s, "status": status})
		}
		return object{"data": list}, nil
	case "accounts":
		if !u.scopes["pages_show_list"] {
			return nil, permission("pages_show_list")
		}
		var list []*Page
		for id := range u.pages {
			if u.ticked == nil || u.ticked[id] {
				list = append(list, g.pages[id])
			}
		}
		return paged(c, list, func(a, b *Page) int { return strings.Compare(a.ID, b.ID) }, func(p *Page) object {
			one := object{"id": p.ID, "name": p.Name, "tasks": u.pages[p.ID], "category": "Shop"}
			if len(u.pages[p.ID]) > 0 {
				one["access_token"] = g.pageToken(u, p.ID, c.tok.long).value
			}
			return one
		})
	}
	return nil, &apiError{code: 2500, message: "Unknown path components"}
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// SignedRequest returns what Facebook posts to the callbacks for the removal of
// the app and the deletion of data (ref 8.4, D).
func (p *Person) SignedRequest() string {
	payload, err := json.Marshal(object{"algorithm": "HMAC-SHA256", "issued_at": p.g.now().Unix(), "expires": p.g.now().Add(time.Hour).Unix(), "user_id": p.ID})
	if err != nil {
		return ""
	}
	encoded := base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + encoded
}
