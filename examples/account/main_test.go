package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCustomersOfTheDemoAreAnswered(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	said, done := make(chan string, 1000), make(chan error, 1)
	say := func(line string) { said <- line }
	mailbox, connector, end := demo(ctx, say)
	defer end()
	go func() { done <- run(ctx, connector, mailbox, say) }()
	var all []string
	seen := func(text string) func() bool {
		return func() bool {
			for len(said) > 0 {
				all = append(all, <-said)
			}
			return strings.Contains(strings.Join(all, "\n"), text)
		}
	}
	for _, text := range []string{
		"ok: connected over TLS", "the folder INBOX can be read", "comes in: a probe took", "the account is live",
		"Customer 1 <c1@example.com>: Question 1", "answering Customer 1", "c1@example.com has an answer",
	} {
		require.Eventually(t, seen(text), 40*time.Second, 10*time.Millisecond, "%s in %v", text, &all)
	}
	require.NotContains(t, strings.Join(all, "\n"), demoPassword)
	cancel()
	require.NoError(t, <-done)
}
