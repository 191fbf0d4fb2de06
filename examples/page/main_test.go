package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

func TestAMessageIsPrintedAndAnswered(t *testing.T) {
	t.Parallel()
	fb := graphtest.New(graphtest.Options{})
	page, admin, ann := fb.AddPage("Shop"), fb.AddPerson("Admin"), fb.AddPerson("Ann")
	app := &facebook.App{ID: fb.AppID(), Secrets: []string{fb.AppSecret()}, VerifyToken: "v", Graph: fb.URL(), HTTP: fb.Client()}
	require.NoError(t, fb.Subscribe(app.Webhook(), "v"))
	ctx, cancel := context.WithCancel(t.Context())
	said, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- run(ctx, app, facebook.Page{ID: page.ID, Token: admin.PageToken(page.ID), Rules: facebook.Rules{Messages: true}}, "127.0.0.1:0", func(s string) { said <- s })
	}()
	require.Eventually(t, func() bool { return len(fb.Subscribed(page.ID)) > 0 }, 20*time.Second, time.Millisecond)
	ann.Write(page.ID, "Hello")
	require.Eventually(t, func() bool { return fb.Deliver(ctx) == nil }, 20*time.Second, time.Millisecond)
	require.NoError(t, fb.Wait(ctx, func() bool { return len(fb.Sent()) == 1 }))
	lines := []string{<-said, <-said}
	require.Contains(t, strings.Join(lines, "\n"), ": Hello")
	require.Contains(t, strings.Join(lines, "\n"), "answering Ann")
	cancel()
	require.NoError(t, <-done)
}
