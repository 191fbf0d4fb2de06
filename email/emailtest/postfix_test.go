package emailtest_test

import (
	"context"
	"net/smtp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestPostfixRelaysToItsSink(t *testing.T) {
	t.Parallel()
	p := emailtest.StartPostfix(t, emailtest.PostfixOptions{
		Refuse: map[string]string{"nobody@example.com": "550 5.1.1 no such user"},
	})
	err := smtp.SendMail(p.Addr(), nil, "a@example.com", []string{"b@example.com"}, []byte("Subject: x\r\n\r\nhello\r\n"))
	require.NoError(t, err)
	m, err := p.Sink().Next(within(t))
	require.NoError(t, err)
	require.Equal(t, "a@example.com", m.From)
	require.Equal(t, []string{"b@example.com"}, m.To)
	require.Contains(t, string(m.Raw), "\r\nhello\r\n")

	err = smtp.SendMail(p.Addr(), nil, "a@example.com", []string{"nobody@example.com"}, []byte("Subject: x\r\n\r\nhello\r\n"))
	require.ErrorContains(t, err, "no such user")
}
