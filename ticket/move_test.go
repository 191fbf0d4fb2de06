package ticket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

const chat, crude = "page", "crude@portal.example"

// retire stops the desk and retires its portal, as soon as that can be.
func (o *office) retire() {
	o.t.Helper()
	o.stop()
	for range 20 {
		err := ticket.Retire(o.ctx, o.cfg.Store, time.Now())
		if err == nil {
			return
		}
		require.ErrorIs(o.t, err, ticket.ErrInUse)
		time.Sleep(10 * time.Second)
	}
	o.t.Fatal("the portal is in use")
}

func (o *office) export() string {
	o.t.Helper()
	var b bytes.Buffer
	_, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: o.cfg.Store, Blobs: o.cfg.Blobs}, &b)
	require.NoError(o.t, err)
	return b.String()
}

// contents are the lines of an export but its first and last.
func contents(export string) []string {
	lines := strings.Split(strings.TrimSpace(export), "\n")
	return lines[1 : len(lines)-1]
}

// moveTo imports into an empty store and opens a desk there.
func (o *office) moveTo(export string) {
	o.t.Helper()
	o.back = memstore.New()
	o.cfg.Store = o.back.Portal("main")
	if o.cfg.Blobs != nil {
		o.cfg.Blobs = memstore.NewBlobs()
	}
	_, err := ticket.Import(o.ctx, ticket.ImportConfig{Store: o.cfg.Store, Blobs: o.cfg.Blobs}, strings.NewReader(export))
	require.NoError(o.t, err)
	o.open()
}

func sealedWithBlobs(c *ticket.Config) {
	withBlobs(c)
	c.Key = []byte("0123456789abcdef0123456789abcdef")
}

// lived fills an office with something of everything.
func (o *office) lived() {
	o.mailbox(box, ticket.Settings{Queue: "support"})
	o.connect(channeltest.MemoryAccount{Address: chat}, ticket.Settings{Queue: "support"})
	for i := range 30 {
		from := fmt.Sprintf("c%d@c.example", i%7)
		o.write(box, from, fmt.Sprintf("Subject %d", i), strings.Repeat(fmt.Sprintf("word%d ", i), i))
	}
	o.deliver(chat, channel.Message{From: channel.Party{Name: "Lan", Address: "lan"}, Text: "a chat\x00"})
	it := o.net.Item(box, mail("mai@c.example", "large"))
	it.Raw = channel.Bytes(strings.Repeat("raw ", 100_000))
	it.Message.Attachments = []channel.Attachment{{Name: "f", Size: 30, Body: channel.Bytes(strings.Repeat("f", 30))}}
	require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
	it = o.net.Item(box, mail("quy@c.example", "held"))
	it.Quarantined, it.Raw = "policy", channel.Bytes("the raw form of what is held")
	require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
	o.settle()
	ts := o.tickets()
	require.NoError(o.t, o.desk.DeleteTicket(o.ctx, ticket.Actor{}, ts[3].ID))
	o.reply(ts[0].ID, "an answer")
	require.NoError(o.t, o.desk.PutWebhook(o.ctx, ticket.Webhook{ID: "w", URL: "https://host.example/hook", Inactive: true, Secret: []byte("the webhook's own secret")}))
	time.Sleep(time.Minute)
	synctest.Wait()
}

