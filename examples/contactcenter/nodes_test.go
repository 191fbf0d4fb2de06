package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket/pgstore/pgtest"
)

var cluster pgtest.Cluster

// nodes starts hosts on one database, with one folder for keys and bodies.
func nodes(t *testing.T, n int, args ...string) []*running {
	t.Helper()
	return nodesOn(t, cluster.Database(t), n, args...)
}

func nodesOn(t *testing.T, url string, n int, args ...string) []*running {
	t.Helper()
	data := t.TempDir()
	hosts := make([]*running, n)
	for i := range hosts {
		opts := testOptions(t, append([]string{"-store", url, "-blobs", "file://" + data}, args...)...)
		opts.data = data
		hosts[i] = start(t, opts)
	}
	return hosts
}

func plainMail(from, to, subject, body string) string {
	return fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: %s\nMessage-ID: <%s@customer.example>\nDate: Mon, 02 Mar 2026 10:00:00 +0000\n\n%s\n",
		from, to, subject, strings.ReplaceAll(subject, " ", "."), body)
}

// delivered delivers a mail as a mail server does: again when it is told to come
// back later, which a mailbox that was made a moment ago on another node may say.
// A refusal for good ends the test.
func (r *running) delivered(from, to, raw string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		err := smtp.SendMail(r.host.smtpL.Addr().String(), nil, from, []string{to}, []byte(strings.ReplaceAll(raw, "\n", "\r\n")))
		var answer *textproto.Error
		if errors.As(err, &answer) && answer.Code < 500 {
			return false
		}
		require.NoError(r.t, err)
		return true
	}, time.Minute, 10*time.Millisecond)
}

func TestTwoNodesShareOneDatabase(t *testing.T) {
	t.Parallel()
	relay, shop := emailtest.NewSMTP(t), emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	hosts := nodes(t, 2, "-relay", relay.Addr())
	a, b := hosts[0], hosts[1]

	// A mailbox made on one node takes mail on the other at once.
	id, account := a.office(shop, object{"auto_reply": object{"on": true, "subject": "Da nhan", "body": "Cam on"}})
	address := text(a.call("GET", "/api/channels/"+account, nil, 200), "forward_address")
	b.delivered("lan@customer.example", address, plainMail("lan@customer.example", address, "Don hang 1", "Xin chao"))
	list := b.eventually("/api/tickets", func(o object) bool { return text(o, "tickets", 0, "assignee") != "" })
	ticketID := text(list, "tickets", 0, "id")
	require.Equal(t, ticketID, text(a.call("GET", "/api/tickets", nil, 200), "tickets", 0, "id"))

	// An answer given on one node leaves once, and so does the automatic one.
	reply := a.call("POST", "/api/tickets/"+ticketID+"/replies", object{"agent": "an", "text": "Chao Lan"}, 202)
	for _, r := range hosts {
		r.eventually("/api/messages/"+text(reply, "id"), func(o object) bool { return text(o, "state") == "sent" || text(o, "message", "state") == "sent" })
	}
	require.Eventually(t, func() bool { return len(shop.Messages()) >= 2 }, time.Minute, 10*time.Millisecond)

	// The feed is one, wherever it is read.
	require.Equal(t, a.call("GET", "/api/events?limit=500", nil, 200), b.call("GET", "/api/events?limit=500", nil, 200))

	// A mail that both nodes are given is one message.
	again := plainMail("lan@customer.example", address, "Don hang 2", "Hai lan")
	sent := make(chan error, 2)
	for _, r := range hosts {
		go func() {
			sent <- smtp.SendMail(r.host.smtpL.Addr().String(), nil, "lan@customer.example", []string{address}, []byte(strings.ReplaceAll(again, "\n", "\r\n")))
		}()
	}
	require.NoError(t, <-sent)
	require.NoError(t, <-sent)
	require.EqualValues(t, 2, a.call("GET", "/api/ledger", nil, 200)["messages"])

	// A queue chosen on one node is the one that the other uses.
	a.call("PUT", "/api/queues/other", object{"name": "Khac", "agents": []string{"binh"}}, 200)
	a.call("PATCH", "/api/channels/"+id, object{"settings": object{"queue": "other"}}, 200)
	n := 0
	require.Eventually(t, func() bool {
		n++
		from := fmt.Sprintf("khach%d@customer.example", n)
		b.delivered(from, address, plainMail(from, address, fmt.Sprint("Moi ", n), "Xin chao"))
		return text(b.call("GET", "/api/tickets?queue=other", nil, 200), "tickets", 0, "queue") == "other"
	}, time.Minute, 50*time.Millisecond)

	// A node may go; the other goes on.
	a.stop()
	b.delivered("mai@customer.example", address, plainMail("mai@customer.example", address, "Don hang 3", "Con ai khong"))
	require.Equal(t, http.StatusOK, b.request("GET", "/healthz", nil).StatusCode)
	require.EqualValues(t, n+3, b.call("GET", "/api/ledger", nil, 200)["messages"])
	for _, server := range []*emailtest.SMTP{relay, shop} {
		require.Len(t, server.Messages(), len(uniqueIDs(t, server)), "nothing was sent twice")
	}
}

