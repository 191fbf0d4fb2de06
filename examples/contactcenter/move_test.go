package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/smtp"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPortalMovesFromSQLiteToPostgreSQL(t *testing.T) {
	t.Parallel()
	url, dir := cluster.Database(t), t.TempDir()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	env := map[string]string{"ANTEROOM_KEY": key}
	old := testOptions(t)
	old.key = key
	r := start(t, old)
	r.office(nil, nil)
	large := "Message-ID: <1@c.example>\r\nSubject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 8<<10)
	for _, mail := range []string{large, "Message-ID: <2@c.example>\r\nSubject: small\r\n\r\nhello\r\n"} {
		require.NoError(t, smtp.SendMail(r.host.smtpL.Addr().String(), nil, "mai@c.example", []string{"support@portal.localhost"},
			[]byte("From: mai@c.example\r\n"+mail)))
	}
	var before object
	require.Eventually(t, func() bool { // both are somebody's: nothing is under way
		before = r.call("GET", "/api/tickets", nil, 200)
		return text(before, "tickets", 0, "assignee") != "" && text(before, "tickets", 1, "assignee") != ""
	}, time.Minute, 10*time.Millisecond)
	r.stop()

	file := filepath.Join(dir, "portal.jsonl")
	code, logs := attempt(t, env, "-data", old.data, "-export", file)
	require.Zero(t, code, logs)
	code, logs = attempt(t, env, "-data", old.data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "has moved away")
	to := []string{"-data", dir, "-store", url, "-blobs", "file://" + filepath.Join(dir, "blobs")}
	code, logs = attempt(t, env, append(to, "-import", file)...)
	require.Zero(t, code, logs)

	opts := testOptions(t, to...)
	opts.key = key
	r = start(t, opts)
	after := r.call("GET", "/api/tickets", nil, 200)
	for i := range 2 {
		a, b := before["tickets"].([]any)[i].(map[string]any), after["tickets"].([]any)[i].(map[string]any)
		delete(a, "revision") // which begins anew
		delete(b, "revision")
		require.Equal(t, a, b)
	}
	full := r.call("GET", "/api/tickets/"+text(after, "tickets", 1, "id"), nil, 200)
	raw, err := io.ReadAll(r.request("GET", "/api/messages/"+text(full, "messages", 0, "id")+"/raw", nil).Body)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(raw, []byte(large[len(large)-1000:])))
	// The mailbox is there, and knows what it has had.
	for _, id := range []string{"2", "3"} {
		require.NoError(t, smtp.SendMail(r.host.smtpL.Addr().String(), nil, "mai@c.example", []string{"support@portal.localhost"},
			[]byte("From: mai@c.example\r\nMessage-ID: <"+id+"@c.example>\r\nSubject: small\r\n\r\nhello\r\n")))
	}
	require.Len(t, r.call("GET", "/api/tickets", nil, 200)["tickets"], 3)
	r.stop()

	// A move that was given up, and the way back.
	back := filepath.Join(dir, "back.jsonl")
	code, logs = attempt(t, env, append(to, "-export", back)...)
	require.Zero(t, code, logs)
	code, logs = attempt(t, env, "-data", filepath.Join(dir, "again"), "-import", back)
	require.Zero(t, code, logs)
	code, logs = attempt(t, env, "-data", old.data, "-reinstate")
	require.Zero(t, code, logs)
	old.data = filepath.Join(dir, "again")
	require.Len(t, start(t, old).call("GET", "/api/tickets", nil, 200)["tickets"], 3)
}
