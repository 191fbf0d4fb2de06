package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// hostEnv names the variable that makes a process of this package's tests a host.
const hostEnv = "ANTEROOM_BENCH_HOST"

// sendingHost is what such a process is told.
type sendingHost struct {
	DB, IDs    string // files: the store, and the ids of the messages
	CA         []byte // of the IMAP server
	Account    account.Account
	Password   string
	Messages   int
	Generation int
	Final      time.Duration
}

var recipients = []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}}

// hostStore opens the store of a host.
func hostStore(t *testing.T, path string) ticket.Store {
	db, err := sqlitestore.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db.Portal("main")
}

// TestSendingHost is no test of its own: it is the process that
// TestASendIsNeverDoubledByRealServers kills. It ends when nothing is left to do.
func TestSendingHost(t *testing.T) {
	t.Parallel()
	raw := os.Getenv(hostEnv)
	if raw == "" {
		return
	}
	var h sendingHost
	require.NoError(t, json.Unmarshal([]byte(raw), &h))
	s := &sender{t: t, store: hostStore(t, h.DB), crashes: h.Generation}
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(h.CA))
	desk, err := ticket.New(ticket.Config{
		Store: s.store, Node: s.node(), Now: s.now, Log: slog.New(slog.DiscardHandler), Key: make([]byte, 32),
		Connectors: []channel.Connector{account.Connector{
			TLS:      &tls.Config{RootCAs: pool},
			Timeouts: account.Timeouts{Final: h.Final, Find: 2 * h.Final},
		}},
		Timing: ticket.Timing{
			Poll: 10 * time.Millisecond, Copy: -1, RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		},
	})
	require.NoError(t, err)
	var ids []ticket.MessageID
	if h.Generation == 0 {
		ids = h.write(t, desk)
	} else {
		b, err := os.ReadFile(h.IDs)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &ids))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for left := ids; len(left) > 0; <-tick.C {
		left = s.waitFor(left)
	}
	cancel()
	require.NoError(t, <-done)
}

// write makes the messages, and keeps their ids where other processes find them.
func (h *sendingHost) write(t *testing.T, desk *ticket.Desk) []ticket.MessageID {
	ctx := t.Context()
	require.NoError(t, desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}))
	require.NoError(t, desk.PutQueue(ctx, routing.Queue{ID: "q", Name: "Q", Agents: []routing.AgentID{"an"}}))
	h.Account.Password = h.Password
	ch, err := desk.Connect(ctx, h.Account, ticket.Settings{Queue: "q"})
	require.NoError(t, err)
	var ids []ticket.MessageID
	for n := range h.Messages {
		o, err := desk.Start(ctx, ticket.Opening{
			By: "an", Channel: ch.ID, Subject: subjectOf(n), Text: fmt.Sprint("Xin chào số ", n), Send: true, To: recipients,
		})
		require.NoError(t, err)
		ids = append(ids, o.Message.ID)
	}
	b, err := json.Marshal(ids)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(h.IDs, b, 0o600))
	return ids
}

// waitFor returns the messages of which something is still to be done. When all
// of it waits, the clock moves to where the first is due: to its next try, or to
// the end of a lease that a process had which was killed.
func (s *sender) waitFor(ids []ticket.MessageID) (left []ticket.MessageID) {
	var due time.Time
	busy := false
	for _, id := range ids {
		works := []ticket.WorkID{ticket.WorkID("send-" + id), ticket.WorkID("copy-" + id)}
		snap, err := s.store.Snapshot(s.t.Context(), ticket.Want{Messages: []ticket.MessageID{id}, Works: works})
		require.NoError(s.t, err)
		open := snap.Messages[id].State == ticket.StatePending || snap.Messages[id].State == ticket.StateSending
		for _, w := range snap.Works {
			if w == nil {
				continue
			}
			open = true
			at := w.NotBefore
			if w.Owner != "" {
				at = w.LeaseUntil
			}
			busy = busy || w.Owner == s.node()
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
		if open {
			left = append(left, id)
		}
	}
	if ahead := due.Sub(s.now()); !busy && !due.IsZero() && ahead > 0 {
		s.ahead.Add(int64(ahead))
	}
	return left
}
