package main

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// browserOf is a browser without scripts.
type browserOf struct {
	*running
	client *http.Client
}

func (r *running) browser() browserOf {
	jar, err := cookiejar.New(nil)
	require.NoError(r.t, err)
	return browserOf{r, &http.Client{Jar: jar}}
}

// see gets a page, following where it leads.
func (b browserOf) see(path string, status int) string {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.host.baseURL()+path, nil)
	require.NoError(b.t, err)
	req.Header.Set("Accept", "text/html")
	return b.do(req, status)
}

func (b browserOf) do(req *http.Request, status int) string {
	b.t.Helper()
	resp, err := b.client.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.Equal(b.t, status, resp.StatusCode, "%s %s: %s", req.Method, req.URL.Path, data)
	csp := resp.Header.Get("Content-Security-Policy")
	require.Contains(b.t, csp, "default-src 'none'", req.URL.Path)
	require.NotContains(b.t, csp, "script-src 'unsafe", req.URL.Path)
	return string(data)
}

// post posts a form, with what the page gives against forgery unless it is in
// fields already.
func (b browserOf) post(path string, status int, fields ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	if !form.Has("csrf") {
		if m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(b.see("/people", 200)); m != nil {
			form.Set("csrf", m[1])
		}
	}
	req, err := http.NewRequest(http.MethodPost, b.host.baseURL()+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/html")
	return b.do(req, status)
}

func (b browserOf) signIn(agent, password string, status int) string {
	b.t.Helper()
	return b.post("/signin", status, "agent", agent, "password", password, "csrf", "none")
}

func TestAgentsSignInAndAnswerInTheBrowser(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t, "-undo", "1h"))
	_, accountID := r.office(provider, nil)
	b := r.browser()
	require.Contains(t, b.see("/inbox", 200), "Sign in", "who is not signed in is led there")
	require.Contains(t, b.signIn("an", "wrong-password", 401), "agent or password is wrong")
	require.Contains(t, b.signIn("binh", "", 401), "agent or password is wrong", "who has no password cannot sign in")
	require.Contains(t, b.signIn("an", "mat-khau-1", 200), "Nguyễn An")

	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	id := text(r.eventually("/api/tickets", firstTicket), "tickets", 0, "id")
	inbox := b.see("/inbox", 200)
	require.Contains(t, inbox, "Đơn hàng bị trễ")
	require.Contains(t, inbox, "Phạm Châu")
	require.NotContains(t, b.see("/inbox?status=solved", 200), "Đơn hàng bị trễ")
	require.Contains(t, b.see("/tickets/"+id, 200), "Chào shop, đơn hàng của tôi ở đâu?")

	page := b.post("/tickets/"+id+"/reply", 200, "text", "Đang đến.\r\nAn")
	require.Contains(t, page, "Đang đến.\nAn")
	cancel := regexp.MustCompile(`/messages/[^/"]+/cancel`).FindString(page)
	require.NotEmpty(t, cancel, "the undo clock can be stopped")
	require.Contains(t, b.post(cancel, 200), "cancelled")
	require.Empty(t, provider.Messages())

	page = b.post("/tickets/"+id+"/reply", 200, "text", "Đã giao.")
	b.post(strings.Replace(regexp.MustCompile(`/messages/[^/"]+/cancel`).FindString(page), "/cancel", "/now", 1), 200)
	_, err := provider.Next(t.Context())
	require.NoError(t, err)

	require.Contains(t, b.post("/tickets/"+id+"/reply", 400, "text", "  "), "must not be empty")
	require.Contains(t, b.post("/tickets/"+id+"/note", 200, "text", "ghi chú nội bộ"), "internal note")
	b.post("/tickets/"+id+"/status", 200, "status", "solved")
	b.post("/tickets/"+id+"/assign", 200, "agent", "an")
	require.Equal(t, "an", text(r.call("GET", "/api/tickets/"+id, nil, 200), "assignee"))
	require.Contains(t, b.post("/presence", 200, "state", "online", "to", "/inbox"), "Inbox")
	require.Contains(t, b.post("/write", 200, "channel", accountID, "to", "Đạt <dat@khach.example>", "subject", "Chào", "text", "Xin chào", "what", "send"), "Xin chào")
	require.Contains(t, b.post("/write", 400, "channel", accountID, "to", "nobody", "subject", "Chào"), "to:")
	require.Contains(t, b.see("/tickets/none", 404), "Not possible")
	require.Contains(t, b.post("/signout", 200), "Sign in")
	require.Contains(t, b.see("/inbox", 200), "Sign in")
}

