package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

func TestAnAccountReceivesByIMAP(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(nil, nil)
	c := r.call("POST", "/api/channels", object{"kind": "email.account", "name": "Cửa hàng", "settings": object{"queue": "support"}, "config": object{
		"address": "help@shop.example", "password": "geheim",
		"smtp": object{"host": out.Host(), "port": out.Port(), "security": "none"},
		"imap": object{"host": in.Host(), "port": in.Port(), "security": "none", "after": "move:Archive", "first_sync": "all"},
	}}, 201)
	in.Add("INBOX", []byte("From: chau@khach.example\r\nTo: help@shop.example\r\nSubject: Xin hoi\r\nMessage-ID: <i1@khach.example>\r\n"+
		"Date: "+time.Now().Format(time.RFC1123Z)+"\r\n\r\nHello\r\n"), time.Now())
	list := r.eventually("/api/tickets?q=hoi", func(o object) bool { return len(o["tickets"].([]any)) == 1 })
	require.Equal(t, "Xin hoi", text(list, "tickets", 0, "subject"))
	require.Eventually(t, func() bool { return len(in.Mails("Archive")) == 1 }, 20*time.Second, 10*time.Millisecond)
	found := r.call("POST", "/api/channels/"+text(c, "id")+"/check", nil, 200)
	require.Len(t, found["findings"], 3)
	for i, code := range []string{"ok", "ok", "probe_pending"} { // these servers do not know each other
		require.Equal(t, code, text(found, "findings", i, "code"))
	}
	// One field is changed and the rest stays; null ends it.
	c = r.call("PATCH", "/api/channels/"+text(c, "id"), object{"config": object{"imap": object{"after": "leave"}}}, 200)
	require.Equal(t, "leave", text(c, "config", "imap", "after"))
	require.Equal(t, "all", text(c, "config", "imap", "first_sync"))
	c = r.call("PATCH", "/api/channels/"+text(c, "id"), object{"config": object{"imap": nil}}, 200)
	require.Nil(t, c["config"].(object)["imap"])
}

func TestAnAccountWithIMAPIsSetUpInTheBrowser(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(nil, nil)
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	require.Contains(t, b.see("/channels/new?kind=email.account", 200), "Receive by IMAP")
	port := func(addr string) string { return strings.Split(addr, ":")[1] }
	form := func(more ...string) []string {
		return append([]string{"kind", "email.account", "address", "help@shop.example", "password", "geheim", "host", out.Host(), "port", port(out.Addr()),
			"security", "none", "active", "on", "queue", "support"}, more...)
	}
	imap := []string{"imap_on", "on", "imap_host", in.Host(), "imap_port", port(in.Addr()), "imap_security", "none"}
	page := b.post("/channels", 400, form(append(imap, "after", "move", "after_folder", "Erledigt", "first_sync", "since")...)...)
	require.Contains(t, page, "choose the day")
	require.Contains(t, page, `value="Erledigt"`, "what was typed is shown again")
	page = b.post("/channels", 200, form(append(imap, "after", "move", "after_folder", "Archive", "first_sync", "since", "since", "2026-11-01")...)...)
	require.Contains(t, page, "the folder INBOX can be read")
	require.Contains(t, page, `<option value="Junk">`, "the folders can be chosen")
	require.Contains(t, page, `<option value="move" selected>`)
	require.Contains(t, page, `value="2026-11-01"`)
	list := r.call("GET", "/api/channels", nil, 200)["channels"].([]any)
	c := list[len(list)-1].(object)
	require.Equal(t, "move:Archive", text(c, "config", "imap", "after"))
	require.Equal(t, "2026-11-01T00:00:00Z", text(c, "config", "imap", "first_sync"))
	b.post("/channels/"+text(c, "id"), 200, form(append(imap, "after", "leave", "first_sync", "none", "folder", "Junk")...)...)
	c = r.call("GET", "/api/channels/"+text(c, "id"), nil, 200)
	require.Equal(t, "Junk", text(c, "config", "imap", "folder"))
	b.post("/channels/"+text(c, "id"), 200, form()...)
	require.Nil(t, r.call("GET", "/api/channels/"+text(c, "id"), nil, 200)["config"].(object)["imap"], "not ticked any more")
}

