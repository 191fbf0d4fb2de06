package email_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// dsn is a delivery report with groups of fields about recipients.
func dsn(groups ...string) string {
	return "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.com>\nTo: help@shop.test\nSubject: Delivery Status Notification\n" +
		"Date: Mon, 4 Nov 2024 10:31:00 +0700\nMessage-ID: <dsn@mx.example.com>\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=d\n\n--d\nContent-Type: text/plain\n\nSome words.\n" +
		"--d\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\nOriginal-Envelope-Id: abc\n\n" + strings.Join(groups, "\n") +
		"\n--d\nContent-Type: text/rfc822-headers\n\nMessage-ID: <abcdefghij0123456789abcd@shop.test>\nSubject: Hello\n\n--d--\n"
}

func TestAReportSaysOfEachRecipientWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		raw  string
		kind channel.UpdateKind
		want []string
	}{
		"Postfix, of success: delivered and relayed": {dsn(
			"Final-Recipient: rfc822; a@one.example\nOriginal-Recipient: rfc822;a@one.example\nAction: delivered\nStatus: 2.0.0\n"+
				"Remote-MTA: dns; mx.one.example\nDiagnostic-Code: smtp; 250 2.0.0 <a@one.example> Saved\n",
			"Final-Recipient: rfc822; b@two.example\nOriginal-Recipient: rfc822;b+x@two.example\nAction: relayed\nStatus: 2.0.0\nDiagnostic-Code: smtp; 250 2.0.0 Ok: queued\n",
		), channel.UpdateRelayed, []string{"delivered a@one.example a@one.example 2.0.0", " b@two.example b+x@two.example 2.0.0"}},
		"Postfix, of failure, through an alias": {dsn(
			"Final-Recipient: rfc822; gone@inner.example\nOriginal-Recipient: rfc822;a@one.example\nAction: failed\nStatus: 5.1.1\n" +
				"Diagnostic-Code: smtp; 550 5.1.1 <gone@inner.example>: Recipient\n    address rejected: User unknown\n",
		), channel.UpdateBounce, []string{" gone@inner.example a@one.example 5.1.1"}},
		"Exchange: failed, delayed and expanded": {dsn(
			"Original-Recipient: rfc822;a@one.example\nFinal-Recipient: rfc822;a@one.example\nAction: failed\nStatus: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 "+
				"RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup\nX-Display-Name: A\n",
			"Final-Recipient: rfc822;b@two.example\nAction: delayed\nStatus: 4.4.7\nWill-Retry-Until: Tue, 5 Nov 2024 10:31:00 +0700\n",
			"Final-Recipient: rfc822;all@one.example\nAction: expanded\nStatus: 2.5.0\n",
		), channel.UpdateBounce, []string{" a@one.example a@one.example 5.1.10", "delayed b@two.example  4.4.7", "delivered all@one.example  2.5.0"}},
		"Gmail: failed and delayed": {dsn(
			"Final-Recipient: rfc822; a@one.example\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.one.example. (192.0.2.1, the server for the domain one.example.)\n"+
				"Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser\n"+
				"Last-Attempt-Date: Mon, 04 Nov 2024 03:31:00 -0800 (PST)\n",
			"Final-Recipient: rfc822; b@two.example\nAction: delayed\nStatus: 4.4.1\n",
		), channel.UpdateBounce, []string{" a@one.example  5.1.1", "delayed b@two.example  4.4.1"}},
		"letters of UTF-8, in the type of RFC 6533": {dsn(
			"Final-Recipient: utf-8; mai@ví-dụ.example\nOriginal-Recipient: utf-8;mai@ví-dụ.example\nAction: delivered\nStatus: 2.0.0\n",
		), channel.UpdateDelivered, []string{" mai@ví-dụ.example mai@ví-dụ.example 2.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			it := itemOf(t, strings.ReplaceAll(test.raw, "\n", "\r\n"), email.Context{})
			require.NotNil(t, it.Update)
			require.Equal(t, test.kind, it.Update.Kind)
			var got []string
			for _, r := range it.Update.Recipients {
				got = append(got, fmt.Sprintf("%s %s %s %s", r.Kind, r.Address, r.Original, r.Status))
			}
			require.Equal(t, test.want, got)
		})
	}
}