func TestChannelsAndPeopleCanBeSetUpInTheBrowser(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("sale@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(nil, nil)
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)

	require.Contains(t, b.post("/people/agent", 200, "id", "carla", "name", "Carla Conceição", "password", "uma-senha"), "Carla Conceição")
	require.Contains(t, b.post("/people/queue", 200, "id", "vendas", "name", "Vendas", "agents", "carla", "agents", "an", "policy", "least_busy"), "Vendas")
	require.Contains(t, b.post("/people/agent", 400, "id", "x", "password", "short"), "password")
	page := b.post("/channels", 200, "kind", "email.hosted", "local_part", "vendas", "name", "Vendas", "queue", "vendas", "active", "on",
		"prefer_online", "on", "auto_on", "on", "auto_subject", "Recebido", "auto_body", "Olá {{customer.name}}")
	require.Contains(t, html.UnescapeString(page), "Mail to vendas@portal.localhost is taken in.", "it is checked once it is saved")
	require.Contains(t, b.post("/channels", 400, "kind", "email.hosted", "local_part", "vendas"), "is taken")
	b.see("/channels/new?kind=email.account", 200)
	b.see("/channels/new?kind=email.gmail", 501)

	hosted := text(r.call("GET", "/api/channels", nil, 200), "channels", 0, "id")
	page = b.post("/channels", 200, "kind", "email.account", "address", "sale@shop.example", "password", "geheim", "host", provider.Host(),
		"port", url.PathEscape(strings.Split(provider.Addr(), ":")[1]), "security", "none", "forwarded_to", hosted, "active", "on", "write_first", "on",
		"undo", "0s", "common_on", "on", "common", "Trân trọng", "signature:an", "An")
	require.Contains(t, page, "logged in")
	require.Contains(t, page, "forward to <code>", "the pair's address is told")
	saved := get(r.call("GET", "/api/channels", nil, 200), "channels", 2)
	require.Equal(t, "sale@shop.example", text(saved, "address"))
	require.Equal(t, "An", text(saved, "settings", "signatures", "agents", "an", "text"))
	path := "/channels/" + text(saved, "id")
	require.Contains(t, b.post(path, 200, "address", "sale@shop.example", "host", provider.Host(), "port", strings.Split(provider.Addr(), ":")[1],
		"security", "none", "active", "on"), "logged in", "an empty password leaves the old one")
	require.Contains(t, b.post(path, 400, "address", "x", "host", "y", "active", "on"), "config.address")
	b.post(path+"/check", 200)
	require.NotContains(t, b.post(path+"/delete", 200), "sale@shop.example")
}