func TestProbesShowThatMailComesIn(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	hosted, _ := r.office(nil, nil)
	c := r.call("POST", "/api/channels", object{"kind": "email.account", "settings": object{"queue": "support"}, "config": object{
		"address": "help@shop.example", "password": "geheim", "forwarded_to": hosted,
		"smtp": object{"host": out.Host(), "port": out.Port(), "security": "none"},
		"imap": object{"host": in.Host(), "port": in.Port(), "security": "none"},
	}}, 201)
	id, forward := text(c, "id"), text(c, "forward_address")
	check := func() map[string]object {
		found := map[string]object{}
		for _, f := range r.call("POST", "/api/channels/"+id+"/check", nil, 200)["findings"].([]any) {
			found[text(f, "code")] = f.(object)
		}
		return found
	}
	r.eventually("/api/channels/"+id, func(o object) bool { return text(o, "status", "state") == "live" })
	// The provider asks whether it may forward.
	r.mail("forwarding-noreply@google.com", forward, `From: <forwarding-noreply@google.com>
To: `+forward+`
Subject: (#123456789) Gmail Forwarding Confirmation - Receive Mail from help@shop.example
Message-ID: <confirm@mail.gmail.com>

To allow, open https://mail-settings.google.com/mail/vf-abc
`)
	found := check()
	require.Equal(t, "warning", text(found["forward_pending"], "severity"))
	require.Contains(t, text(found["forward_pending"], "fix"), forward)
	require.Equal(t, "123456789", text(found["forwarding_confirmation"], "data", "code"))
	require.Equal(t, "https://mail-settings.google.com/mail/vf-abc", text(found["forwarding_confirmation"], "data", "link"))
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	require.Contains(t, b.post("/channels/"+id+"/check", 200), `<a href="https://mail-settings.google.com/mail/vf-abc" target="_blank" rel="noopener noreferrer">`)

	// The mail server delivers what was sent, and forwards it.
	require.Len(t, out.Messages(), 1, "one probe, however often it is asked")
	probe := out.Messages()[0].Raw
	in.Add("INBOX", probe, time.Now())
	r.mail("help+caf_=fwd=portal.localhost@shop.example", forward, strings.ReplaceAll(string(probe), "\r\n", "\n"))
	require.Eventually(t, func() bool {
		found = check()
		return text(found["probe"], "severity") == "ok" && text(found["forward"], "severity") == "ok"
	}, 20*time.Second, 10*time.Millisecond)
	require.NotContains(t, found, "forwarding_confirmation", "it is of no more use")
	require.Empty(t, r.call("GET", "/api/tickets", nil, 200)["tickets"])
}

func TestARenewedPasswordBringsAnAccountBack(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(nil, nil)
	c := r.call("POST", "/api/channels", object{"kind": "email.account", "settings": object{"queue": "support"}, "config": object{
		"address": "help@shop.example", "password": "falsch",
		"smtp": object{"host": out.Host(), "port": out.Port(), "security": "none"},
		"imap": object{"host": in.Host(), "port": in.Port(), "security": "none", "first_sync": "all"},
	}}, 201)
	in.Add("INBOX", []byte("From: chau@khach.example\r\nTo: help@shop.example\r\nSubject: Xin hoi\r\nMessage-ID: <i1@khach.example>\r\n\r\nHello\r\n"), time.Now())
	path := "/api/channels/" + text(c, "id")
	state := func(want string) func(object) bool {
		return func(o object) bool { return text(o, "status", "state") == want }
	}
	shown := r.eventually(path, state("needs_authorization"))
	require.NotContains(t, shown, "falsch")
	require.NotEmpty(t, text(shown, "status", "reason"))
	require.NotEmpty(t, text(shown, "status", "since"))
	r.call("PATCH", path, object{"config": object{"password": "geheim"}}, 200)
	r.eventually(path, state("live"))
	r.eventually("/api/tickets?q=hoi", func(o object) bool { return len(o["tickets"].([]any)) == 1 })
}
