package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

func firstTicket(o object) bool { return get(o, "tickets", 0) != nil }

func TestMailBecomesATicketAndTheAnswerLeavesByThePairedAccount(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	opts := testOptions(t)
	r := start(t, opts)
	_, accountID := r.office(provider, nil)

	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	list := r.eventually("/api/tickets", func(o object) bool { return text(o, "tickets", 0, "assignee") != "" })
	id := text(list, "tickets", 0, "id")
	require.Equal(t, "binh", text(list, "tickets", 0, "assignee"), "who is online comes first")
	require.Equal(t, "Đơn hàng bị trễ", text(list, "tickets", 0, "subject"))
	require.Equal(t, "Phạm Châu", text(list, "tickets", 0, "contact", "name"))

	m := r.call("POST", "/api/tickets/"+id+"/replies", object{"agent": "binh", "text": "Chào chị Châu, hàng đang đến.", "key": "k1",
		"attachments": []object{{"name": "vận đơn.txt", "type": "text/plain", "content_base64": "xJHGoW4="}}}, 202)
	again := r.call("POST", "/api/tickets/"+id+"/replies", object{"agent": "binh", "text": "Chào chị Châu, hàng đang đến.", "key": "k1"}, 202)
	require.Equal(t, text(m, "id"), text(again, "id"), "the same key gives the same message")

	got, err := provider.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"chau@khach.example"}, got.To)
	require.Equal(t, "help@shop.example", got.From)
	mail, err := got.Mail()
	require.NoError(t, err)
	require.Equal(t, "help@shop.example", mail.From[0].Address)
	require.Equal(t, "Cửa hàng", mail.From[0].Name)
	require.Equal(t, []string{"first@khach.example"}, mail.InReplyTo)
	require.Contains(t, mail.References, "first@khach.example")
	require.Equal(t, "Re: Đơn hàng bị trễ", mail.Subject)
	sent := r.eventually("/api/messages/"+text(m, "id"), func(o object) bool { return text(o, "state") == "sent" })
	require.Equal(t, mail.MessageID, text(sent, "message_id"))
	require.Equal(t, accountID, text(sent, "via"))

	// The customer answers to the account, whose server forwards to the pair.
	channels := r.call("GET", "/api/channels", nil, 200)
	forward := text(channels, "channels", 1, "forward_address")
	require.NotEmpty(t, forward)
	r.mail("chau@khach.example", forward, fmt.Sprintf(`From: Châu <chau@khach.example>
To: help@shop.example
Subject: Re: Re
Message-ID: <second@khach.example>
In-Reply-To: <%s>
Content-Type: text/plain; charset=utf-8

Cảm ơn!

> Chào chị Châu
`, mail.MessageID))
	full := r.eventually("/api/tickets/"+id, func(o object) bool { return get(o, "messages", 2) != nil })
	require.Equal(t, "in", text(full, "messages", 2, "direction"))
	require.Equal(t, "Cảm ơn!", strings.TrimSpace(text(full, "messages", 2, "new_text")))
	require.NotEmpty(t, get(full, "events", 0))
	require.Len(t, r.call("GET", "/api/tickets", nil, 200)["tickets"], 1)

	// A restart loses nothing.
	r.stop()
	r2 := start(t, opts)
	full2 := r2.call("GET", "/api/tickets/"+id, nil, 200)
	require.Equal(t, full["messages"], full2["messages"])
	require.Equal(t, full["subject"], full2["subject"])
	raw := r2.request("GET", "/api/messages/"+text(full, "messages", 0, "id")+"/raw", nil)
	b, err := io.ReadAll(raw.Body)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(firstMail, "\n", "\r\n"), string(b))
	file := r2.request("GET", "/api/attachments/"+text(full, "messages", 1, "attachments", 0, "id"), nil)
	require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
	b, err = io.ReadAll(file.Body)
	require.NoError(t, err)
	require.Equal(t, "đơn", string(b))
	r2.mail("chau@khach.example", "support@portal.localhost", firstMail)
	require.EqualValues(t, 1, r2.call("GET", "/api/ledger", nil, 200)["duplicates"])
	require.Equal(t, "binh", text(r2.call("GET", "/api/queues", nil, 200), "queues", 0, "agents", 1))
}

