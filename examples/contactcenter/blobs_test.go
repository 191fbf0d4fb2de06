package main

import (
	"bytes"
	"io"
	"net/smtp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/bucket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func TestALargeMailIsKeptInABucketThatAURLNames(t *testing.T) {
	t.Parallel()
	o := testOptions(t, "-store", "memory:", "-blobs", "mem://")
	blobs, err := openBlobs(t.Context(), o, memstore.NewBlobs())
	require.NoError(t, err)
	require.IsType(t, &bucket.Bucket{}, blobs)

	r := start(t, o)
	r.office(nil, nil)
	line := strings.Repeat("x", 70) + "\r\n"
	mail := []byte("From: mai@c.example\r\nMessage-ID: <1@c.example>\r\nSubject: large\r\n\r\n" + strings.Repeat(line, 8<<10))
	require.NoError(t, smtp.SendMail(r.host.smtpL.Addr().String(), nil, "mai@c.example", []string{"support@portal.localhost"}, mail))
	list := r.call("GET", "/api/tickets", nil, 200)
	full := r.call("GET", "/api/tickets/"+text(list, "tickets", 0, "id"), nil, 200)
	id := ticket.MessageID(text(full, "messages", 0, "id"))
	m, err := r.host.desk.Message(t.Context(), id)
	require.NoError(t, err)
	require.True(t, m.Raw.Blob)
	raw, err := io.ReadAll(r.request("GET", "/api/messages/"+string(id)+"/raw", nil).Body)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(raw, mail[len(mail)-1000:]))
}
