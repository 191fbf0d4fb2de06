package main

import (
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
	require.Len(t, found["findings"], 2)
	for i := range 2 {
		require.Equal(t, "ok", text(found, "findings", i, "code"))
	}
	// One field is changed and the rest stays; null ends it.
	c = r.call("PATCH", "/api/channels/"+text(c, "id"), object{"config": object{"imap": object{"after": "leave"}}}, 200)
	require.Equal(t, "leave", text(c, "config", "imap", "after"))
	require.Equal(t, "all", text(c, "config", "imap", "first_sync"))
	c = r.call("PATCH", "/api/channels/"+text(c, "id"), object{"config": object{"imap": nil}}, 200)
	require.Nil(t, c["config"].(object)["imap"])
}
