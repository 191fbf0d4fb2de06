package pgstore

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// lived fills a portal with something of everything.
func lived(t *testing.T, store ticket.Store, blobs ticket.Blobs) {
	t.Helper()
	const box, page = "help@office.example", "page@office.example"
	net := channeltest.NewNetwork()
	desk, err := ticket.New(ticket.Config{Store: store, Blobs: blobs, Connectors: []channel.Connector{net}, Undo: time.Hour,
		Key: bytes.Repeat([]byte{7}, 32), Limits: ticket.Limits{InlineBody: 1000}})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An", Email: "an@office.example"}))
	require.NoError(t, desk.PutQueue(ctx, routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an"}}))
	mailbox, err := desk.Connect(ctx, channeltest.MemoryAccount{Address: box, Mail: true, Password: "secret"}, ticket.Settings{Queue: "support",
		AutoReply: ticket.AutoReply{On: true, Body: "We have it"}, NotifyAgent: true})
	require.NoError(t, err)
	raw, err := desk.Connect(ctx, channeltest.MemoryAccount{Address: page, Mail: true, Raw: true}, ticket.Settings{})
	require.NoError(t, err)
	for i := range 40 {
		it := net.Item(box, channel.Message{From: channel.Party{Name: "Mai \x00 \U0001F600", Address: fmt.Sprintf("c%d@c.example", i%9)}, Subject: fmt.Sprint("Chào ", i), Text: strings.Repeat("word ", i)})
		it.Channel = mailbox.ID
		it.Raw = channel.Bytes(strings.Repeat("\x00\xffraw", i*i*100))
		if i%10 == 3 {
			it.Quarantined = "policy"
		}
		require.NoError(t, desk.Accept(ctx, it))
	}
	it := net.Item(page, channel.Message{From: channel.Party{Address: "lan@c.example"}, Text: "raw"})
	it.Channel, it.Message, it.Raw = raw.ID, nil, channel.Bytes("raw")
	require.NoError(t, desk.Accept(ctx, it))
	ts, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	require.NotEmpty(t, ts)
	require.NoError(t, desk.DeleteTicket(ctx, ticket.Actor{}, ts[0].ID))
	for _, tk := range ts[1:4] {
		_, err := desk.Reply(ctx, tk.ID, ticket.Draft{By: "an", Text: "an answer, pending for an hour"})
		require.NoError(t, err)
	}
	require.NoError(t, desk.PutWebhook(ctx, ticket.Webhook{ID: "w", URL: "https://host.example/hook", Secret: []byte("the webhook's own secret")}))
}

func exported(t *testing.T, store ticket.Store, blobs ticket.Blobs) (all string, contents []string) {
	t.Helper()
	require.NoError(t, ticket.Retire(t.Context(), store, time.Now()))
	var b bytes.Buffer
	_, err := ticket.Export(t.Context(), ticket.ExportConfig{Store: store, Blobs: blobs}, &b)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return b.String(), lines[1 : len(lines)-1]
}

func TestAPortalMovesBetweenTheStoresAndStaysTheSame(t *testing.T) {
	t.Parallel()
	lite := func(name string) ticket.Backend {
		b, err := sqlitestore.Open(filepath.Join(t.TempDir(), name))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		return b
	}
	here, blobs := lite("a.db").Portal("main"), memstore.NewBlobs()
	lived(t, here, blobs)
	stream, want := exported(t, here, blobs)
	for _, kind := range []string{"record", "contact", "conversation", "ticket", "body", "message", "item", "decision", "work", "key", "counter", "event", "blob", "chunk"} {
		require.Contains(t, stream, "\n{\""+kind+"\":", "the portal has one of everything")
	}
	for name, there := range map[string]ticket.Backend{"PostgreSQL": setup(t), "SQLite": lite("b.db"), "memory": memstore.New()} {
		store, copied := there.Portal("main"), memstore.NewBlobs()
		_, err := ticket.Import(context.Background(), ticket.ImportConfig{Store: store, Blobs: copied}, strings.NewReader(stream))
		require.NoError(t, err, name)
		_, got := exported(t, store, copied)
		require.ElementsMatch(t, want, got, name)
		if name != "memory" { // which has an order of its own
			require.Equal(t, want, got, name)
		}
		a, err := here.Ledger(t.Context(), "", "")
		require.NoError(t, err)
		b, err := store.Ledger(t.Context(), "", "")
		require.NoError(t, err)
		require.Equal(t, a, b, name)
		ts, _, err := store.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{"chao", "39"}}, ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, ts, "the deleted one")
		ts, _, err = store.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{"chao", "38"}}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, ts, 1, name)
	}
}

func TestAPersonIsErasedOnEveryStore(t *testing.T) {
	t.Parallel()
	lite, err := sqlitestore.Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lite.Close()) })
	for name, back := range map[string]ticket.Backend{"PostgreSQL": setup(t), "SQLite": lite, "memory": memstore.New()} {
		store, blobs := back.Portal("main"), memstore.NewBlobs()
		lived(t, store, blobs)
		desk, err := ticket.New(ticket.Config{Store: store, Blobs: blobs, Key: bytes.Repeat([]byte{7}, 32), Connectors: []channel.Connector{channeltest.NewNetwork()}})
		require.NoError(t, err)
		who := ticket.Person{Identities: []ticket.Identity{{Scheme: "mailto", Address: "c4@c.example"}}}
		list, err := desk.Traces(t.Context(), who)
		require.NoError(t, err)
		require.NotEmpty(t, list.Messages, name)
		require.NotEmpty(t, list.Bodies, name)
		_, err = desk.Erase(t.Context(), ticket.Actor{}, who)
		require.NoError(t, err, name)
		proof, err := desk.Traces(t.Context(), who)
		require.NoError(t, err)
		require.True(t, proof.Empty(), "%s: %+v", name, proof)
		stream, _ := exported(t, store, blobs)
		require.NotContains(t, stream, "c4@c.example", name)
		require.Contains(t, stream, "c5@c.example", name)
	}
}
