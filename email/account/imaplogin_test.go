package account_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestARefusedLoginIsAPersonsCaseOnlyIfTheCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	for reply, person := range map[string]bool{
		"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)":                         true,
		"NO [AUTHENTICATIONFAILED] temporarily locked, too many wrong passwords":          true,
		"NO [EXPIRED] your password has expired":                                          true,
		"NO [ALERT] Application-specific password required: https://support.google.com/x": true,
		"NO LOGIN failed.": true,
		"BAD what":         true,
		"NO [UNAVAILABLE] Temporary authentication failure. [server:2026-11-22]": false,
		"NO [INUSE] the mailbox is locked":                                       false,
		"NO [LIMIT] Maximum number of connections exceeded":                      false,
		"NO [OVERQUOTA] Account exceeded command or bandwidth limits.":           false,
		"NO [THROTTLED] slow down":                                               false,
		"NO [ALERT] Too many simultaneous connections. (Failure)":                false,
		"NO Temporary problem, please try again later":                           false,
		"NO Server Unavailable. 15":                                              false,
		"NO [SERVERBUG] LOGIN Server error - Please try again later":             false,
		"BAD User is authenticated but not connected.":                           false,
	} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			srv.Fault(emailtest.Fault{At: emailtest.AtLogin, Reply: reply})
			b.receive(t)
			require.Eventually(t, func() bool { return srv.Connections() >= 3 }, patience, time.Millisecond)
			if person {
				b.until(t, "in need of authorization", is(channel.StateNeedsAuthorization))
				require.Equal(t, 3, srv.Connections())
				return
			}
			srv.Heal()
			b.until(t, "live", is(channel.StateLive))
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Zero(t, b.counted(is(channel.StateNeedsAuthorization)))
		})
	}
}

func TestAnEchoedPasswordIsNowhere(t *testing.T) {
	t.Parallel()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + address + "\x00" + password))
	for name, said := range map[string]string{
		"in clear": password, "encoded": base64.StdEncoding.EncodeToString([]byte(password)), "as it was sent": plain,
	} {
		for at, f := range map[string]emailtest.Fault{
			"in the answer to the login":      {At: emailtest.AtLogin, Reply: "NO no user with " + said},
			"in the answer to the opening":    {At: emailtest.AtSelect, Reply: "NO you said " + said},
			"in an answer without sense":      {At: emailtest.AtSearch, Untagged: "1 FETCH (UID 1 " + said + ")"},
			"in a refused fetch":              {At: emailtest.AtFetch, Reply: "NO [SERVERBUG] " + said},
			"in what is done with a mail":     {At: emailtest.AtStore, Reply: "NO for " + said},
			"in the answer to who we are":     {At: "ID", Untagged: "ID " + said},
			"in a farewell before the answer": {At: emailtest.AtLogin, Untagged: "BYE " + said, Drop: true},
		} {
			t.Run(name+" "+at, func(t *testing.T) {
				t.Parallel()
				b, srv := newInbox(t)
				b.conf.IMAP.After = "seen"
				f.Times = 20
				srv.Fault(f)
				srv.Add("INBOX", letter(1), time.Now())
				findings := fmt.Sprintf("%+v", b.open(t).(channel.Checker).Check(t.Context()))
				b.receive(t)
				b.until(t, "not well", func(s channel.Status) bool { return s.Reason != "" })
				b.mu.Lock()
				defer b.mu.Unlock()
				all := findings + b.logs.String() + fmt.Sprintf("%+v", b.statuses)
				for _, secret := range []string{password, base64.StdEncoding.EncodeToString([]byte(password)), plain} {
					require.NotContains(t, all, secret)
				}
			})
		}
	}
}

