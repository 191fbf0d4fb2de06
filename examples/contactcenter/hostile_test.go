package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket"
)

// hostileWorld is a host with one of everything, to be asked badly.
type hostileWorld struct {
	*running
	hosted, account, ticket, conversation, incoming string
}

func newHostileWorld(t *testing.T) hostileWorld {
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	w := hostileWorld{running: start(t, testOptions(t))}
	w.hosted, w.account = w.office(provider, nil)
	w.mail("chau@khach.example", "support@portal.localhost", firstMail)
	list := w.eventually("/api/tickets", firstTicket)
	w.ticket, w.conversation = text(list, "tickets", 0, "id"), text(list, "tickets", 0, "conversation")
	w.incoming = text(w.call("GET", "/api/tickets/"+w.ticket, nil, 200), "messages", 0, "id")
	return w
}

// pending makes a message in its undo window.
func (w hostileWorld) pending() string {
	m := w.call("POST", "/api/tickets/"+w.ticket+"/replies", object{"agent": "an", "text": "x", "undo": "1h"}, 202)
	return text(m, "id")
}

// refused wants an answer of 4xx with an error in JSON that names the field.
func (w hostileWorld) refused(t *testing.T, method, path, body, field string, status int, header ...string) {
	t.Helper()
	var b any
	if body != "" {
		b = body
	}
	resp := w.request(method, path, b, header...)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	what := fmt.Sprintf("%s %s %.200s: %d %s", method, path, body, resp.StatusCode, data)
	require.Equal(t, status, resp.StatusCode, what)
	var out struct {
		Error struct{ Code, Message, Field string }
	}
	require.NoError(t, json.Unmarshal(data, &out), what)
	require.NotEmpty(t, out.Error.Code, what)
	require.NotEmpty(t, out.Error.Message, what)
	require.NotContains(t, out.Error.Message, "\n", what)
	if field != "" {
		require.Equal(t, field, out.Error.Field, what)
	}
}

func TestEveryBadValueIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	pending := w.pending()
	long := strings.Repeat("x", 2<<20)
	account := func(change string) string {
		return `{"kind":"email.account","config":{"address":"b@shop.example","password":"p","smtp":{"host":"127.0.0.1","port":25,"security":"none"}` + change + `}}`
	}
	replies := "/api/tickets/" + w.ticket + "/replies"
	reply := func(change string) string { return `{"agent":"an","text":"x"` + change + `}` }
	start := func(change string) string {
		return `{"channel":"` + w.account + `","agent":"an","to":["a@b.example"],"subject":"s","text":"t","send":true` + change + `}`
	}
	for _, c := range []struct {
		method, path, body, field string
		status                    int
	}{
		// Channels.
		{"POST", "/api/channels", `{}`, "kind", 400},
		{"POST", "/api/channels", `{"kind":"fax"}`, "kind", 400},
		{"POST", "/api/channels", `{"kind":7}`, "kind", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted"}`, "config", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":null}`, "config", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":[]}`, "config", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"a b"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"a\r\nb"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"../x"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"SUPPORT"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"postmaster"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"x","port":1}}`, "config.port", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"` + strings.Repeat("x", 65) + `"}}`, "config.local_part", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","name":"a\r\nBcc: x","config":{"local_part":"y"}}`, "name", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"queue":"no"}}`, "settings.queue", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"quue":"no"}}`, "quue", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"active":"yes"}}`, "settings.active", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"undo":"soon"}}`, "settings.undo", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"undo":"-1s"}}`, "settings.undo", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"undo":10}}`, "settings.undo", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"when_none_online":"panic"}}`, "settings.when_none_online", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"auto_reply":{"on":true}}}`, "settings.auto_reply.body", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"auto_reply":{"on":true,"body":"x","subject":"a\r\nBcc: b"}}}`, "settings.auto_reply.subject", 400},
		{"POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"y"},"settings":{"signatures":{"agents":{"nobody":"x"}}}}`, "settings.signatures.agents", 400},
		{"POST", "/api/channels", account(`,"address":"not an address"`), "config.address", 400},
		{"POST", "/api/channels", account(`,"address":"a@b.example\r\nBcc: x"`), "config.address", 400},
		{"POST", "/api/channels", account(`,"password":"a\nb"`), "config.password", 400},
		{"POST", "/api/channels", account(`,"password":""`), "config.password", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"http://x/"}`), "config.smtp.host", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"a.example","port":70000}`), "config.smtp.port", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"a.example","port":-1}`), "config.smtp.port", 400},
		{"POST", "/api/channels", account(`,"imap":{}`), "config.imap.host", 400},
		{"POST", "/api/channels", account(`,"imap":7`), "config.imap", 400},
		{"POST", "/api/channels", account(`,"imap":{"host":"b.example","port":0}`), "config.imap.port", 400},
		{"POST", "/api/channels", account(`,"imap":{"host":"b.example","after":"burn"}`), "config.imap.after", 400},
		{"POST", "/api/channels", account(`,"imap":{"host":"b.example","first_sync":"now"}`), "config.imap.first_sync", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"a.example","port":"25"}`), "config.smtp.port", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"mail.example","security":"none"}`), "config.smtp.security", 400},
		{"POST", "/api/channels", account(`,"smtp":{"host":"a.example","security":"ssl3"}`), "config.smtp.security", 400},
		{"POST", "/api/channels", account(`,"forwarded_to":"no"`), "config.forwarded_to", 400},
		{"POST", "/api/channels", account(`,"forwarded_to":"` + w.account + `"`), "config.forwarded_to", 400},
		{"PATCH", "/api/channels/" + w.hosted, `{"kind":"email.account"}`, "kind", 400},
		{"PATCH", "/api/channels/" + w.hosted, `{"name":"a\u0000b"}`, "name", 400},
		{"PATCH", "/api/channels/" + w.hosted, `{"config":{"local_part":""}}`, "config.local_part", 400},
		{"PATCH", "/api/channels/" + w.hosted, `{"settings":{"queue":"no"}}`, "settings.queue", 400},
		{"PATCH", "/api/channels/" + w.account, `{"config":{"smtp":{"port":99999}}}`, "config.smtp.port", 400},

		// Agents and queues.
		{"PUT", "/api/agents/a%0Ab", `{"name":"x"}`, "id", 400},
		{"PUT", "/api/agents/%00", `{"name":"x"}`, "id", 400},
		{"PUT", "/api/agents/%ff", `{"name":"x"}`, "id", 400},
		{"PUT", "/api/agents/" + strings.Repeat("x", 300), `{"name":"x"}`, "id", 400},
		{"PUT", "/api/agents/x", `{"name":"a\r\nb"}`, "name", 400},
		{"PUT", "/api/agents/x", `{"name":5}`, "name", 400},
		{"PUT", "/api/agents/x", `{"email":"x\r\nBcc: y"}`, "email", 400},
		{"PUT", "/api/agents/x", `{"capacity":-1}`, "capacity", 400},
		{"PUT", "/api/agents/x", `{"capacity":1e30}`, "capacity", 400},
		{"PUT", "/api/agents/x", `{"capacity":99999999}`, "capacity", 400},
		{"PUT", "/api/agents/x", `{"skills":"go"}`, "skills", 400},
		{"PUT", "/api/agents/x", `{"skills":["a\nb"]}`, "skills", 400},
		{"PUT", "/api/agents/x", `{"password":"short"}`, "password", 400},
		{"PUT", "/api/agents/x", `{"admin":true}`, "admin", 400},
		{"PUT", "/api/agents/an/presence", `{"state":"asleep"}`, "state", 400},
		{"PUT", "/api/agents/an/presence", `{}`, "state", 400},
		{"PUT", "/api/agents/an/presence", `{"state":"online","ttl":"x"}`, "ttl", 400},
		{"PUT", "/api/agents/nobody/presence", `{"state":"online"}`, "", 404},
		{"PUT", "/api/queues/x", `{"agents":["nobody"]}`, "agents", 400},
		{"PUT", "/api/queues/x", `{"agents":["an","an"]}`, "agents", 400},
		{"PUT", "/api/queues/x", `{"agents":"an"}`, "agents", 400},
		{"PUT", "/api/queues/x", `{"policy":"fastest"}`, "policy", 400},
		{"PUT", "/api/queues/x", `{"prefer_online":"yes"}`, "prefer_online", 400},
		{"PUT", "/api/queues/x", `{"when_none_online":"panic"}`, "when_none_online", 400},
		{"PUT", "/api/queues/x", `{"name":"` + strings.Repeat("x", 300) + `"}`, "name", 400},

		// Lists.
		{"GET", "/api/tickets?limit=-1", "", "limit", 400},
		{"GET", "/api/tickets?limit=0", "", "limit", 400},
		{"GET", "/api/tickets?limit=x", "", "limit", 400},
		{"GET", "/api/tickets?limit=99999999999999999999", "", "limit", 400},
		{"GET", "/api/tickets?cursor=bad", "", "cursor", 400},
		{"GET", "/api/tickets?status=lost", "", "status", 400},
		{"GET", "/api/tickets?q=%00", "", "q", 400},
		{"GET", "/api/tickets?q=%ff", "", "q", 400},
		{"GET", "/api/tickets?q=...", "", "q", 400},
		{"GET", "/api/tickets?q=" + strings.Repeat("x", 1001), "", "q", 400},
		{"GET", "/api/tickets?q=%zz", "", "query", 400},
		{"GET", "/api/conversations?cursor=bad", "", "cursor", 400},
		{"GET", "/api/quarantine?cursor=bad", "", "cursor", 400},
		{"GET", "/api/quarantine?limit=-5", "", "limit", 400},
		{"GET", "/api/ledger?day=yesterday", "", "day", 400},
		{"GET", "/api/ledger?channel=%0a", "", "channel", 400},
		{"GET", "/api/events?after=x", "", "after", 400},
		{"GET", "/api/events?after=-1", "", "after", 400},

		// Tickets.
		{"PATCH", "/api/tickets/" + w.ticket, `{"status":"lost"}`, "status", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"status":1}`, "status", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"priority":"asap"}`, "priority", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"tags":"x"}`, "tags", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"tags":["a\nb"]}`, "tags", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"subject":"a\r\nBcc: b"}`, "subject", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"subject":"` + strings.Repeat("x", 401) + `"}`, "subject", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"revision":-1}`, "revision", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"revision":"1"}`, "revision", 400},
		{"PATCH", "/api/tickets/" + w.ticket, `{"revision":99}`, "revision", 409},
		{"PATCH", "/api/tickets/" + w.ticket, `{"number":2}`, "number", 400},
		{"POST", "/api/tickets/" + w.ticket + "/assign", `{}`, "agent", 400},
		{"POST", "/api/tickets/" + w.ticket + "/assign", `{"agent":"nobody"}`, "agent", 400},
		{"POST", "/api/tickets/" + w.ticket + "/assign", `{"queue":"no"}`, "queue", 400},
		{"POST", "/api/tickets/" + w.ticket + "/assign", `{"agent":"an","queue":"support"}`, "queue", 400},
		{"POST", "/api/tickets/" + w.ticket + "/notes", `{"agent":"an"}`, "text", 400},
		{"POST", "/api/tickets/" + w.ticket + "/notes", `{"text":"x"}`, "agent", 400},
		{"POST", "/api/tickets/" + w.ticket + "/notes", `{"agent":"nobody","text":"x"}`, "agent", 400},
		{"POST", "/api/tickets/" + w.ticket + "/notes", `{"agent":"an","text":"a\u0000"}`, "text", 400},

		// Replies.
		{"POST", replies, `{}`, "agent", 400},
		{"POST", replies, `{"agent":"an"}`, "text", 400},
		{"POST", replies, `{"agent":null,"text":null}`, "agent", 400},
		{"POST", replies, reply(`,"agent":"nobody"`), "agent", 400},
		{"POST", replies, reply(`,"agent":{}`), "agent", 400},
		{"POST", replies, reply(`,"text":"` + long + `"`), "text", 400},
		{"POST", replies, reply(`,"html":"a\u0000"`), "html", 400},
		{"POST", replies, reply(`,"subject":"a\r\nBcc: x@y.example"`), "subject", 400},
		{"POST", replies, reply(`,"to":"a@b.example"`), "to", 400},
		{"POST", replies, reply(`,"to":[5]`), "to", 400},
		{"POST", replies, reply(`,"to":["a@b.example\r\nBcc: c@d.example"]`), "to", 400},
		{"POST", replies, reply(`,"to":[{"name":"a\r\nBcc: x","address":"a@b.example"}]`), "to", 400},
		{"POST", replies, reply(`,"to":["nobody"]`), "to[0]", 400},
		{"POST", replies, reply(`,"to":[""]`), "to", 400},
		{"POST", replies, reply(`,"cc":["a b@c"]`), "cc[0]", 400},
		{"POST", replies, reply(`,"bcc":["<"]`), "bcc", 400},
		{"POST", replies, reply(`,"to":[` + strings.Repeat(`"a@b.example",`, 100) + `"a@b.example"]`), "to", 400},
		{"POST", replies, reply(`,"attachments":{}`), "attachments", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"a","content_base64":"***"}]`), "attachments[0].content_base64", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"a"}]`), "attachments[0].content_base64", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"../../etc/passwd","content_base64":"YQ=="}]`), "attachments[0].name", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"..","content_base64":"YQ=="}]`), "attachments[0].name", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"a\r\nb","content_base64":"YQ=="}]`), "attachments[0].name", 400},
		{"POST", replies, reply(`,"attachments":[{"content_base64":"YQ=="}]`), "attachments[0].name", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"a","type":"text/html; x=\"","content_base64":"YQ=="}]`), "attachments[0].type", 400},
		{"POST", replies, reply(`,"attachments":[{"name":"a","type":"a/b\r\nX: y","content_base64":"YQ=="}]`), "attachments[0].type", 400},
		{"POST", replies, reply(`,"send_at":"tomorrow"`), "send_at", 400},
		{"POST", replies, reply(`,"send_at":"2999-01-01T00:00:00Z"`), "send_at", 400},
		{"POST", replies, reply(`,"send_at":7`), "send_at", 400},
		{"POST", replies, reply(`,"undo":"-5s"`), "undo", 400},
		{"POST", replies, reply(`,"undo":"9000h"`), "undo", 400},
		{"POST", replies, reply(`,"via":"no"`), "via", 400},
		{"POST", replies, reply(`,"via":"` + w.hosted + `"`), "via", 409},
		{"POST", replies, reply(`,"key":"` + strings.Repeat("k", 300) + `"`), "key", 400},
		{"POST", replies, reply(`,"key":"a\nb"`), "key", 400},
		{"POST", replies, reply(`,"how":"loudly"`), "how", 400},
		{"POST", replies, reply(`,"htlm":"x"`), "htlm", 400},
		{"POST", replies, "{\"agent\":\"an\",\"text\":\"\xff\xfe\"}", "text", 400},
		{"POST", replies, "{\"agent\":\"an\",\"to\":[\"\xc3(@b.example\"]}", "to", 400},
		{"POST", replies, `[]`, "body", 400},
		{"POST", replies, `"x"`, "body", 400},
		{"POST", replies, `{"agent":"an"`, "body", 400},
		{"POST", replies, `{"agent":"an"} {}`, "body", 400},
		{"POST", replies, `{"agent":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "body", 400},
		{"POST", "/api/conversations/" + w.conversation + "/replies", `{"agent":"an"}`, "text", 400},

		// Writing first.
		{"POST", "/api/conversations", `{}`, "channel", 400},
		{"POST", "/api/conversations", start(`,"channel":"no"`), "channel", 400},
		{"POST", "/api/conversations", start(`,"channel":"` + w.hosted + `"`), "via", 409},
		{"POST", "/api/conversations", start(`,"agent":""`), "agent", 400},
		{"POST", "/api/conversations", start(`,"to":[]`), "to", 400},
		{"POST", "/api/conversations", start(`,"to":["a@b.example, c@d.example"]`), "to[0]", 400},
		{"POST", "/api/conversations", start(`,"subject":""`), "subject", 400},
		{"POST", "/api/conversations", start(`,"subject":"a\nb"`), "subject", 400},
		{"POST", "/api/conversations", start(`,"text":""`), "text", 400},
		{"POST", "/api/conversations", start(`,"send":"yes"`), "send", 400},

		// Messages.
		{"PATCH", "/api/messages/" + pending, `{"text":""}`, "text", 400},
		{"PATCH", "/api/messages/" + pending, `{"subject":""}`, "subject", 400},
		{"PATCH", "/api/messages/" + pending, `{"subject":"a\r\nb"}`, "subject", 400},
		{"PATCH", "/api/messages/" + pending, `{"send_at":""}`, "send_at", 400},
		{"PATCH", "/api/messages/" + pending, `{"send_at":"x"}`, "send_at", 400},
		{"PATCH", "/api/messages/" + pending, `{"state":"sent"}`, "state", 400},
		{"POST", "/api/messages/" + pending + "/resolve", `{"as":"maybe"}`, "as", 400},
		{"POST", "/api/messages/" + pending + "/resolve", `{}`, "as", 400},
		{"POST", "/api/messages/" + pending + "/resolve", `{"as":"sent"}`, "", 409},
		{"POST", "/api/messages/" + w.incoming + "/actions", `{"action":"explode"}`, "action", 400},
		{"POST", "/api/messages/" + w.incoming + "/actions", `{}`, "action", 400},
		{"POST", "/api/messages/" + w.incoming + "/actions", `{"action":"like"}`, "action", 409},
		{"GET", "/api/messages/" + pending + "/raw", "", "", 404},
	} {
		w.refused(t, c.method, c.path, c.body, c.field, c.status)
	}
	w.call("GET", "/healthz", nil, 200)
}

