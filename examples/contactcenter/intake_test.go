package main

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket/memstore"
)

const forgedBounce = `From: MAILER-DAEMON@khach.example
To: support@portal.localhost
Subject: Undelivered
Message-ID: <bounce@khach.example>
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

no
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.khach.example

Final-Recipient: rfc822; nobody@khach.example
Action: failed
Status: 5.1.1
--b
Content-Type: text/rfc822-headers

Message-ID: <never-sent@shop.example>
Subject: x
--b--
`

func TestTheLedgerAddsUpAndQuarantineCanBeReleased(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	id, _ := r.office(nil, nil)
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	r.mail("", "support@portal.localhost", forgedBounce)
	held := r.call("GET", "/api/quarantine", nil, 200)
	require.Equal(t, "unmatched", text(held, "items", 0, "cause"))
	l := r.call("GET", "/api/ledger?channel="+id+"&day="+time.Now().UTC().Format(time.DateOnly), nil, 200)
	require.EqualValues(t, 2, l["received"])
	require.EqualValues(t, 1, l["messages"])
	require.EqualValues(t, 1, l["duplicates"])
	require.EqualValues(t, 1, get(l, "quarantined", "unmatched"))
	require.Zero(t, r.call("GET", "/api/ledger?day=2020-01-01", nil, 200)["received"])

	released := r.call("POST", "/api/quarantine/"+text(held, "items", 0, "id")+"/release", nil, 200)
	require.Equal(t, "message", text(released, "disposition"))
	require.Empty(t, r.call("GET", "/api/quarantine", nil, 200)["items"])
	require.EqualValues(t, 2, r.call("GET", "/api/ledger", nil, 200)["messages"])
	r.call("POST", "/api/quarantine/"+text(held, "items", 0, "id")+"/release", nil, 409)
	r.call("POST", "/api/quarantine/"+text(held, "items", 0, "id")+"/discard", nil, 409)
}

func TestWhatIsQuarantinedCanBeReadAndDiscarded(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	r.office(nil, nil)
	r.mail("", "support@portal.localhost", forgedBounce)
	at := "/api/quarantine/" + text(r.call("GET", "/api/quarantine", nil, 200), "items", 0, "id")
	require.Contains(t, r.body(at+"/raw"), "never-sent@shop.example")
	for range 2 {
		gone := r.call("POST", at+"/discard", nil, 200)
		require.Equal(t, "ignored", text(gone, "disposition"))
		require.Equal(t, "discarded", text(gone, "cause"))
		require.Zero(t, gone["size"])
	}
	r.call("GET", at+"/raw", nil, 404)
	r.call("POST", at+"/release", nil, 409)
	r.mail("", "support@portal.localhost", forgedBounce)
	require.Empty(t, r.call("GET", "/api/quarantine", nil, 200)["items"], "it is known")
	l := r.call("GET", "/api/ledger", nil, 200)
	require.EqualValues(t, 1, get(l, "ignored", "discarded"))
	require.EqualValues(t, 1, l["received"])
	require.EqualValues(t, 1, l["duplicates"])
}

func code(err error) int {
	if te, ok := errors.AsType[*textproto.Error](err); ok {
		return te.Code
	}
	return 0
}

func TestMailIsRefusedForStrangersAddressesAndKeptWhileTheChannelIsOff(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	id, _ := r.office(nil, nil)
	send := func(to string) error {
		return smtp.SendMail(r.host.smtpL.Addr().String(), nil, "a@b.example", []string{to}, []byte("Subject: x\r\n\r\nx\r\n"))
	}
	for range 15 { // more than a stranger would be allowed
		require.Equal(t, 550, code(send("nobody@portal.localhost")))
	}
	require.Equal(t, 550, code(send("a@elsewhere.example")))
	off := r.call("PATCH", "/api/channels/"+id, object{"settings": object{"active": false}}, 200)
	require.Equal(t, "inactive", text(off, "status", "state"))
	require.Equal(t, "support", text(off, "settings", "queue"), "what is not given stays")
	require.Equal(t, 450, code(send("support@portal.localhost")))
	on := r.call("PATCH", "/api/channels/"+id, object{"settings": object{"active": true}, "name": "Mới"}, 200)
	require.Equal(t, "live", text(on, "status", "state"))
	require.NoError(t, send("support@portal.localhost"), "at once")
	r.call("PATCH", "/api/channels/"+id, object{"config": object{"local_part": "help"}}, 200)
	require.Equal(t, 550, code(send("support@portal.localhost")))
	require.NoError(t, send("help@portal.localhost"))
	r.call("DELETE", "/api/channels/"+id, nil, 204)
	require.Equal(t, 550, code(send("help@portal.localhost")))
	require.NotEmpty(t, r.call("GET", "/api/tickets", nil, 200)["tickets"], "conversations stay")
}

