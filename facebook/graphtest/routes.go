package graphtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// call is one call with its token looked up.
type call struct {
	method string
	q      url.Values
	tok    *token
	page   *Page // of a Page token
	base   string
}

// handle answers a call. g.mu is held.
func (g *Graph) handle(method, path string, q url.Values, tok, proof, timed string, w http.ResponseWriter) (any, *apiError) {
	switch path {
	case "dialog/oauth":
		return nil, g.dialog(w, q)
	case "oauth/access_token":
		return g.exchange(q)
	}
	if tok == "" {
		return nil, &apiError{code: 2500, message: "An active access token must be used to query information about the current user."}
	}
	if tok == appID+"|"+appSecret {
		return g.asApp(method, path, q)
	}
	t := g.tokens[tok]
	if bad := g.check(t); bad != nil {
		return nil, bad
	}
	if proof == "" && g.opts.RequireProof || proof != "" && !g.proven(tok, proof, timed) {
		return nil, &apiError{code: 100, message: "Invalid appsecret_proof provided in the API argument"}
	}
	c := &call{method: method, q: q, tok: t, page: g.pages[t.page], base: g.opts.URL}
	id, edge, _ := strings.Cut(path, "/")
	if id == "me" && c.page != nil {
		id = c.page.ID
	}
	switch {
	case id == "me":
		return g.asUser(c, edge)
	case g.pages[id] != nil:
		return g.onPage(c, id, edge)
	case g.nodes[id] != nil:
		return g.onNode(c, g.nodes[id], edge)
	case c.page != nil && g.byPSID(c.page.ID, id) != nil && edge == "":
		return g.profile(c, g.byPSID(c.page.ID, id), id)
	}
	return nil, gone(id)
}

func gone(id string) *apiError {
	return &apiError{code: 100, subcode: 33, message: "Unsupported get request. Object with ID '" + id + "' does not exist"}
}

func permission(scope string) *apiError {
	return &apiError{code: 200, message: "(#200) Requires " + scope + " permission to manage the object."}
}

// needs returns an error unless the token has the scope for its Page, and its
// user one of the tasks (ref 8.1, D).
func (g *Graph) needs(c *call, scope string, tasks ...string) *apiError {
	u := g.people[c.tok.user]
	if u == nil || !u.scopes[scope] || u.ticked != nil && !u.ticked[c.tok.page] {
		return permission(scope)
	}
	if len(tasks) > 0 && !slices.ContainsFunc(tasks, func(t string) bool { return slices.Contains(u.pages[c.tok.page], t) }) {
		return &apiError{code: 1, subcode: 2853006, message: "You do not have permission for this task on the Page"}
	}
	return nil
}

func (g *Graph) success() any {
	if g.opts.Doubts.StringBooleans {
		return object{"success": "true"}
	}
	return object{"success": true}
}