func TestUnknownIDsAreNotFound(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	body := map[string]string{
		"PATCH /api/channels/{id}": `{"name":"x"}`, "PATCH /api/tickets/{id}": `{"status":"open"}`, "POST /api/tickets/{id}/assign": `{"agent":"an"}`,
		"POST /api/tickets/{id}/notes": `{"agent":"an","text":"x"}`, "POST /api/tickets/{id}/replies": `{"agent":"an","text":"x"}`,
		"POST /api/conversations/{id}/replies": `{"agent":"an","text":"x"}`, "PATCH /api/messages/{id}": `{"text":"x"}`,
		"POST /api/messages/{id}/resolve": `{"as":"sent"}`, "POST /api/messages/{id}/actions": `{"action":"like"}`,
		"PUT /api/agents/{id}/presence": `{"state":"online"}`,
	}
	ids := []string{"no", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff%fe", "a%0d%0ab", strings.Repeat("x", 1000), "'%20or%201=1--", "no.0", "%25s"}
	for _, rt := range w.host.server.routes() {
		call := rt.method + " " + rt.pattern
		if !strings.HasPrefix(rt.pattern, "/api/") || !strings.Contains(rt.pattern, "{id}") || strings.HasSuffix(rt.pattern, "/merge") ||
			call == "PUT /api/agents/{id}" || call == "PUT /api/queues/{id}" {
			continue
		}
		for _, id := range ids {
			status := http.StatusNotFound
			if rt.method == "PUT" && (id == "%00" || id == "%ff%fe" || len(id) > maxIDLength) {
				status = http.StatusBadRequest
			}
			w.refused(t, rt.method, strings.Replace(rt.pattern, "{id}", id, 1), body[call], "", status)
		}
	}
}

func TestEveryCallWantsTheTokenAndTheRightMethodTypeAndSize(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	for _, rt := range w.host.server.routes() {
		if !strings.HasPrefix(rt.pattern, "/api/") {
			continue
		}
		path := strings.Replace(rt.pattern, "{id}", "x", 1)
		for _, auth := range []string{"", "Bearer wrong", "Bearer " + testToken + "x", "Basic " + testToken, "Bearer", testToken} {
			w.refused(t, rt.method, path, "", "", http.StatusUnauthorized, "Authorization", auth)
		}
		w.refused(t, "TRACE", path, "", "", http.StatusMethodNotAllowed)
		if rt.method == "GET" || strings.HasSuffix(path, "/merge") {
			continue
		}
		w.refused(t, "OPTIONS", path, "", "", http.StatusMethodNotAllowed)
	}
	for _, path := range []string{"/api/channels", "/api/conversations"} {
		w.refused(t, "POST", path, `{}`, "Content-Type", http.StatusUnsupportedMediaType, "Content-Type", "text/plain")
		w.refused(t, "POST", path, `{}`, "Content-Type", http.StatusUnsupportedMediaType, "Content-Type", ";;")
	}
	w.refused(t, "POST", "/api/channels", `{"name":"`+strings.Repeat("x", maxBody)+`"}`, "body", http.StatusRequestEntityTooLarge)
	w.refused(t, "POST", "/api/tickets/"+w.ticket+"/replies", `{"text":"`+strings.Repeat("x", maxUpload)+`"}`, "body", http.StatusRequestEntityTooLarge)
	for _, path := range []string{"/api", "/api/", "/api/nothing", "/api/tickets/x/y/z", "/.env", "/static/../main.go", "/web/layout.html"} {
		w.refused(t, "GET", path, "", "", http.StatusNotFound)
	}
}

func TestWhatIsStillToComeSaysSo(t *testing.T) {
	t.Parallel()
	w := newHostileWorld(t)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/channels", `{"kind":"email.gmail","config":{}}`},
		{"POST", "/api/channels", `{"kind":"facebook.page","config":{}}`},
		{"POST", "/api/tickets/" + w.ticket + "/merge", `{"into":"x"}`},
		{"GET", "/webhooks/facebook", ""}, {"POST", "/webhooks/facebook", "{}"}, {"POST", "/webhooks/facebook/deauthorize", "{}"},
		{"POST", "/webhooks/facebook/delete", "{}"}, {"POST", "/webhooks/gmail", "{}"},
		{"GET", "/connect/gmail", ""}, {"GET", "/connect/facebook", ""}, {"GET", "/connect/facebook/pages", ""}, {"POST", "/api/connect/facebook", "{}"}, {"GET", "/connect/gmail/callback", ""},
	} {
		w.refused(t, c.method, c.path, c.body, "", http.StatusNotImplemented)
	}
}

func FuzzBodies(f *testing.F) {
	for _, seed := range []string{`{}`, `{"agent":"an","text":"x","to":["a@b"],"undo":"1s"}`, `{"to":[{"name":1}]}`, `{"attachments":[{"name":"\ud800"}]}`, `[`, "{\"a\":\"\xff\"}", `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in replyIn
		if err := decodeJSON("", body, &in); err != nil {
			if e := classify(err); e.status != http.StatusBadRequest || e.Field == "" {
				t.Fatalf("%q: status %d, field %q", body, e.status, e.Field)
			}
		}
		var c channelIn
		if decodeJSON("", body, &c) == nil {
			if _, err := readConfig(c.Kind, "", c.Config); err != nil && classify(err).status == http.StatusServiceUnavailable {
				t.Fatalf("%q: %v", body, err)
			}
			_, _ = c.Settings.merge(ticket.Settings{})
		}
	})
}