func TestAnAccountIsCheckedAndKeepsItsPassword(t *testing.T) {
	t.Parallel()
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t))
	_, id := r.office(provider, nil)
	found := func() string {
		f := r.call("POST", "/api/channels/"+id+"/check", nil, 200)
		var all []string
		for _, one := range f["findings"].([]any) {
			all = append(all, text(one, "code")+" "+text(one, "severity"))
		}
		return strings.Join(all, ", ")
	}
	require.Contains(t, found(), "ok ok")
	shown := r.call("PATCH", "/api/channels/"+id, object{"name": "Tên mới", "config": object{"username": "help@shop.example"},
		"settings": object{"undo": "0s", "signatures": object{"common_on": true, "common": "Trân trọng"}}}, 200)
	require.Contains(t, found(), "ok ok", "the password stays when it is not given")
	require.Equal(t, "0s", text(shown, "settings", "undo"))
	require.Equal(t, "Trân trọng", text(shown, "settings", "signatures", "common", "text"))
	require.NotContains(t, shown, "password")
	r.call("PATCH", "/api/channels/"+id, object{"config": object{"password": "wrong"}}, 200)
	require.Contains(t, found(), "login error")
}

func TestLMTPTakesMailToo(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-lmtp", "127.0.0.1:0"))
	r.office(nil, nil)
	c, err := textproto.Dial("tcp", r.host.lmtpListen.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	for _, step := range []struct {
		say  string
		code int
	}{{"", 220}, {"LHLO here", 250}, {"MAIL FROM:<a@b.example>", 250}, {"RCPT TO:<support@portal.localhost>", 250}, {"DATA", 354},
		{strings.ReplaceAll(firstMail, "\n", "\r\n") + ".", 250}} {
		if step.say != "" {
			require.NoError(t, c.PrintfLine("%s", step.say))
		}
		_, _, err := c.ReadResponse(step.code)
		require.NoError(t, err, step.say)
	}
	r.eventually("/api/tickets", firstTicket)
}

func TestANewCertificateIsServedWithoutARestart(t *testing.T) {
	t.Parallel()
	ca, err := emailtest.NewCA()
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(name string) {
		cert, key := pemOf(t, ca, name)
		require.NoError(t, os.WriteFile(certFile, cert, 0o600))
		require.NoError(t, os.WriteFile(keyFile, key, 0o600))
	}
	write("one.example")
	r := start(t, testOptions(t, "-store", "memory:", "-tls-cert", certFile, "-tls-key", keyFile))
	require.True(t, strings.HasPrefix(r.host.baseURL(), "https://"))
	served := func() string {
		c, err := smtp.Dial(r.host.smtpL.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
		state, _ := c.TLSConnectionState()
		return state.PeerCertificates[0].DNSNames[0]
	}
	require.Equal(t, "one.example", served())
	write("another.example")
	require.Eventually(t, func() bool { return served() == "another.example" }, 20*time.Second, 50*time.Millisecond)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get(r.host.baseURL() + "/healthz")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "another.example", resp.TLS.PeerCertificates[0].DNSNames[0])

	require.NoError(t, os.WriteFile(certFile, []byte("rubbish"), 0o600))
	require.Equal(t, "another.example", served(), "one that cannot be read leaves the old one in use")
}

func TestAStoreThatIsDownIsA503AndNotAFault(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	backend, ok := r.host.backend.(*memstore.Backend)
	require.True(t, ok)
	backend.Fail(func(string) error { return errors.New("disk on fire") })
	t.Cleanup(func() { backend.Fail(nil) })
	for _, path := range []string{"/healthz", "/api/tickets", "/api/channels", "/api/ledger", "/api/events", "/api/agents", "/api/messages/x"} {
		e := r.call("GET", path, nil, 503)
		require.Equal(t, "unavailable", text(e, "error", "code"), path)
		require.NotContains(t, text(e, "error", "message"), "fire", "the inside stays inside")
	}
	require.Equal(t, 451, code(smtp.SendMail(r.host.smtpL.Addr().String(), nil, "a@b.example", []string{"support@portal.localhost"}, []byte("Subject: x\r\n\r\nx\r\n"))))
	backend.Fail(nil)
	require.Eventually(t, func() bool { return r.request("GET", "/healthz", nil).StatusCode == http.StatusOK }, 20*time.Second, 50*time.Millisecond)
}
