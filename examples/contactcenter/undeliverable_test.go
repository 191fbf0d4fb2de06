package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// report is a delivery report (RFC 3464) of a mail system on a message of ours.
func report(envid, recipient, action, status, diagnostic string) string {
	return `From: MAILER-DAEMON@khach.example
To: help@shop.example
Subject: Delivery report
Message-ID: <report-` + action + "-" + envid + `@khach.example>
Date: ` + time.Now().Format(time.RFC1123Z) + `
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

a report
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.khach.example
Original-Envelope-Id: ` + envid + `

Final-Recipient: rfc822; ` + recipient + `
Action: ` + action + `
Status: ` + status + `
Diagnostic-Code: smtp; ` + diagnostic + `
--b--
`
}

func TestReportsOfDeliveryLandOnTheMessageAndWarn(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	r.office(nil, nil)
	c := r.call("POST", "/api/channels", object{"kind": "email.account", "settings": object{"queue": "support", "write_first": true}, "config": object{
		"address": "help@shop.example", "password": "geheim", "smtp": object{"host": out.Host(), "port": out.Port(), "security": "none"},
		"imap": object{"host": in.Host(), "port": in.Port(), "security": "none", "first_sync": "all", "sent": "append", "sent_folder": "Sent"},
	}}, 201)
	require.Equal(t, "append", text(c, "config", "imap", "sent"))
	require.Equal(t, "Sent", text(c, "config", "imap", "sent_folder"))
	started := r.call("POST", "/api/conversations", object{"channel": text(c, "id"), "agent": "an", "to": []any{"chau@khach.example", "gone@khach.example"},
		"subject": "Xin chào", "text": "Chào bạn", "send": true}, 201)
	id, tk := text(started, "message", "id"), text(started, "ticket", "id")
	states := func(o object) string {
		return strings.Join([]string{text(o, "state"), text(o, "deliveries", 0, "state"), text(o, "deliveries", 1, "state")}, " ")
	}
	until := func(want string) {
		t.Helper()
		r.eventually("/api/messages/"+id, func(o object) bool { return states(o) == want })
	}
	until("sent sent sent")
	_, envid, _ := strings.Cut(out.Messages()[0].MailParams, "ENVID=")
	require.NotEmpty(t, envid)

	tell := func(raw string) { in.Add("INBOX", []byte(strings.ReplaceAll(raw, "\n", "\r\n")), time.Now()) }
	tell(report(envid, "chau@khach.example", "delivered", "2.0.0", "250 ok"))
	until("sent delivered sent")
	tell(report(envid, "gone@khach.example", "delayed", "4.4.1", "no answer"))
	r.eventually("/api/messages/"+id, func(o object) bool { return strings.Contains(text(o, "deliveries", 1, "detail"), "no answer") })
	until("sent delivered sent")
	// The last one comes by the hosted mailbox, and not by the account.
	r.mail("", "support@portal.localhost", report(envid, "gone@khach.example", "failed", "5.1.1", "550 no such user"))
	until("bounced delivered bounced")
	require.Empty(t, r.call("GET", "/api/tickets?q=report", nil, 200)["tickets"])
	require.Len(t, r.call("GET", "/api/tickets", nil, 200)["tickets"], 1)

	known := r.call("GET", "/api/undeliverable", nil, 200)
	require.Equal(t, "gone@khach.example", text(known, "undeliverable", 0, "address"))
	require.Len(t, known["undeliverable"], 1)
	require.Empty(t, r.call("GET", "/api/undeliverable?address=chau@khach.example", nil, 200)["undeliverable"])
	require.Equal(t, "gone@khach.example", text(r.call("GET", "/api/tickets/"+tk, nil, 200), "undeliverable", 0, "address"))
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	page := b.see("/tickets/"+tk, 200)
	require.Contains(t, page, "Not delivered to gone@khach.example")
	require.Contains(t, page, "Mail to gone@khach.example comes back")

	reply := r.call("POST", "/api/tickets/"+tk+"/replies", object{"agent": "an", "text": "Again", "to": []any{"gone@khach.example"}}, 202)
	require.Equal(t, "undeliverable", text(reply, "warnings", 0, "code"))
	require.Equal(t, "gone@khach.example", text(reply, "warnings", 0, "recipient"))
	require.Equal(t, 204, r.request("DELETE", "/api/undeliverable/gone@khach.example", nil).StatusCode)
	r.call("DELETE", "/api/undeliverable/gone@khach.example", nil, 404)
	reply = r.call("POST", "/api/tickets/"+tk+"/replies", object{"agent": "an", "text": "Again", "to": []any{"gone@khach.example"}}, 202)
	require.Nil(t, reply["warnings"])
}
