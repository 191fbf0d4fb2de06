package pgstore

import (
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// A host that thinks better of deleting a message still has its file.
func TestWhatTheHostUndoesHasLostNoFile(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	net, blobs := channeltest.NewNetwork(), memstore.NewBlobs()
	d, err := ticket.New(ticket.Config{Store: b.Portal("main"), Blobs: blobs, Connectors: []channel.Connector{net}, Limits: ticket.Limits{InlineBody: 10}})
	require.NoError(t, err)
	ch, err := d.Connect(t.Context(), channeltest.MemoryAccount{Address: deskBox, Mail: true}, ticket.Settings{})
	require.NoError(t, err)
	const content = "a file of more than ten bytes"
	it := net.Item(deskBox, channel.Message{From: channel.Party{Address: "an@c.example"}, Subject: "Hi", Text: "Hi",
		Attachments: []channel.Attachment{{Name: "f", Size: int64(len(content)), Body: channel.Bytes(content)}}})
	it.Channel = ch.ID
	require.NoError(t, d.Accept(t.Context(), it))
	ts, _, err := d.Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	file := func() (id string) {
		ms, _, err := d.Timeline(t.Context(), ticket.MessageFilter{Ticket: ts[0].ID}, ticket.Page{})
		require.NoError(t, err)
		for _, m := range ms {
			for _, a := range m.Attachments {
				id = a.ID
			}
		}
		return id
	}
	id := file()
	host, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer host.Close(t.Context())
	for _, end := range []string{"rollback", "commit"} {
		tx, err := host.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.DeleteTicket(WithTx(t.Context(), tx), ticket.Actor{Kind: ticket.ActorHost}, ts[0].ID))
		_, err = tx.Exec(t.Context(), end)
		require.NoError(t, err)
		if end == "commit" {
			break
		}
		require.Equal(t, id, file())
		_, r, err := d.OpenAttachment(t.Context(), id)
		require.NoError(t, err)
		var have strings.Builder
		_, err = io.Copy(&have, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, content, have.String())
	}
	require.Empty(t, file())
}