func TestAPendingAnswerCanBeEditedCancelledAndSentNow(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(provider, nil)
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	id := text(r.eventually("/api/tickets", firstTicket), "tickets", 0, "id")
	reply := func(undo string) string {
		m := r.call("POST", "/api/tickets/"+id+"/replies", object{"agent": "an", "text": "một", "undo": undo}, 202)
		require.Equal(t, "pending", text(m, "state"))
		return "/api/messages/" + text(m, "id")
	}

	m := reply("1h")
	require.Equal(t, "cancelled", text(r.call("POST", m+"/cancel", nil, 200), "result"))
	require.Equal(t, "cancelled", text(r.call("POST", m+"/cancel", nil, 200), "result"), "asking again gives the same answer")
	require.Equal(t, "too_late", text(r.call("PATCH", m, object{"text": "hai"}, 409), "error", "code"))

	m = reply("1h")
	require.Equal(t, "hai", text(r.call("PATCH", m, object{"text": "hai"}, 200), "text"))
	r.call("PATCH", m, object{"send_at": "2020-01-01T00:00:00Z"}, 200)
	got, err := provider.Next(t.Context())
	require.NoError(t, err)
	mail, err := got.Mail()
	require.NoError(t, err)
	require.Equal(t, "hai", strings.TrimSpace(mail.Text))
	r.eventually(m, func(o object) bool { return text(o, "state") == "sent" })
	late := r.call("POST", m+"/cancel", nil, 200)
	require.Equal(t, "too_late", text(late, "result"))
	require.Equal(t, "sent", text(late, "state"))
	require.Equal(t, "state", text(r.call("POST", m+"/resolve", object{"as": "sent"}, 409), "error", "code"))

	r.call("DELETE", m, nil, 200)
	redacted := r.call("GET", m, nil, 200)
	require.Empty(t, text(redacted, "text"))
	require.NotEmpty(t, text(redacted, "redacted_at"))
}

func TestAnUncertainMessageWaitsForAPerson(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	provider.Fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true, Times: 1})
	r := start(t, testOptions(t))
	_, accountID := r.office(provider, nil)
	o := r.call("POST", "/api/conversations", object{"channel": accountID, "agent": "an", "to": []string{"Đạt <dat@khach.example>"},
		"subject": "Chào", "text": "Xin chào", "send": true}, 201)
	require.Equal(t, "Đạt", text(o, "message", "to", 0, "name"))
	m := "/api/messages/" + text(o, "message", "id")
	r.eventually(m, func(o object) bool { return text(o, "state") == "uncertain" })
	require.Equal(t, "sent", text(r.call("POST", m+"/resolve", object{"as": "sent"}, 200), "state"))
	require.Len(t, provider.Messages(), 1, "it was not sent again")

	created := r.call("POST", "/api/conversations", object{"channel": accountID, "agent": "an", "to": []string{"dat@khach.example"}, "subject": "Sau này"}, 201)
	require.Nil(t, created["message"], "only the conversation and its ticket were made")
	require.Equal(t, "an", text(created, "ticket", "assignee"))
}

func TestAnAnswerOnAMailboxThatOnlyReceivesIsAConflict(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	id := text(r.eventually("/api/tickets", firstTicket), "tickets", 0, "id")
	e := r.call("POST", "/api/tickets/"+id+"/replies", object{"agent": "an", "text": "x"}, 409)
	require.Equal(t, "receive_only", text(e, "error", "code"))
	require.Equal(t, "via", text(e, "error", "field"))
}