// Processes that poll, through a pooler that passes on neither prepared
// statements nor notifications, as PgBouncer before 1.21.
func TestWhatOneNodeMakesIsLiveOnAllAndBouncesNoMail(t *testing.T) {
	t.Parallel()
	url := cluster.Bouncer(t)(cluster.Database(t)) + "&default_query_exec_mode=exec"
	hosts := nodesOn(t, url, 3, "-store-listen", "off")
	hosts[0].office(nil, object{})
	const boxes = 6
	sent := 0
	send := func(r *running, to string) {
		sent++
		from := fmt.Sprintf("khach%d@customer.example", sent)
		r.delivered(from, to, plainMail(from, to, fmt.Sprint("Thu ", sent), "Xin chao")) // a refusal for good ends the test
	}
	var ids []string
	for i := range boxes {
		name := fmt.Sprint("box", i)
		c := hosts[i%3].call("POST", "/api/channels", object{"kind": "email.hosted", "name": name, "config": object{"local_part": name}, "settings": object{"queue": "support"}}, 201)
		ids = append(ids, text(c, "id"))
		for _, r := range hosts {
			send(r, name+"@portal.localhost")
		}
	}
	// Off, here: told to come later there, too, soon; and on again.
	hosts[0].call("PATCH", "/api/channels/"+ids[0], object{"settings": object{"active": false}}, 200)
	code := func(r *running, to string) int {
		raw := plainMail("x@customer.example", to, fmt.Sprint("Thu ", sent+1), "Con do khong")
		err := smtp.SendMail(r.host.smtpL.Addr().String(), nil, "x@customer.example", []string{to}, []byte(strings.ReplaceAll(raw, "\n", "\r\n")))
		if answer, ok := errors.AsType[*textproto.Error](err); ok {
			return answer.Code
		}
		require.NoError(t, err)
		sent++
		return 250
	}
	for _, r := range hosts[1:] {
		require.Eventually(t, func() bool { return code(r, "box0@portal.localhost") == 450 }, time.Minute, 20*time.Millisecond)
	}
	hosts[2].call("PATCH", "/api/channels/"+ids[0], object{"settings": object{"active": true}}, 200)
	for _, r := range hosts {
		send(r, "box0@portal.localhost")
	}
	// A name that changed here is the one there.
	hosts[1].call("PATCH", "/api/channels/"+ids[1], object{"name": "Ten moi"}, 200)
	for _, r := range hosts {
		r.eventually("/api/channels/"+ids[1], func(o object) bool { return text(o, "name") == "Ten moi" })
	}
	// What is removed here is unknown there.
	hosts[1].call("DELETE", "/api/channels/"+ids[2], nil, 204)
	for _, r := range hosts {
		require.Eventually(t, func() bool { return code(r, "box2@portal.localhost") == 550 }, time.Minute, 20*time.Millisecond)
	}
	for _, r := range hosts {
		require.EqualValues(t, sent, r.call("GET", "/api/ledger", nil, 200)["messages"])
		made := 0
		list, _ := r.call("GET", "/api/events?limit=500", nil, 200)["events"].([]any)
		for i, e := range list {
			require.EqualValues(t, i+1, get(e, "cursor"))
			if text(e, "type") == "channel.created" {
				made++
			}
		}
		require.Equal(t, boxes+1, made)
	}
}

func uniqueIDs(t *testing.T, s *emailtest.SMTP) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for _, m := range s.Messages() {
		mail, err := m.Mail()
		require.NoError(t, err)
		ids[mail.MessageID] = true
	}
	return ids
}
