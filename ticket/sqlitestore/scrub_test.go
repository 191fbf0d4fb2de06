package sqlitestore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func TestWhatIsErasedIsNotInTheFilesAfterAScrub(t *testing.T) {
	t.Parallel()
	const box = "help@office.example"
	path := filepath.Join(t.TempDir(), "a.db")
	b, err := Open(path)
	require.NoError(t, err)
	defer b.Close()
	network := channeltest.NewNetwork()
	desk, err := ticket.New(ticket.Config{Store: b.Portal("main"), Connectors: []channel.Connector{network}})
	require.NoError(t, err)
	ch, err := desk.Connect(t.Context(), channeltest.MemoryAccount{Address: box, Mail: true}, ticket.Settings{})
	require.NoError(t, err)
	for i := range 150 {
		who, word := fmt.Sprintf("c%d@c.example", i%5), "plain"
		if i%3 == 0 {
			who, word = "mai@zebra.example", "zebra"
		}
		it := network.Item(box, channel.Message{From: channel.Party{Name: "Name", Address: who}, Subject: fmt.Sprint(word, i), Text: strings.Repeat(word+" words ", 200)})
		it.Channel, it.Raw = ch.ID, channel.Bytes(strings.Repeat(word, 2000))
		require.NoError(t, desk.Accept(t.Context(), it))
	}
	inFiles := func(word string) (n int) {
		for _, f := range []string{path, path + "-wal"} {
			data, err := os.ReadFile(f)
			if os.IsNotExist(err) {
				continue
			}
			require.NoError(t, err)
			n += bytes.Count(data, []byte(word))
		}
		return n
	}
	require.Positive(t, inFiles("zebra"))
	who := ticket.Person{Identities: []ticket.Identity{{Address: "mai@zebra.example"}}}
	list, err := desk.Erase(t.Context(), ticket.Actor{}, who)
	require.NoError(t, err)
	require.NotEmpty(t, list.Messages)
	proof, err := desk.Traces(t.Context(), who)
	require.NoError(t, err)
	require.True(t, proof.Empty())
	require.NoError(t, b.Scrub(t.Context()))
	require.Zero(t, inFiles("zebra"))
	require.Positive(t, inFiles("plain"))
	found, _, err := desk.Search(t.Context(), "plain", ticket.Page{})
	require.NoError(t, err)
	require.NotEmpty(t, found, "what is left is found")
	found, _, err = desk.Search(t.Context(), "zebra", ticket.Page{})
	require.NoError(t, err)
	require.Empty(t, found)
}