func TestATokenThatCannotBeHadForNowNeedsNobody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		person bool
	}{
		"the grant is gone":             {&oauth2.RetrieveError{ErrorCode: "invalid_grant"}, true},
		"Microsoft wants a person":      {&oauth2.RetrieveError{ErrorCode: "interaction_required"}, true},
		"the endpoint is in trouble":    {&oauth2.RetrieveError{ErrorCode: "server_error"}, false},
		"no answer that OAuth knows":    {&oauth2.RetrieveError{Body: []byte("<html>" + token)}, false},
		"the endpoint is out of reach":  {errors.New("dial tcp: " + token), false},
		"the source has nothing to say": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := emailtest.NewIMAP(t, emailtest.IMAPWithTLS(), emailtest.IMAPWithToken(address, token))
			b := newInboxAt(t, fakeIMAP{srv}, account.TLS)
			b.conf.Auth, b.conf.Password = account.AuthOAuth2, ""
			var calls atomic.Int32
			b.connector.TokenSource = func(context.Context, channel.Account) (oauth2.TokenSource, error) {
				return sourceFunc(func() (*oauth2.Token, error) {
					if calls.Add(1) <= 5 {
						return nil, c.err
					}
					return &oauth2.Token{AccessToken: token}, nil
				}), nil
			}
			b.receive(t)
			if c.person {
				b.until(t, "in need of authorization", is(channel.StateNeedsAuthorization))
				require.EqualValues(t, 3, calls.Load())
			} else {
				b.until(t, "live", is(channel.StateLive))
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Equal(t, c.person, b.counted(is(channel.StateNeedsAuthorization)) > 0)
			require.NotContains(t, b.logs.String()+fmt.Sprintf("%+v", b.statuses), token)
		})
	}
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

func TestATokenSourceThatHangsIsAskedOnce(t *testing.T) {
	t.Parallel()
	srv := emailtest.NewIMAP(t, emailtest.IMAPWithTLS(), emailtest.IMAPWithToken(address, token))
	b := newInboxAt(t, fakeIMAP{srv}, account.TLS)
	b.conf.Auth, b.conf.Password = account.AuthOAuth2, ""
	b.connector.Receiving.Command = 20 * time.Millisecond
	hung := make(chan struct{})
	var calls atomic.Int32
	b.connector.TokenSource = func(context.Context, channel.Account) (oauth2.TokenSource, error) {
		return sourceFunc(func() (*oauth2.Token, error) {
			calls.Add(1)
			<-hung
			return &oauth2.Token{AccessToken: token}, nil
		}), nil
	}
	b.receive(t)
	require.Eventually(t, func() bool { return srv.Connections() >= 5 }, patience, time.Millisecond)
	require.EqualValues(t, 1, calls.Load())
	close(hung)
	b.until(t, "live", is(channel.StateLive))
}

func TestSTARTTLSIsNeitherInjectedIntoNorTakenAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		down func(string) string
		code string
		text string
	}{
		"all is well": {func(line string) string { return line }, "ok", "can be read"},
		"an answer in clear behind that to STARTTLS": {
			func(line string) string {
				if strings.Contains(line, "OK begin TLS") {
					return line + "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
				}
				return line
			}, "tls", "in clear",
		},
		"let in before TLS":     {replaced("* OK ", "* PREAUTH "), "tls", "before TLS"},
		"the offer taken away":  {replaced("OK begin TLS", "NO not here"), "starttls_missing", "not here"},
		"turned away":           {replaced("* OK ", "* BYE [UNAVAILABLE] come back later "), "greeting", "come back later"},
		"another protocol":      {replaced("* OK ", "220 mail.test ESMTP "), "greeting", "does not speak IMAP"},
		"a line without an end": {func(string) string { return "* OK " + strings.Repeat("x", 1<<20) }, "greeting", "does not end"},
		"an offer of what is not offered": {
			replaced("OK begin TLS", "OK [CAPABILITY IMAP4rev1 LOGINDISABLED] begin TLS"), "ok", "can be read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, srv, tp := newTampered(t, emailtest.IMAPWithSTARTTLS())
			b.conf.IMAP.Security, b.connector.TLS = account.STARTTLS, srv.ClientTLS()
			tp.set(func(line string) string {
				if strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "S ") {
					return c.down(line)
				}
				return line
			}, nil)
			found := false
			for _, f := range b.open(t).(channel.Checker).Check(t.Context()) {
				if f.Data["server"] != "imap" {
					continue
				}
				found = true
				require.Equal(t, c.code, f.Code, "%+v", f)
				require.Contains(t, f.Text, c.text)
				require.Equal(t, c.code == "ok", f.Fix == "")
			}
			require.True(t, found)
			if c.code != "ok" {
				require.NotContains(t, fmt.Sprint(srv.Commands()), "CAPABILITY", "nothing is said in clear but STARTTLS")
			}
		})
	}
}