func TestAPortalIsMovedAsItIs(t *testing.T) {
	inOffice(t, sealedWithBlobs, func(o *office) {
		o.lived()
		before, ledger, events := o.tickets(), o.ledger(), o.events()
		blobs := o.blobs()
		o.retire()
		first := o.export()
		require.Greater(t, strings.Count(first, `"chunk"`), 2, "a large blob is in several lines")

		o.moveTo(first)
		require.ElementsMatch(t, blobs, o.blobs())
		after := o.tickets()
		require.Len(t, after, len(before))
		for i := range after {
			after[i].Revision = before[i].Revision // which begins anew
		}
		require.Equal(t, before, after)
		require.Equal(t, ledger, o.ledger())
		require.Equal(t, events, o.events()[:len(events)])
		found, _, err := o.desk.Search(o.ctx, "word7", ticket.Page{})
		require.NoError(t, err)
		require.Len(t, found, 1)
		for _, tk := range after {
			for _, m := range o.timeline(tk.ID) {
				if !m.Raw.IsZero() {
					raw, err := o.desk.Raw(o.ctx, m.ID)
					require.NoError(t, err)
					_, err = channel.ReadBody(raw, 1<<20)
					require.NoError(t, err)
				}
			}
		}
		// What was known is known, and numbers go on.
		it := o.net.Item(box, mail("mai@c.example", "again"))
		require.NoError(t, o.net.Deliver(o.ctx, box, it, it))
		o.settle()
		require.Equal(t, ledger.Duplicates+1, o.ledger().Duplicates)
		require.Equal(t, before[0].Number+1, o.tickets()[0].Number)
		time.Sleep(100 * time.Hour)
		require.Len(t, o.blobs(), len(blobs)+1, "the sweep takes nothing")
	})
}

func TestAMovedPortalExportsTheSameAgain(t *testing.T) {
	inOffice(t, sealedWithBlobs, func(o *office) {
		o.lived()
		ts := o.tickets()
		o.reply(ts[1].ID, "still pending")
		o.retire()
		first := o.export()
		require.Equal(t, contents(first), contents(o.export()), "an export changes nothing")
		store := memstore.New().Portal("main")
		_, err := ticket.Import(o.ctx, ticket.ImportConfig{Store: store, Blobs: memstore.NewBlobs()}, strings.NewReader(first))
		require.NoError(t, err)
		require.NoError(t, ticket.Retire(o.ctx, store, time.Now()))
		var again bytes.Buffer
		_, err = ticket.Export(o.ctx, ticket.ExportConfig{Store: store, Blobs: o.cfg.Blobs}, &again)
		require.NoError(t, err)
		require.Equal(t, contents(first), contents(again.String()))
	})
}

func TestWhatIsUnderWayMovesAndIsSentOnce(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		for _, from := range []string{"a@c.example", "b@c.example", "c@c.example"} {
			o.write(box, from, "Subject", "text")
		}
		ts := o.tickets()
		// One is under way and handed over when the process is killed, one is in
		// its undo window, one is scheduled.
		o.net.Fail(box, channeltest.Fault{Hang: true})
		handed := o.reply(ts[0].ID, "handed over")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Equal(t, ticket.StateSending, o.message(handed.ID).State)
		pending := o.reply(ts[1].ID, "pending")
		later, err := o.desk.Reply(o.ctx, ts[2].ID, ticket.Draft{By: "an", Text: "later", SendAt: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		old := o.cfg.Store
		require.ErrorIs(t, ticket.Retire(o.ctx, old, time.Now()), ticket.ErrInUse, "a send is under way")
		o.retire()
		export := o.export()

		// The old desk cannot be started, and what it still holds is not sent.
		_, err = ticket.New(o.cfg)
		require.ErrorIs(t, err, ticket.ErrRetired)
		claimed, _, err := old.Claim(o.ctx, ticket.Claim{Lane: string(ts[0].Channel), Owner: "x", Now: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour), Limit: 10})
		require.NoError(t, err)
		require.Empty(t, claimed)

		o.moveTo(export)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		texts := map[string]int{}
		for _, s := range o.net.Sent(box) {
			texts[s.Out.Text]++
		}
		require.Equal(t, ticket.StateSent, o.message(pending.ID).State)
		require.Equal(t, ticket.StateSent, o.message(later.ID).State)
		require.Equal(t, 1, texts["pending"])
		require.Equal(t, 1, texts["later"])
		require.LessOrEqual(t, texts["handed over"], 1)
		require.Contains(t, []ticket.OutState{ticket.StateUncertain, ticket.StateSent}, o.message(handed.ID).State)
	})
}

