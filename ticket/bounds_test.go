package ticket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

func crowd(n int) []channel.Party {
	out := make([]channel.Party, n)
	for i := range out {
		out[i] = channel.Party{Name: fmt.Sprintf("Person Number%d", i), Address: fmt.Sprintf("p%d@crowd.example", i)}
	}
	return out
}

func TestWhatAChannelGivesIsBoundedAndTheTextIsFound(t *testing.T) {
	long := strings.Repeat("ệ lời ", 200_000)
	for name, tt := range map[string]struct {
		change func(*channel.Message)
		check  func(*testing.T, *ticket.Message)
		defect string
	}{
		"a subject of a megabyte": {
			func(m *channel.Message) { m.Subject = "Zebra " + long },
			func(t *testing.T, m *ticket.Message) {
				require.LessOrEqual(t, len(m.Subject), 4<<10)
				require.True(t, strings.HasPrefix(m.Subject, "Zebra ệ lời"))
				require.Equal(t, m.Subject, strings.ToValidUTF8(m.Subject, ""))
			}, "subject"},
		"ten thousand recipients": {
			func(m *channel.Message) { m.To = crowd(10_000) },
			func(t *testing.T, m *ticket.Message) { require.Equal(t, crowd(1000), m.To) }, "To names 10000"},
		"ten thousand copies": {
			func(m *channel.Message) { m.Cc = crowd(10_000) },
			func(t *testing.T, m *ticket.Message) { require.Equal(t, crowd(1000), m.Cc) }, "Cc names 10000"},
		"ten thousand addresses to answer": {
			func(m *channel.Message) { m.ReplyTo = crowd(10_000) },
			func(t *testing.T, m *ticket.Message) { require.Len(t, m.ReplyTo, 1000) }, "Reply-To names 10000"},
		"a name of a megabyte": {
			func(m *channel.Message) { m.From.Name = long },
			func(t *testing.T, m *ticket.Message) {
				require.Len(t, []rune(m.From.Name), 199, "the blank at its end is left out")
				require.Equal(t, "mai@c.example", m.From.Address)
			}, "name in From"},
		"an address of a megabyte": {
			func(m *channel.Message) {
				m.To = []channel.Party{{Address: strings.Repeat("a", 1<<20) + "@c.example"}, {Address: box}}
			},
			func(t *testing.T, m *ticket.Message) {
				require.Equal(t, []channel.Party{{Address: box}}, m.To, "a part of an address would be another one")
			}, "address in To"},
		"an id of a megabyte": {
			func(m *channel.Message) { m.ExternalID = strings.Repeat("i", 1<<20) },
			func(t *testing.T, m *ticket.Message) { require.Empty(t, m.ExternalIDs) }, "its id"},
		"references of a megabyte": {
			func(m *channel.Message) { m.Evidence.IDs = []string{"a@c", strings.Repeat("i", 1<<20), "b@c"} },
			func(*testing.T, *ticket.Message) {}, "ids that it refers to"},
		"a group of a megabyte": {
			func(m *channel.Message) { m.Group = strings.Repeat("g", 1<<20) },
			func(t *testing.T, m *ticket.Message) { require.Empty(t, m.Group) }, ""},
		"many long names of files": {
			func(m *channel.Message) {
				for range 300 {
					m.Attachments = append(m.Attachments, channel.Attachment{Name: strings.Repeat("file ", 50), Type: "text/plain", Window: &channel.Window{}})
				}
			},
			func(*testing.T, *ticket.Message) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				o.mailbox(box, ticket.Settings{Queue: "support"})
				given := channel.Message{From: channel.Party{Name: "Mai", Address: "mai@c.example"}, To: []channel.Party{{Address: box}},
					Subject: "Hi", Text: "where is my quokka " + strings.Repeat("please ", 2000) + "thylacine"}
				tt.change(&given)
				it := o.net.Item(box, given)
				it.Raw = channel.Bytes("the whole")
				before := fmt.Sprint(len(it.Message.Subject), len(it.Message.To), len(it.Message.Defects))
				require.NoError(t, o.net.Deliver(o.ctx, box, it))
				o.settle()
				require.Equal(t, before, fmt.Sprint(len(it.Message.Subject), len(it.Message.To), len(it.Message.Defects)), "the channel's item is its own")
				for _, word := range []string{"quokka", "thylacine", "mai@c.example"} {
					found, _, err := o.desk.Search(o.ctx, word, ticket.Page{})
					require.NoError(t, err)
					require.Len(t, found, 1, word)
				}
				m := o.timeline(o.only().ID)[0]
				tt.check(t, m)
				if tt.defect == "" {
					require.Empty(t, m.Defects)
				} else {
					require.Len(t, m.Defects, 1)
					require.Contains(t, m.Defects[0], tt.defect)
				}
				raw, err := o.desk.Raw(o.ctx, m.ID)
				require.NoError(t, err)
				require.EqualValues(t, len("the whole"), raw.Size())
			})
		})
	}
}

func TestTheCutsNotedOfOneMessageAreBounded(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		m := mail("mai@c.example", "1")
		m.Cc = crowd(500)
		for i := range m.Cc {
			m.Cc[i].Name = strings.Repeat("x", 1000)
		}
		o.deliver(box, m)
		require.Len(t, o.timeline(o.only().ID)[0].Defects, 20)
	})
}

func TestACauseThatAChannelGivesIsBounded(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		for i, change := range []func(it *channel.Item, c channel.Cause){
			func(it *channel.Item, c channel.Cause) { it.Message, it.Ignored = nil, c },
			func(it *channel.Item, c channel.Cause) { it.Quarantined = c },
		} {
			it := o.net.Item(box, mail("mai@c.example", fmt.Sprint(i)))
			change(it, channel.Cause(strings.Repeat("c", 1<<20)))
			require.NoError(t, o.net.Deliver(o.ctx, box, it))
		}
		rows, err := o.cfg.Store.Ledger(o.ctx, "", "")
		require.NoError(t, err)
		require.Len(t, rows, 2)
		for _, r := range rows {
			require.Len(t, r.Cause, 200)
		}
	})
}
