package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

//go:embed web
var web embed.FS

// pages are what agents see in the browser. Forms post and lead back to a page;
// the script only keeps what is shown fresh.
type pages struct {
	*server
	templates map[string]*template.Template
	// hint is shown on the sign-in page, in a demo.
	hint string
}

func newPages(s *server) (*pages, error) {
	p := &pages{server: s, templates: map[string]*template.Template{}}
	funcs := template.FuncMap{
		"iso":     func(t *time.Time) string { return t.UTC().Format(time.RFC3339) },
		"plain":   func(t *time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"initial": initial,
		"human":   func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"bytes":   humanBytes,
		"trouble": func(state string) bool {
			return state == string(ticket.StateFailed) || state == string(ticket.StateBounced) || state == string(ticket.StateUncertain) || state == string(ticket.StatePending)
		},
		"list":  func(v ...string) []string { return v },
		"lines": strings.TrimSpace,
	}
	for _, name := range []string{"signin", "inbox", "ticket", "channels", "channel", "people", "write", "choose", "chosen", "error"} {
		t, err := template.New("layout.html").Funcs(funcs).ParseFS(web, "web/layout.html", "web/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", name, err)
		}
		p.templates[name] = t
	}
	return p, nil
}

func (p *pages) routes() []route {
	see := func(pattern string, h func(http.ResponseWriter, *http.Request) error) route {
		return route{http.MethodGet, pattern, browser, 0, h}
	}
	post := func(pattern string, h func(http.ResponseWriter, *http.Request) error) route {
		return route{http.MethodPost, pattern, browser, maxBody, h}
	}
	return []route{
		{http.MethodGet, "/static/{name}", anybody, 0, p.static},
		{http.MethodGet, "/signin", anybody, 0, p.signInPage},
		{http.MethodPost, "/signin", anybody, 16 << 10, p.signIn},
		post("/signout", p.signOut),
		see("/{$}", func(w http.ResponseWriter, r *http.Request) error { return p.goTo(w, r, "/inbox") }),
		see("/inbox", p.inbox),
		see("/write", p.writePage),
		post("/write", p.write),
		see("/tickets/{id}", p.ticket),
		post("/tickets/{id}/reply", p.reply),
		post("/tickets/{id}/note", p.note),
		post("/tickets/{id}/status", p.status),
		post("/tickets/{id}/assign", p.assign),
		see("/messages/{id}/html", p.messageHTML),
		post("/messages/{id}/cancel", p.cancel),
		post("/messages/{id}/now", p.sendNow),
		post("/messages/{id}/resolve", p.resolve),
		post("/presence", p.presence),
		see("/channels", p.channels),
		see("/channels/new", p.newChannel),
		post("/channels", p.addChannel),
		see("/channels/{id}", p.channel),
		post("/channels/{id}", p.saveChannel),
		post("/channels/{id}/check", p.check),
		post("/channels/{id}/delete", p.removeChannel),
		see("/people", p.people),
		post("/people/agent", p.saveAgent),
		post("/people/queue", p.saveQueue),
	}
}

// view is what every page is shown with.
type view struct {
	Title   string
	Portal  string
	Path    string
	Agent   *agentJSON // who is signed in
	CSRF    string
	Cursor  int64  // where the page's live feed begins
	Problem string // why what was posted was not taken
	Data    any
}

// render shows a page. The feed's end is read before the data is, so that
// nothing that happens in between is missed; begin does that.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, name, title string, v view) error {
	v.Title, v.Portal, v.Path = title, p.host.opts.domain, r.URL.Path
	if sess := sessionOf(r); sess != nil {
		v.CSRF = p.logins.csrf(sess)
		agents, err := p.desk.Agents(r.Context())
		if err != nil {
			return err
		}
		for _, a := range agents {
			if a.ID == sess.agent {
				shown := showAgent(a)
				v.Agent = &shown
			}
		}
	}
	var b bytes.Buffer
	if err := p.templates[name].Execute(&b, v); err != nil {
		return fmt.Errorf("show page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
	return nil
}

func (p *pages) showError(w http.ResponseWriter, r *http.Request, e *apiError) {
	if err := p.render(w, r, e.status, "error", "Not possible", view{Data: e}); err != nil {
		http.Error(w, e.Message, e.status)
	}
}

func (p *pages) goTo(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther) //nolint:gosec // callers give paths of ours, or what localPath let through
	return nil
}

func (p *pages) static(w http.ResponseWriter, r *http.Request) error {
	types := map[string]string{"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	name := r.PathValue("name")
	t, ok := types[name]
	if !ok {
		return ticket.ErrNotFound
	}
	b, err := web.ReadFile("web/" + name)
	if err != nil {
		return ticket.ErrNotFound
	}
	w.Header().Set("Content-Type", t)
	_, _ = w.Write(b) //nolint:gosec // a file of the program, named in types
	return nil
}

type signInData struct{ To, Agent, Hint string }

func (p *pages) signInPage(w http.ResponseWriter, r *http.Request) error {
	return p.render(w, r, http.StatusOK, "signin", "Sign in", view{Data: signInData{To: localPath(r.URL.Query().Get("to")), Hint: p.hint}})
}

// localPath keeps a sign-in from leading to another site.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/inbox"
	}
	return to
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &apiError{status: http.StatusForbidden, Code: "csrf", Message: "the request does not come from a page of ours"}
	}
	if err := readForm(r); err != nil {
		return err
	}
	agent := strings.TrimSpace(r.PostForm.Get("agent"))
	value, expires, err := p.logins.check(r.Context(), routing.AgentID(agent), r.PostForm.Get("password"))
	if err != nil {
		e := classify(err)
		if e.status >= 500 {
			return err
		}
		data := signInData{To: localPath(r.PostForm.Get("to")), Agent: agent, Hint: p.hint}
		return p.render(w, r, e.status, "signin", "Sign in", view{Problem: e.Message, Data: data})
	}
	//nolint:gosec // see secure
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: value, Path: "/", Expires: expires, HttpOnly: true,
		Secure: p.secure(r), SameSite: http.SameSiteStrictMode})
	return p.goTo(w, r, localPath(r.PostForm.Get("to")))
}

// secure reports whether the browser is to send the session over TLS only:
// wherever TLS is served, here or by what PUBLIC_URL names in front of us.
func (p *pages) secure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(p.host.opts.publicURL, "https://")
}

func (p *pages) signOut(w http.ResponseWriter, r *http.Request) error {
	//nolint:gosec // see secure
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: p.secure(r), SameSite: http.SameSiteStrictMode})
	return p.goTo(w, r, "/signin")
}

// readForm reads a posted form.
func readForm(r *http.Request) error {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return &apiError{status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "send a form", Field: "Content-Type"}
	}
	if err := r.ParseForm(); err != nil {
		return badField("body", "is no form that can be read")
	}
	for k, vs := range r.PostForm {
		for _, v := range vs {
			if strings.ToValidUTF8(v, "") != v {
				return badField(oneLineString(k), "must be valid UTF-8")
			}
		}
	}
	return nil
}

// initial is the first letter of a name, for its badge.
func initial(name string) string {
	for _, r := range strings.ToUpper(strings.TrimSpace(name)) {
		return string(r)
	}
	return "?"
}

func humanBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