// asApp are calls with the app's own token.
func (g *Graph) asApp(method, path string, q url.Values) (any, *apiError) {
	switch {
	case path == "debug_token":
		return g.debug(q.Get("input_token")), nil
	case path == appID+"/subscriptions" && method == http.MethodGet:
		// ref 8.2 step 8
		if len(g.fields) == 0 {
			return object{"data": []any{}}, nil
		}
		var fields []object
		for _, f := range g.fields {
			fields = append(fields, object{"name": f, "version": "v26.0"})
		}
		cb := ""
		if g.callback != nil {
			cb = g.callback.url
		}
		return object{"data": []any{object{"object": "page", "callback_url": cb, "active": true, "fields": fields}}}, nil
	case path == appID+"/subscriptions" && method == http.MethodPost:
		if q.Get("object") != "page" || q.Get("callback_url") == "" || q.Get("verify_token") == "" {
			return nil, &apiError{code: 100, message: "object, callback_url and verify_token are required"}
		}
		if g.callback == nil {
			return nil, &apiError{code: 2200, message: "(#2200) Callback verification failed"}
		}
		g.fields = split(q.Get("fields"))
		g.callback.url = q.Get("callback_url")
		return g.success(), nil
	}
	return nil, &apiError{code: 2500, message: "Unknown path components"}
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// onPage are calls on a Page.
func (g *Graph) onPage(c *call, id, edge string) (any, *apiError) {
	p := g.pages[id]
	if c.page == nil || c.page.ID != id {
		if edge == "" && c.method == http.MethodGet {
			return object{"id": id, "name": p.Name}, nil
		}
		return nil, &apiError{code: 190, subcode: 2069032, message: "A Page access token is required"}
	}
	switch c.method + " " + edge {
	case "GET ":
		out := object{"id": id, "name": p.Name}
		if strings.Contains(c.q.Get("fields"), "messaging_feature_status") { // ref 9.2, D
			out["messaging_feature_status"] = object{"hop_v2": false, "msgr_multi_app": p.defaultApp != "", "ig_multi_app": false}
		}
		return out, nil
	case "GET subscribed_apps":
		if bad := g.needs(c, "pages_manage_metadata"); bad != nil {
			return nil, bad
		}
		if len(p.subscribed) == 0 {
			return object{"data": []any{}}, nil
		}
		return object{"data": []any{object{"id": appID, "name": "Anteroom", "category": "Business", "link": "https://app.example", "subscribed_fields": p.subscribed}}}, nil
	case "POST subscribed_apps":
		if bad := g.needs(c, "pages_manage_metadata", "CREATE_CONTENT", "MANAGE", "MODERATE"); bad != nil {
			return nil, bad
		}
		fields := split(c.q.Get("subscribed_fields"))
		for _, f := range fields {
			if !slices.Contains(allFields, f) {
				return nil, &apiError{code: 100, message: "(#100) Param subscribed_fields must be one of the known fields"}
			}
		}
		if g.opts.Doubts.SubscribeMerges {
			fields = slices.Compact(slices.Sorted(slices.Values(append(fields, p.subscribed...))))
		}
		p.subscribed = fields
		return g.success(), nil
	case "DELETE subscribed_apps":
		p.subscribed = nil
		return g.success(), nil
	case "POST messages":
		return g.send(c, p)
	case "POST photos":
		return g.uploadPhoto(c, p)
	case "GET conversations":
		return g.conversations(c, p)
	case "GET feed":
		return g.feed(c, p)
	case "GET thread_owner":
		return g.threadOwner(c, p)
	case "POST take_thread_control":
		return g.takeControl(c, p)
	case "POST release_thread_control", "POST pass_thread_control", "POST request_thread_control":
		return g.success(), nil
	}
	return nil, &apiError{code: 2500, message: "Unknown path components: /" + edge}
}

// profile tells of a person (ref 10, D).
func (g *Graph) profile(c *call, p *Person, psid string) (any, *apiError) {
	if bad := g.needs(c, "pages_messaging"); bad != nil {
		return nil, &apiError{code: 100, subcode: 2018247, message: "Insufficient permission to access user profile"}
	}
	t := g.threads[c.page.ID+"/"+p.psid[c.page.ID]]
	if p.noProfile || t == nil || t.lastUser.IsZero() {
		return object{"id": psid}, nil
	}
	first, last, _ := strings.Cut(p.Name, " ")
	picture := g.opts.URL + "/media/none/pic.jpg"
	if p.picture != nil {
		picture = g.host("pic.jpg", "image/jpeg", p.picture)
	}
	out := object{"id": psid}
	for field, v := range map[string]string{"name": p.Name, "first_name": first, "last_name": last, "profile_pic": picture} {
		if slices.Contains(split(c.q.Get("fields")), field) {
			out[field] = v
		}
	}
	return out, nil
}

func (g *Graph) psidParam(c *call, field string) string {
	s := c.q.Get(field)
	if strings.HasPrefix(s, "{") {
		return jsonField(s, "id")
	}
	return s
}

// threadOwner is ref 9.2, D.
func (g *Graph) threadOwner(c *call, p *Page) (any, *apiError) {
	t := g.threads[p.ID+"/"+g.psidParam(c, "recipient")]
	if t == nil || p.defaultApp == "" || !g.now().Before(t.ownerUntil) {
		return object{"data": []any{}}, nil
	}
	owner := object{"expiration": t.ownerUntil.Unix()}
	if t.owner == appID || p.defaultApp == appID {
		owner["app_id"] = g.num(t.owner)
	}
	return object{"data": []any{object{"thread_owner": owner}}}, nil
}

// takeControl is ref 9.2 and 9.3, D and O.
func (g *Graph) takeControl(c *call, p *Page) (any, *apiError) {
	t := g.threads[p.ID+"/"+g.psidParam(c, "recipient")]
	switch {
	case p.defaultApp == "":
		return nil, &apiError{code: 27, message: "(#27) Take thread control is not supported when Conversation Routing is not enabled"}
	case t == nil:
		return nil, &apiError{code: 100, subcode: 2018001, message: "(#100) No matching user found"}
	case !p.takeOver:
		return nil, &apiError{code: 10, subcode: 2018171, message: "(#10) Only available to Primary and Secondary Receivers"}
	}
	t.owner, t.ownerUntil = appID, g.now().Add(24*time.Hour)
	return g.success(), nil
}
