package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// dialTo returns a dialer that leads every name to the world's server.
func (w *world) dialTo() func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.srv.Addr())
	}
}

type source func() (*oauth2.Token, error)

func (s source) Token() (*oauth2.Token, error) { return s() }

func (w *world) withToken(s source) {
	w.conf.Auth, w.conf.Password = account.AuthOAuth2, ""
	w.connector.TokenSource = func(context.Context, channel.Account) (oauth2.TokenSource, error) { return s, nil }
}

func goodToken() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: token}, nil }

func TestMechanisms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts  []emailtest.SMTPOption
		oauth bool
		used  string
	}{
		"PLAIN is preferred":       {opts: []emailtest.SMTPOption{emailtest.WithUser(address, password)}, used: "PLAIN"},
		"LOGIN where PLAIN is not": {opts: []emailtest.SMTPOption{emailtest.WithUser(address, password), emailtest.WithMechanisms("CRAM-MD5", "LOGIN")}, used: "LOGIN"},
		"XOAUTH2 is preferred":     {opts: []emailtest.SMTPOption{emailtest.WithToken(address, token)}, oauth: true, used: "XOAUTH2"},
		"OAUTHBEARER where it is not": {
			opts: []emailtest.SMTPOption{emailtest.WithToken(address, token), emailtest.WithMechanisms("OAUTHBEARER", "PLAIN")}, oauth: true, used: "OAUTHBEARER",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, append(c.opts, emailtest.WithTLS())...)
			if c.oauth {
				w.withToken(goodToken)
			}
			_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
			require.NoError(t, err)
			require.Equal(t, address, w.srv.Messages()[0].User)
			require.Contains(t, strings.Join(w.srv.Commands(), "\n"), "AUTH "+c.used)
		})
	}
}

func TestTheUserNameMayDiffer(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithTLS(), emailtest.WithUser("shop-17", password))
	w.conf.Username = "shop-17"
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.NoError(t, err)
	require.Equal(t, "shop-17", w.srv.Messages()[0].User)
}

func TestALoginThatCannotWorkNeedsAPerson(t *testing.T) {
	t.Parallel()
	user, tls := emailtest.WithUser(address, password), emailtest.WithTLS()
	for name, c := range map[string]struct {
		opts    []emailtest.SMTPOption
		prepare func(*world)
		code    string
		finding string
		person  bool
	}{
		"wrong password": {
			opts: []emailtest.SMTPOption{user, tls}, prepare: func(w *world) { w.conf.Password = "wr0ng-wr0ng" },
			code: "smtp_535", finding: "login", person: true,
		},
		"wrong token by XOAUTH2": {
			opts:    []emailtest.SMTPOption{emailtest.WithToken(address, "other"), tls},
			prepare: func(w *world) { w.withToken(goodToken) }, code: "smtp_535", finding: "login", person: true,
		},
		"wrong token by OAUTHBEARER": {
			opts:    []emailtest.SMTPOption{emailtest.WithToken(address, "other"), tls, emailtest.WithMechanisms("OAUTHBEARER")},
			prepare: func(w *world) { w.withToken(goodToken) }, code: "smtp_535", finding: "login", person: true,
		},
		"no mechanism in common": {
			opts: []emailtest.SMTPOption{user, tls, emailtest.WithMechanisms("CRAM-MD5", "GSSAPI")},
			code: "auth_mechanism", finding: "auth_mechanism", person: true,
		},
		"no tokens taken": {
			opts: []emailtest.SMTPOption{user, tls}, prepare: func(w *world) { w.withToken(goodToken) },
			code: "auth_mechanism", finding: "auth_mechanism", person: true,
		},
		"no login offered": {
			opts: []emailtest.SMTPOption{tls}, code: "auth_mechanism", finding: "auth_mechanism", person: true,
		},
		"grant revoked": {
			opts: []emailtest.SMTPOption{emailtest.WithToken(address, token), tls},
			prepare: func(w *world) {
				w.withToken(func() (*oauth2.Token, error) {
					return nil, &oauth2.RetrieveError{ErrorCode: "invalid_grant", Body: []byte("refresh=" + token)}
				})
			},
			code: "token", finding: "token", person: true,
		},
		"token endpoint down": {
			opts: []emailtest.SMTPOption{emailtest.WithToken(address, token), tls},
			prepare: func(w *world) {
				w.withToken(func() (*oauth2.Token, error) { return nil, errors.New("503 refresh=" + token) })
			},
			code: "token", finding: "token",
		},
		"no token source": {
			opts: []emailtest.SMTPOption{emailtest.WithToken(address, token), tls},
			prepare: func(w *world) {
				w.withToken(nil)
				w.connector.TokenSource = func(context.Context, channel.Account) (oauth2.TokenSource, error) { return nil, nil }
			},
			code: "token", finding: "token",
		},
		"temporary refusal": {
			opts: []emailtest.SMTPOption{user, tls},
			prepare: func(w *world) {
				w.srv.Fault(emailtest.Fault{At: emailtest.AtAuth, Reply: "454 4.7.0 later"})
			},
			code: "smtp_454", finding: "login",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, c.opts...)
			if c.prepare != nil {
				c.prepare(w)
			}
			ch := w.open(t)
			_, err := ch.Send(t.Context(), outbound("an@example.com"))
			se := sendError(t, err)
			require.Equal(t, channel.NotSent, se.Outcome)
			require.Equal(t, c.code, se.Code)
			require.Equal(t, c.person, se.Authorization)
			f := ch.(channel.Checker).Check(t.Context())
			require.Equal(t, c.finding, f[0].Code)
			want := channel.StateDegraded
			if c.person {
				want = channel.StateNeedsAuthorization
			}
			require.Equal(t, want, w.state())
			require.Empty(t, w.srv.Messages())
			w.noSecrets(t, ch, se, fmt.Sprintf("%+v", f))
		})
	}
}