func TestNothingAutomaticIsSentForWhatWasMoved(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		set := ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Subject: "Re", Body: "We have it"}, NotifyAgent: true}
		o.mailbox(box, set)
		o.connect(channeltest.MemoryAccount{Address: crude, Mail: true, Raw: true}, set)
		o.net.FailInterpret(crude, &channel.NotNowError{After: time.Hour})
		// Raw news are committed and wait; a mail is taken in while nothing is done.
		require.NoError(t, o.net.Deliver(o.ctx, crude, o.net.Item(crude, mail("raw@c.example", "raw"))))
		require.NoError(t, o.net.Deliver(o.ctx, box, o.net.Item(box, mail("mai@c.example", "new"))))
		o.retire()
		var b bytes.Buffer
		moved, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: o.cfg.Store}, &b)
		require.NoError(t, err)
		sent := len(o.net.Sent(box)) + len(o.net.Sent(crude))
		require.Zero(t, sent)
		require.Positive(t, moved.Dropped)
		require.NotContains(t, b.String(), `"kind":"auto_reply","lane"`)
		o.moveTo(b.String())
		time.Sleep(50 * time.Hour)
		synctest.Wait()
		require.Empty(t, o.net.Sent(box))
		require.Empty(t, o.net.Sent(crude))
		require.Len(t, o.tickets(), 2, "the raw one was understood at the new place")
		for _, tk := range o.tickets() {
			for _, m := range o.timeline(tk.ID) {
				require.NotEqual(t, ticket.StatePending, m.State)
			}
		}
	})
}

func TestADeskThatRunsNoticesThatItsPortalIsRetired(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Refresh = time.Second }, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		o.stop()
		desk, err := ticket.New(o.cfg)
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- desk.Run(context.WithoutCancel(o.ctx)) }()
		synctest.Wait()
		require.NoError(t, ticket.Retire(o.ctx, o.cfg.Store, time.Now()))
		require.ErrorIs(t, <-ended, ticket.ErrRetired)
		it := o.net.Item(box, mail("mai@c.example", "late"))
		it.Channel = ch.ID
		err = desk.Accept(o.ctx, it)
		require.ErrorIs(t, err, ticket.ErrRetired)
		require.NotErrorIs(t, err, channel.ErrRejected, "the source sends again, where the portal is then")

		require.NoError(t, ticket.Reinstate(o.ctx, o.cfg.Store, time.Now()))
		require.NoError(t, ticket.Reinstate(o.ctx, o.cfg.Store, time.Now()))
		o.open()
		o.write(box, "mai@c.example", "Subject", "text")
		o.only()
	})
}

func TestSealedSecretsMoveSealed(t *testing.T) {
	inOffice(t, sealedWithBlobs, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Password: "hunter2-of-the-mailbox"}, ticket.Settings{})
		o.write(box, "mai@c.example", "Subject", "text")
		m := o.reply(o.only().ID, "an answer")
		time.Sleep(time.Minute)
		o.retire()
		export := o.export()
		require.NotContains(t, export, "hunter2")
		o.moveTo(export)
		sent := o.net.Sent(box)
		require.Len(t, sent, 1)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		_, err := o.net.Reply(o.ctx, sent[0], "and back")
		require.NoError(t, err)
		o.settle()
		require.Len(t, o.timeline(o.only().ID), 3, "the tokens of what was sent before the move are good")

		o.stop()
		other := o.cfg
		other.Key = []byte("another key, which sealed nothing")[:32]
		_, err = ticket.New(other)
		require.ErrorIs(t, err, ticket.ErrWrongKey)
		other.OldKeys = [][]byte{o.cfg.Key}
		_, err = ticket.New(other)
		require.NoError(t, err)
	})
}

