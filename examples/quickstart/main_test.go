package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMailToTheMailboxIsPrintedAsATicket(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	printed, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, l, out)
		out.Close()
	}()

	const subject = "Đơn hàng bị trễ"
	mail := "From: An <an@khach.example>\r\nTo: support@help.example.com\r\nSubject: " + mime.QEncoding.Encode("utf-8", subject) +
		"\r\nMessage-ID: <1@khach.example>\r\n\r\nChào bạn\r\n"
	send := func() error {
		return smtp.SendMail(l.Addr().String(), nil, "an@khach.example", []string{"support@help.example.com"}, []byte(mail))
	}
	// The mailbox says 450 until it has begun to receive, as a mail server
	// would come back later.
	var later *textproto.Error
	require.Eventually(t, func() bool {
		err = send()
		return !errors.As(err, &later) || later.Code != 450
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, err)
	line, err := bufio.NewReader(printed).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "#1 "+subject+"\n", line)

	cancel()
	require.NoError(t, <-done)
}

func TestItStaysShort(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(b), "\n"), 60)
}