func TestARenewedPasswordIsUsedByTheNextOpening(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.conf.Password = "wr0ng-wr0ng"
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.True(t, sendError(t, err).Authorization)
	w.conf.Password = password
	_, err = w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.NoError(t, err)
	require.Equal(t, channel.StateLive, w.state())
}

func TestATokenSourceThatHangsDoesNotHoldASend(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithTLS(), emailtest.WithToken(address, token))
	release := make(chan struct{})
	asked := make(chan struct{})
	w.withToken(func() (*oauth2.Token, error) {
		close(asked)
		<-release
		return goodToken()
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	ch := w.open(t)
	go func() {
		<-asked
		cancel()
	}()
	_, err := ch.Send(ctx, outbound("an@example.com"))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
}

func TestANewLineInATokenIsNotSent(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithTLS(), emailtest.WithToken(address, token))
	w.withToken(func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "x\x01\x01y"}, nil })
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.Equal(t, "token", sendError(t, err).Code)
}

// TestAServerThatEchoesCredentialsIsNotQuoted has servers answer with what
// they were sent.
func TestAServerThatEchoesCredentialsIsNotQuoted(t *testing.T) {
	t.Parallel()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + address + "\x00" + password))
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtAuth, Reply: "535 5.7.8 bad: AUTH PLAIN " + plain + " that is " + password})
	ch := w.open(t)
	_, err := ch.Send(t.Context(), outbound("an@example.com"))
	se := sendError(t, err)
	require.Contains(t, se.Reason, "[redacted]")
	w.noSecrets(t, ch, se, fmt.Sprintf("%+v", ch.(channel.Checker).Check(t.Context())))

	w = setup(t, emailtest.WithTLS(), emailtest.WithToken(address, token))
	w.withToken(goodToken)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtAuth, Reply: "535 5.7.8 expired: " + token})
	ch = w.open(t)
	_, err = ch.Send(t.Context(), outbound("an@example.com"))
	w.noSecrets(t, ch, sendError(t, err))

	w = setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.7.1 user with password " + password})
	ch = w.open(t)
	rec, err := ch.Send(t.Context(), outbound("an@example.com"))
	w.noSecrets(t, ch, sendError(t, err), fmt.Sprintf("%+v", rec))
}

func TestNothingPrintsAPassword(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ch := w.open(t)
	acct, err := w.conf.Account()
	require.NoError(t, err)
	b, err := json.Marshal(w.conf)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "conf", w.conf, "pointer", &w.conf, "account", acct, "channel", ch)
	relay := account.NewRelay("127.0.0.1:1", account.RelayOptions{Username: "u", Password: password})
	w.noSecrets(t, ch, nil,
		string(b), log.String(), string(acct.Config), fmt.Sprintf("%v %+v %#v %s %q", w.conf, w.conf, w.conf, w.conf, w.conf),
		fmt.Sprintf("%v %+v %#v", &w.conf, acct, acct), fmt.Sprintf("%v %+v %#v %s", relay, relay, relay, relay))
}

// noSecrets fails if anything that could be shown or logged holds a credential.
func (w *world) noSecrets(t *testing.T, ch channel.Channel, se *channel.SendError, more ...string) {
	t.Helper()
	more = append(more, w.logs.String(), fmt.Sprintf("%v %+v %#v %s", ch, ch, ch, ch))
	if se != nil {
		more = append(more, fmt.Sprintf("%v %+v %s %s %s", se, se, se.Reason, se.Fix, se.Code))
		for err := error(se); err != nil; err = errors.Unwrap(err) {
			more = append(more, fmt.Sprintf("%v %+v", err, err))
		}
	}
	w.mu.Lock()
	more = append(more, fmt.Sprintf("%+v", w.statuses))
	w.mu.Unlock()
	for _, secret := range []string{password, token, "wr0ng-wr0ng"} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
			for _, text := range more {
				require.NotContains(t, text, form)
			}
		}
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + address + "\x00" + password))
	require.NotContains(t, strings.Join(more, "\n"), plain)
}
