package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// largeMail is what comes in pieces.
var largeMail = strings.Repeat("All of it is here.\r\n", 5000)

// meter counts what is put. With fail set a put fails after so many bytes.
type meter struct {
	ticket.Blobs
	puts, bytes int
	fail        error
	failAt      int
}

func (m *meter) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	m.puts++
	return m.Blobs.Put(ctx, id, &metered{m, r})
}

type metered struct {
	m *meter
	r io.Reader
}

func (r *metered) Read(p []byte) (int, error) {
	if r.m.fail != nil && r.m.bytes >= r.m.failAt {
		return 0, r.m.fail
	}
	n, err := r.r.Read(p)
	r.m.bytes += n
	return n, err
}

func (m *meter) ids(t *testing.T) (ids []ticket.BodyID) {
	t.Helper()
	require.NoError(t, m.List(t.Context(), func(id ticket.BodyID, _ int64, _ time.Time) bool {
		ids = append(ids, id)
		return true
	}))
	return ids
}

// keeping runs f with a desk that keeps bodies in blobs.
func keeping(t *testing.T, f func(o *office, ch *ticket.Channel, blobs *meter)) {
	t.Helper()
	blobs := &meter{Blobs: memstore.NewBlobs()}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		f(o, o.mailbox(box, ticket.Settings{}), blobs)
	})
}

// keep has a desk keep the large mail as it arrives.
func keep(o *office, desk *ticket.Desk) (channel.Body, func()) {
	o.t.Helper()
	k, err := desk.KeepBody(o.ctx)
	require.NoError(o.t, err)
	o.t.Cleanup(k.Discard)
	for p := largeMail; p != ""; {
		n := min(len(p), 1000)
		_, err := io.WriteString(k, p[:n])
		require.NoError(o.t, err)
		p = p[n:]
	}
	b, err := k.Finish()
	require.NoError(o.t, err)
	require.EqualValues(o.t, len(largeMail), b.Size())
	return b, k.Discard
}

func mailItem(ch channel.ID, key string, raw channel.Body) *channel.Item {
	return &channel.Item{Channel: ch, Keys: []channel.Key{channel.Key(key)}, Raw: raw,
		Message: &channel.Message{From: from("a@c.example"), Text: "x", ExternalID: key}}
}

func requireRaw(o *office, id ticket.MessageID) {
	o.t.Helper()
	raw, err := o.desk.Raw(o.ctx, id)
	require.NoError(o.t, err)
	b, err := channel.ReadBody(raw, 1<<20)
	require.NoError(o.t, err)
	require.Equal(o.t, largeMail, string(b))
}

func TestAKeptBodyIsWrittenOnce(t *testing.T) {
	keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
		raw, discard := keep(o, o.desk)
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k1", raw)))
		discard()
		discard()
		require.Equal(t, 1, blobs.puts)
		require.Equal(t, len(largeMail), blobs.bytes)
		require.Len(t, blobs.ids(t), 1)
		requireRaw(o, o.timeline(o.only().ID)[0].ID)

		raw, discard = keep(o, o.desk)
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k1", raw)))
		require.Len(t, blobs.ids(t), 2)
		discard()
		require.Len(t, blobs.ids(t), 1, "a duplicate keeps nothing")
		requireRaw(o, o.timeline(o.only().ID)[0].ID)
	})
}

func TestAKeptBodyThatIsNotReferredToIsRemoved(t *testing.T) {
	for name, use := range map[string]func(o *office, ch channel.ID, raw channel.Body) error{
		"never accepted": func(*office, channel.ID, channel.Body) error { return nil },
		"ignored": func(o *office, ch channel.ID, raw channel.Body) error {
			return o.desk.Accept(o.ctx, &channel.Item{Channel: ch, Keys: []channel.Key{"k"}, Ignored: "rule", Raw: raw})
		},
		"refused": func(o *office, _ channel.ID, raw channel.Body) error {
			err := o.desk.Accept(o.ctx, mailItem("no such channel", "k", raw))
			require.ErrorIs(o.t, err, channel.ErrRejected)
			return nil
		},
		"not committed": func(o *office, ch channel.ID, raw channel.Body) error {
			o.back.Fail(func(op string) error {
				if op == "commit" {
					return ticket.ErrConflict
				}
				return nil
			})
			require.Error(o.t, o.desk.Accept(o.ctx, mailItem(ch, "k", raw)))
			o.back.Fail(nil)
			b, err := channel.ReadBody(raw, 1<<20)
			require.NoError(o.t, err, "others may still read it")
			require.Equal(o.t, largeMail, string(b))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
				raw, discard := keep(o, o.desk)
				require.NoError(t, use(o, ch.ID, raw))
				discard()
				require.Empty(t, blobs.ids(t))
				require.Error(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "late", raw)), "it is gone")
			})
		})
	}
}

func TestAKeptBodyOutlivesACommitThatFailedToSaySo(t *testing.T) {
	t.Run("happened", func(t *testing.T) {
		keeping(t, func(o *office, ch *ticket.Channel, _ *meter) {
			raw, discard := keep(o, o.desk)
			o.back.Fail(func(op string) error {
				if op == "committed" {
					return errors.New("connection lost")
				}
				return nil
			})
			require.Error(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k", raw)))
			o.back.Fail(nil)
			discard()
			requireRaw(o, o.timeline(o.only().ID)[0].ID)
		})
	})
	t.Run("did not", func(t *testing.T) {
		keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
			raw, discard := keep(o, o.desk)
			o.back.Fail(func(op string) error {
				if op == "commit" {
					return errors.New("connection lost")
				}
				return nil
			})
			require.Error(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k", raw)))
			o.back.Fail(nil)
			discard()
			require.Empty(t, blobs.ids(t), "it did not happen after all")
		})
	})
}