func TestAutomaticRepliesLeaveByTheRelay(t *testing.T) {
	t.Parallel()
	relay := emailtest.NewSMTP(t)
	r := start(t, testOptions(t, "-relay", relay.Addr()))
	r.office(nil, object{"auto_reply": object{"on": true, "subject": "Đã nhận #{{ticket.number}}", "body": "Chào {{customer.name}}"}})
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	got, err := relay.Next(t.Context())
	require.NoError(t, err)
	require.Empty(t, got.From, "the return path is null (RFC 3834)")
	mail, err := got.Mail()
	require.NoError(t, err)
	require.Equal(t, "Đã nhận #1", mail.Subject)
	require.Equal(t, "Chào Phạm Châu", strings.TrimSpace(mail.Text))

	// With nothing to send it by, it is kept and a check says so.
	bare := start(t, testOptions(t, "-store", "memory:"))
	id, _ := bare.office(nil, object{"auto_reply": object{"on": true, "body": "x"}})
	found := bare.call("POST", "/api/channels/"+id+"/check", nil, 200)
	require.Contains(t, fmt.Sprint(found), "no_relay")
}

func TestTicketsCanBeWorkedOn(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	r.call("PUT", "/api/queues/other", object{"agents": []string{}}, 200)
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	list := r.eventually("/api/tickets?assignee=binh", firstTicket)
	ticket := "/api/tickets/" + text(list, "tickets", 0, "id")

	tk := r.call("PATCH", ticket, object{"status": "pending", "priority": "high", "tags": []string{"trễ"}, "subject": "Mới"}, 200)
	require.Equal(t, "pending", text(tk, "status"))
	stale := r.call("PATCH", ticket, object{"status": "open", "revision": 1}, 409)
	require.Equal(t, "conflict", text(stale, "error", "code"))
	require.Equal(t, "revision", text(stale, "error", "field"))
	r.call("PATCH", ticket, object{"status": "open", "revision": tk["revision"]}, 200)
	require.Equal(t, "an", text(r.call("POST", ticket+"/assign", object{"agent": "an"}, 200), "assignee"))
	moved := r.call("POST", ticket+"/assign", object{"queue": "other"}, 200)
	require.Equal(t, "other", text(moved, "queue"))
	require.Empty(t, text(moved, "assignee"))
	require.Equal(t, "note", text(r.call("POST", ticket+"/notes", object{"agent": "an", "text": "ghi chú"}, 201), "direction"))

	for query, n := range map[string]int{
		"q=don+hang": 1, "q=%231": 1, "q=nothing": 0, "assignee=none": 1, "assignee=an": 0, "queue=other&status=open": 1, "status=solved": 0,
		"status=open,solved": 1, "channel=" + text(moved, "channel"): 1, "contact=" + text(moved, "contact", "id"): 1, "contact=x": 0,
	} {
		require.Len(t, r.call("GET", "/api/tickets?"+query, nil, 200)["tickets"], n, query)
		if query != "q=%231" {
			continue
		}
		require.Len(t, r.call("GET", "/api/conversations?"+query, nil, 200)["conversations"], n, query)
	}
	conv := r.call("GET", "/api/conversations?queue=other&assignee=none&status=open&q=chau", nil, 200)
	require.Len(t, conv["conversations"], 1)
	require.Empty(t, r.call("GET", "/api/conversations?queue=support", nil, 200)["conversations"])
	one := r.call("GET", "/api/conversations/"+text(conv, "conversations", 0, "id"), nil, 200)
	require.Len(t, one["messages"], 2)
	require.Contains(t, one, "sendable_until")
	made := r.call("POST", "/api/conversations/"+text(one, "id")+"/ticket", nil, 200)
	require.Equal(t, text(moved, "id"), text(made, "id"), "it has one already")
	explained := r.call("GET", "/api/messages/"+text(one, "messages", 0, "id")+"/explain", nil, 200)
	require.Equal(t, "intake", text(explained, "decisions", 0, "kind"))

	r.call("DELETE", ticket, nil, 204)
	r.call("GET", ticket, nil, 404)
}
