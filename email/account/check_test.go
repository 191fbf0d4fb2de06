package account_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// TestCheckTellsFailuresApart has the cases that TLS and logins do not have
// tests of their own for.
func TestCheckTellsFailuresApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*world)
		code    string
		text    string
		state   channel.State
	}{
		"all is well": {prepare: func(*world) {}, code: "ok", text: "over TLS", state: channel.StateLive},
		"no such name": {
			prepare: func(w *world) {
				w.env.Dial = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "smtp.shop.test", IsNotFound: true}}
				}
			},
			code: "dns", text: "no such host", state: channel.StateDegraded,
		},
		"nobody listens": {
			prepare: func(w *world) { w.srv.Close() }, code: "connect", text: "refused", state: channel.StateDegraded,
		},
		"turned away": {
			prepare: func(w *world) {
				w.srv.Fault(emailtest.Fault{At: emailtest.AtConnect, Reply: "554 5.7.1 your network is blocked"})
			},
			code: "greeting", text: "your network is blocked", state: channel.StateDegraded,
		},
		"silence": {
			prepare: func(w *world) {
				w.srv.Fault(emailtest.Fault{At: emailtest.AtConnect, Hang: true})
				w.connector.Timeouts.Check = 200 * time.Millisecond
			},
			code: "greeting", text: "did not answer within", state: channel.StateDegraded,
		},
		"no SMTP": {
			prepare: func(w *world) { w.srv.Fault(emailtest.Fault{At: emailtest.AtConnect, Reply: "SSH-2.0-OpenSSH_9.9"}) },
			code:    "greeting", text: "does not speak SMTP", state: channel.StateDegraded,
		},
		"not our address": {
			prepare: func(w *world) {
				w.srv.Fault(emailtest.Fault{At: emailtest.AtMail, Reply: "553 5.7.1 sender not owned by user"})
			},
			code: "sender", text: "not owned by user", state: channel.StateLive,
		},
		"login wanted after all": {
			prepare: func(w *world) { w.srv.Fault(emailtest.Fault{At: emailtest.AtMail, Reply: "530 5.7.0 log in"}) },
			code:    "login", text: "log in", state: channel.StateNeedsAuthorization,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			c.prepare(w)
			f := w.open(t).(channel.Checker).Check(t.Context())
			require.Len(t, f, 1)
			require.Equal(t, c.code, f[0].Code, "%+v", f)
			require.Contains(t, f[0].Text, c.text)
			require.Equal(t, c.state, w.state())
			if c.code == "ok" {
				require.Equal(t, channel.SeverityOK, f[0].Severity)
			} else {
				require.Equal(t, channel.SeverityError, f[0].Severity)
				require.NotEmpty(t, f[0].Fix)
			}
			require.Empty(t, w.srv.Messages(), "a check sends nothing")
		})
	}
}

func TestADegradedStatusSaysWhenItIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	w.env.Now = func() time.Time { return now }
	w.srv.Close()
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	se := sendError(t, err)
	require.Equal(t, "connect", se.Code)
	require.Equal(t, now.Add(se.After), w.statuses[0].NextTry)
	require.NotEmpty(t, w.statuses[0].Reason)
}

func TestARelayIsChecked(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithSTARTTLS())
	var got []channel.Status
	r := account.NewRelay(w.srv.Addr(), account.RelayOptions{Report: func(s channel.Status) { got = append(got, s) }})
	require.Equal(t, "ok", r.Check(t.Context())[0].Code)
	w.srv.Close()
	require.Equal(t, "connect", r.Check(t.Context())[0].Code)
	require.Equal(t, channel.StateLive, got[0].State)
	require.Equal(t, channel.StateDegraded, got[1].State)
	require.Equal(t, "invalid", account.NewRelay("a b", account.RelayOptions{}).Check(t.Context())[0].Code)
}
