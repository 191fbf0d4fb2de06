package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

const testToken = "token-of-the-tests"

// running is a host in this process.
type running struct {
	t    *testing.T
	host *host
	stop func() // drains it and waits
}

type object = map[string]any

func testOptions(t *testing.T, args ...string) options {
	t.Helper()
	env := map[string]string{"ANTEROOM_TOKEN": testToken}
	args = append([]string{"-data", t.TempDir(), "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0", "-undo", "0s"}, args...)
	opts, err := parseOptions(args, func(k string) string { return env[k] }, io.Discard)
	require.NoError(t, err)
	opts.passwordRounds = 1000
	return opts
}

// start runs a host until the test ends, or stop is called.
func start(t *testing.T, opts options) *running {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, err := openHost(t.Context(), opts, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.serve(ctx, func() error { close(ready); return nil })
	}()
	stopped := false
	r := &running{t: t, host: h}
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(r.stop)
	select {
	case <-ready:
	case err := <-done:
		require.NoError(t, err)
	}
	return r
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// request sends a request as a program does. A body that is no string is sent
// as JSON.
func (r *running) request(method, path string, body any, header ...string) *http.Response {
	r.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		require.NoError(r.t, err)
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.host.baseURL()+path, reader)
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+testToken)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// call calls the API and wants the given status.
func (r *running) call(method, path string, body any, status int) object {
	r.t.Helper()
	resp := r.request(method, path, body)
	data, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	require.Equal(r.t, status, resp.StatusCode, "%s %s: %s", method, path, data)
	out := object{}
	if len(data) > 0 {
		require.NoError(r.t, json.Unmarshal(data, &out))
	}
	return out
}

// get follows a path of keys and indexes through JSON.
func get(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

func text(v any, path ...any) string {
	s, _ := get(v, path...).(string)
	return s
}

// mail delivers a mail to the host's server.
func (r *running) mail(from, to, raw string) {
	r.t.Helper()
	require.NoError(r.t, smtp.SendMail(r.host.smtpL.Addr().String(), nil, from, []string{to}, []byte(strings.ReplaceAll(raw, "\n", "\r\n"))))
}

// eventually asks again until ok says yes.
func (r *running) eventually(path string, ok func(object) bool) object {
	r.t.Helper()
	var out object
	require.Eventually(r.t, func() bool {
		out = r.call("GET", path, nil, 200)
		return ok(out)
	}, 20*time.Second, 10*time.Millisecond, "%s", path)
	return out
}

// office makes two agents, a queue, a mailbox and a paired account that sends
// through smtp. It returns the ids of the channels.
func (r *running) office(smtp *emailtest.SMTP, mailbox object) (hostedID, accountID string) {
	r.t.Helper()
	r.call("PUT", "/api/agents/an", object{"name": "Nguyễn An", "email": "an@shop.example", "password": "mat-khau-1"}, 200)
	r.call("PUT", "/api/agents/binh", object{"name": "Trần Bình"}, 200)
	r.call("PUT", "/api/agents/binh/presence", object{"state": "online"}, 200)
	r.call("PUT", "/api/queues/support", object{"name": "Hỗ trợ", "agents": []string{"an", "binh"}, "prefer_online": true}, 200)
	settings := object{"queue": "support", "prefer_online": true}
	maps.Copy(settings, mailbox)
	c := r.call("POST", "/api/channels", object{"kind": "email.hosted", "name": "Hỗ trợ", "config": object{"local_part": "support"}, "settings": settings}, 201)
	hostedID = text(c, "id")
	if smtp == nil {
		return hostedID, ""
	}
	c = r.call("POST", "/api/channels", object{"kind": "email.account", "name": "Cửa hàng", "config": object{
		"address": "help@shop.example", "password": "geheim", "forwarded_to": hostedID,
		"smtp": object{"host": smtp.Host(), "port": smtp.Port(), "security": "none"},
	}}, 201)
	return hostedID, text(c, "id")
}

const firstMail = `From: =?utf-8?q?Ph=E1=BA=A1m_Ch=C3=A2u?= <chau@khach.example>
To: support@portal.localhost
Subject: =?utf-8?q?=C4=90=C6=A1n_h=C3=A0ng_b=E1=BB=8B_tr=E1=BB=85?=
Message-ID: <first@khach.example>
Content-Type: text/plain; charset=utf-8

Chào shop, đơn hàng của tôi ở đâu?
`
