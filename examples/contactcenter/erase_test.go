package main

import (
	"net/smtp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPersonIsErasedByTheAPI(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	r.office(nil, nil)
	require.NoError(t, smtp.SendMail(r.host.smtpL.Addr().String(), nil, "mai@c.example", []string{"support@portal.localhost"},
		[]byte("From: mai@c.example\r\nMessage-ID: <1@c.example>\r\nSubject: zebra\r\n\r\nzebra\r\n")))
	who := map[string]any{"identities": []any{map[string]any{"scheme": "mailto", "address": "mai@c.example"}}}
	preview := map[string]any{"identities": who["identities"], "preview": true}
	seen := r.call("POST", "/api/erase", preview, 200)
	require.Len(t, seen["messages"], 1)
	require.Len(t, r.call("GET", "/api/tickets", nil, 200)["tickets"], 1)
	require.Equal(t, seen["messages"], r.call("POST", "/api/erase", who, 200)["messages"])
	require.Equal(t, true, r.call("POST", "/api/erase", preview, 200)["empty"])
	require.Empty(t, r.call("GET", "/api/tickets", nil, 200)["tickets"])
	r.call("POST", "/api/erase", map[string]any{}, 400)
	r.call("POST", "/api/erase", map[string]any{"identities": []any{map[string]any{"address": " "}}}, 400)
}