func TestAnExportIsOfARetiredPortal(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		_, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: o.cfg.Store}, io.Discard)
		require.ErrorIs(t, err, ticket.ErrNotRetired)
		_, err = ticket.Export(o.ctx, ticket.ExportConfig{}, io.Discard)
		require.Error(t, err)
		o.retire()
		_, err = ticket.Export(o.ctx, ticket.ExportConfig{Store: o.cfg.Store}, &full{left: 1000})
		require.ErrorIs(t, err, errFull)
		_, err = ticket.Export(o.ctx, ticket.ExportConfig{Store: struct{ ticket.Store }{o.cfg.Store}}, io.Discard)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

var errFull = errors.New("the disk is full")

// full is a writer with little room.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestADeskThatNoticedNothingCommitsNothingOnceItsPortalIsRetired(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		o.stop()
		desk, err := ticket.New(o.cfg) // and not run, so that it does not look
		require.NoError(t, err)
		it := o.net.Item(box, mail("mai@c.example", "in time"))
		it.Channel = ch.ID
		require.NoError(t, desk.Accept(o.ctx, it))
		require.NoError(t, ticket.Retire(o.ctx, o.cfg.Store, time.Now()))
		first := o.export()
		it = o.net.Item(box, mail("mai@c.example", "late"))
		it.Channel = ch.ID
		err = desk.Accept(o.ctx, it)
		require.ErrorIs(t, err, ticket.ErrRetired, "what is acknowledged now would be in no export")
		require.NotErrorIs(t, err, channel.ErrRejected)
		require.Equal(t, contents(first), contents(o.export()))

		require.NoError(t, ticket.Reinstate(o.ctx, o.cfg.Store, time.Now()))
		o.open()
		o.write(box, "mai@c.example", "Subject", "text")
	})
}

func TestWhatIsRetiredOnlyInPartIsNotExported(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Subject", "text")
		o.net.Fail(box, channeltest.Fault{Hang: true})
		o.reply(o.only().ID, "an answer")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, ticket.Retire(o.ctx, o.cfg.Store, time.Now()), ticket.ErrInUse)
		_, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: o.cfg.Store}, io.Discard)
		require.ErrorIs(t, err, ticket.ErrNotRetired, "what is under way may still be settled")
		o.retire()
		o.export()
	})
}

func TestALargeBodyInTheStoreIsExportedInPieces(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		for i, size := range []int{1 << 20, 1<<20 + 1, 3 << 20} {
			it := o.net.Item(box, mail("mai@c.example", fmt.Sprint(i)))
			it.Raw = channel.Bytes(strings.Repeat(fmt.Sprint(i), size))
			require.NoError(t, o.net.Deliver(o.ctx, box, it))
		}
		o.settle()
		o.retire()
		first := o.export()
		for line := range strings.SplitSeq(first, "\n") {
			require.Less(t, len(line), 2<<20, "so that none is ever too long: %.40s", line)
		}
		at := strings.LastIndex(first, `{"chunk"`)
		require.ErrorIs(t, importInto(memstore.New().Portal("main"), nil, strings.NewReader(first[:at]+first[at+strings.Index(first[at:], "\n")+1:])), ticket.ErrBadExport)
		store := memstore.New().Portal("main")
		require.ErrorIs(t, importInto(store, nil, strings.NewReader(first[:at])), ticket.ErrBadExport, "it is cut off")
		require.NoError(t, importInto(store, nil, strings.NewReader(first)))
		o.moveTo(first)
		for _, tk := range o.tickets() {
			for _, m := range o.timeline(tk.ID) {
				raw, err := o.desk.Raw(o.ctx, m.ID)
				require.NoError(t, err)
				body, err := channel.ReadBody(raw, 64<<20)
				require.NoError(t, err)
				require.Equal(t, int(m.Raw.Size), bytes.Count(body, body[:1]))
				require.Len(t, body, int(m.Raw.Size))
			}
		}
		require.NoError(t, ticket.Retire(o.ctx, store, time.Now()))
		var again bytes.Buffer
		_, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: store}, &again)
		require.NoError(t, err)
		require.True(t, slices.Equal(contents(first), contents(again.String())))
	})
}