func TestItemsWithOneKeptBodyShareItAndOutliveEachOther(t *testing.T) {
	keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
		second := o.mailbox("second@portal.example", ticket.Settings{})
		raw, discard := keep(o, o.desk)
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k", raw), mailItem(second.ID, "k", raw)))
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k3", raw)), "in a commit of its own")
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return ticket.ErrConflict
			}
			return nil
		})
		require.Error(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k4", raw)))
		o.back.Fail(nil)
		discard()
		require.Equal(t, 1, blobs.puts)
		require.Len(t, blobs.ids(t), 1)
		var all []*ticket.Message
		for _, tk := range o.tickets() {
			all = append(all, o.timeline(tk.ID)...)
		}
		require.Len(t, all, 3)
		for i, m := range all {
			requireRaw(o, m.ID)
			_, err := o.desk.DeleteMessage(o.ctx, ticket.Actor{}, m.ID)
			require.NoError(t, err)
			require.Equal(t, i == 2, len(blobs.ids(t)) == 0)
			for _, left := range all[i+1:] {
				requireRaw(o, left.ID)
			}
		}
	})
}

func TestABodyThatAnotherDeskKeptIsCopied(t *testing.T) {
	keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
		cfg := o.cfg
		cfg.Blobs = memstore.NewBlobs()
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		raw, discard := keep(o, other)
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k", raw)))
		discard()
		require.Len(t, blobs.ids(t), 1)
		require.Empty(t, (&meter{Blobs: cfg.Blobs}).ids(t))
		requireRaw(o, o.timeline(o.only().ID)[0].ID)
	})
}

func TestKeepingFailsWithItsCauseAndLeavesNothing(t *testing.T) {
	for name, failAt := range map[string]int{"at once": 0, "in the middle": 40_000, "at the end": len(largeMail)} {
		t.Run(name, func(t *testing.T) {
			keeping(t, func(o *office, _ *ticket.Channel, blobs *meter) {
				blobs.fail, blobs.failAt = fmt.Errorf("write: %w", syscall.ENOSPC), failAt
				k, err := o.desk.KeepBody(o.ctx)
				require.NoError(t, err)
				if _, err = io.WriteString(k, largeMail); err == nil {
					_, err = k.Finish()
				}
				require.ErrorIs(t, err, syscall.ENOSPC)
				k.Discard()
				require.Empty(t, blobs.ids(t))
			})
		})
	}
	t.Run("cut short by whoever writes", func(t *testing.T) {
		keeping(t, func(o *office, _ *ticket.Channel, blobs *meter) {
			k, err := o.desk.KeepBody(o.ctx)
			require.NoError(t, err)
			_, err = io.WriteString(k, largeMail)
			require.NoError(t, err)
			k.Discard()
			require.Empty(t, blobs.ids(t))
			_, err = io.WriteString(k, "x")
			require.Error(t, err)
			_, err = k.Finish()
			require.Error(t, err)
		})
	})
	t.Run("over the limit", func(t *testing.T) {
		keeping(t, func(o *office, _ *ticket.Channel, blobs *meter) {
			cfg := o.cfg
			cfg.Limits.Body = 50_000
			desk, err := ticket.New(cfg)
			require.NoError(t, err)
			k, err := desk.KeepBody(o.ctx)
			require.NoError(t, err)
			_, err = io.WriteString(k, largeMail[:50_000])
			require.NoError(t, err)
			_, err = io.WriteString(k, "x")
			require.ErrorIs(t, err, channel.ErrRejected)
			k.Discard()
			require.Empty(t, blobs.ids(t))
		})
	})
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprint("blobs that stop reading, panic ", panics), func(t *testing.T) {
			inOffice(t, func(c *ticket.Config) { c.Blobs = lazyBlobs{c.Blobs, panics} }, func(o *office) {
				k, err := o.desk.KeepBody(o.ctx)
				require.NoError(t, err)
				_, err = io.WriteString(k, largeMail)
				require.Error(t, err)
				_, err = k.Finish()
				require.Error(t, err)
				k.Discard()
			})
		})
	}
}

// lazyBlobs say that all is well before it is.
type lazyBlobs struct {
	ticket.Blobs
	panics bool
}

func (b lazyBlobs) Put(context.Context, ticket.BodyID, io.Reader) (int64, error) {
	if b.panics {
		panic("boom")
	}
	return 0, nil
}

func (lazyBlobs) Delete(context.Context, ticket.BodyID) error { return nil }

func TestADeskWithoutBlobsKeepsNothingAhead(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		_, err := o.desk.KeepBody(o.ctx)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// A store that loses the answer of a commit must not call it a conflict. Should
// one do so, what was committed keeps its body.
func TestABodyStaysThoughTheStoreCallsItsCommitAConflict(t *testing.T) {
	keeping(t, func(o *office, ch *ticket.Channel, blobs *meter) {
		raw, discard := keep(o, o.desk)
		var failed atomic.Bool
		o.back.Fail(func(op string) error {
			if op == "committed" && !failed.Swap(true) {
				return ticket.ErrConflict
			}
			return nil
		})
		require.Error(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k1", raw)), "the source sends it again")
		discard()
		require.NoError(t, o.desk.Accept(o.ctx, mailItem(ch.ID, "k1", channel.Bytes(largeMail))))
		require.Len(t, blobs.ids(t), 1)
		requireRaw(o, o.timeline(o.only().ID)[0].ID)
	})
}