func TestAnotherSiteCannotActForASignedInAgent(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	u, err := url.Parse(r.host.baseURL())
	require.NoError(t, err)
	cookie := b.client.Jar.Cookies(u)[0]
	b.post("/presence", 403, "state", "online", "csrf", "forged")
	b.post("/presence", 403, "state", "online", "csrf", "")

	do := func(method, path, body string, header ...string) int {
		req, err := http.NewRequest(method, r.host.baseURL()+path, strings.NewReader(body))
		require.NoError(t, err)
		req.AddCookie(cookie)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	token := r.host.server.logins.csrf(&session{value: cookie.Value})
	require.Equal(t, 200, do("GET", "/api/tickets", ""))
	require.Equal(t, 403, do("PUT", "/api/agents/an/presence", `{"state":"online"}`))
	require.Equal(t, 200, do("PUT", "/api/agents/an/presence", `{"state":"online"}`, csrfHeader, token))
	require.Equal(t, 403, do("PUT", "/api/agents/an/presence", `{"state":"online"}`, csrfHeader, token, "Origin", "https://evil.example"))
	require.Equal(t, 403, do("PUT", "/api/agents/binh/presence", `{"state":"online"}`, csrfHeader, token), "an agent speaks for themselves only")
	require.Equal(t, 401, do("GET", "/api/tickets", "", "Authorization", "Bearer wrong"))

	for _, bad := range []string{"", "x", "a.b.c", cookie.Value + "x", strings.Replace(cookie.Value, ".", ".9", 1)} {
		cookie.Value, bad = bad, cookie.Value
		require.Equal(t, 401, do("GET", "/api/tickets", ""))
		cookie.Value = bad
	}
	r.call("PUT", "/api/agents/an", object{"name": "An", "password": "mat-khau-2"}, 200)
	require.Equal(t, 401, do("GET", "/api/tickets", ""), "a new password ends old sessions")
	for range failuresMinute {
		b.signIn("an", "mat-khau-1", 401)
	}
	b.signIn("an", "mat-khau-2", 429)
}

func TestSignInLeadsToPagesOfOursOnly(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"/tickets/x?a=b": "/tickets/x?a=b", "": "/inbox", "https://evil.example": "/inbox", "//evil.example": "/inbox",
		`/\evil.example`: "/inbox", "evil": "/inbox", "javascript:alert(1)": "/inbox"} {
		require.Equal(t, want, localPath(to), to)
	}
}

func TestASearchThatHasFoundNothingYetCanGoOn(t *testing.T) {
	t.Parallel()
	p, err := newPages(&server{})
	require.NoError(t, err)
	shown := func(next string) string {
		var b strings.Builder
		require.NoError(t, p.templates["inbox"].Execute(&b, view{Data: inboxData{Next: next}}))
		return b.String()
	}
	require.Contains(t, shown("/inbox?cursor=x"), `<a href="/inbox?cursor=x">Look further</a>`)
	require.NotContains(t, shown("/inbox?cursor=x"), "No tickets here")
	require.Contains(t, shown(""), "No tickets here")
}

func TestAMailCannotRunScriptsInThePages(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	r.mail("e@khach.example", "support@portal.localhost", `From: "<script>alert(1)</script>" <e@khach.example>
To: support@portal.localhost
Subject: <img src=x onerror=alert(1)>
MIME-Version: 1.0
Content-Type: multipart/related; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p onclick="alert(1)">Xin <b>chào</b></p><script>alert(1)</script><img src="cid:pic"><img src="https://track.example/x.png"><a href="javascript:alert(1)">x</a>
--b
Content-Type: image/png; name="../../x.png"
Content-ID: <pic>
Content-Transfer-Encoding: base64

`+onePixel+`
--b--
`)
	id := text(r.eventually("/api/tickets", firstTicket), "tickets", 0, "id")
	m := get(r.call("GET", "/api/tickets/"+id, nil, 200), "messages", 0)
	file := text(m, "attachments", 0, "id")
	require.NotEmpty(t, file)
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	page := b.see("/tickets/"+id, 200)
	require.Contains(t, page, `<iframe sandbox="allow-same-origin`)
	require.NotContains(t, page, "allow-scripts")
	for _, s := range []string{page, b.see("/inbox", 200)} {
		require.NotContains(t, s, "<script>alert")
		require.NotContains(t, s, "<img src=x")
	}
	for _, body := range []string{b.see("/messages/"+text(m, "id")+"/html", 200), text(m, "html")} {
		require.Contains(t, body, "<b>chào</b>")
		require.Contains(t, body, "/api/attachments/"+file, "inline images are ours")
		for _, bad := range []string{"<script", "onclick", "javascript:", "track.example"} {
			require.NotContains(t, body, bad)
		}
	}
	got := r.request("GET", "/api/attachments/"+file, nil)
	require.Equal(t, "image/png", got.Header.Get("Content-Type"))
	require.Contains(t, got.Header.Get("Content-Disposition"), "attachment")
	require.NotContains(t, got.Header.Get("Content-Disposition"), "..")
	require.Contains(t, got.Header.Get("Content-Security-Policy"), "sandbox")
}
