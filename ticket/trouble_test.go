package ticket_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

func TestAChannelIsDegradedWhileWhatArrivesCannotBeKept(t *testing.T) {
	for name, tc := range map[string]struct {
		op   string // of the store that fails; empty: Blobs fail
		text string
	}{
		"the store cannot be written to": {"commit", "no space left on the store"},
		"Blobs cannot be written to":     {"", "no space left in Blobs"},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			inOffice(t, func(c *ticket.Config) {
				withBlobs(c)
				c.Blobs = faultyBlobs{c.Blobs, func(op string) error {
					if op == "put" && tc.op == "" && broken.Load() {
						return errors.New(tc.text)
					}
					return nil
				}}
			}, func(o *office) {
				o.back.Fail(func(op string) error {
					// A full disk stops what a probe writes, too.
					if tc.op != "" && (op == tc.op || op == "lease") && broken.Load() {
						return errors.New(tc.text)
					}
					return nil
				})
				ch := o.mailbox(box, ticket.Settings{Queue: "support"})
				other := o.mailbox("other@portal.example", ticket.Settings{})
				status := func(id channel.ID) channel.Status {
					c, err := o.desk.Channel(o.ctx, id)
					require.NoError(t, err)
					return c.Status
				}
				before := status(ch.ID)
				require.NotEqual(t, channel.StateDegraded, before.State)

				broken.Store(true)
				it := o.net.Item(box, mail("mai@c.example", "1"))
				it.Channel = ch.ID
				it.Raw = channel.Bytes("a raw form for Blobs")
				began := time.Now()
				err := o.desk.Accept(o.ctx, it)
				require.Error(t, err)
				require.NotErrorIs(t, err, channel.ErrRejected, "the source is to send it again")
				time.Sleep(time.Minute)
				require.Error(t, o.desk.Accept(o.ctx, it))
				got := status(ch.ID)
				require.Equal(t, channel.StateDegraded, got.State)
				require.Contains(t, got.Reason, tc.text)
				require.False(t, got.Since.Before(began) || got.Since.After(began.Add(time.Second)), "since the first, at %v", got.Since)
				require.NotEqual(t, channel.StateDegraded, status(other.ID).State, "of which nothing was lost")
				if tc.op == "" {
					require.Empty(t, o.blobs(), "nothing that is half done is left")
				}

				broken.Store(false)
				o.settle()
				time.Sleep(10 * time.Second)
				require.Equal(t, before.State, status(ch.ID).State, "it comes back though nothing arrives")
				require.NoError(t, o.desk.Accept(o.ctx, it))
				require.Equal(t, 1, o.only().MessageCount)
				var told []string
				for _, e := range o.events() {
					if e.Type == ticket.EventChannelStatus && e.Channel == ch.ID {
						told = append(told, e.Data["state"])
					}
				}
				require.Equal(t, string(before.State), told[len(told)-1])
			})
		})
	}
}

// unwrapping hides why a put failed, as Blobs of a host's may.
type unwrapping struct {
	ticket.Blobs
	on *atomic.Bool
}

func (b unwrapping) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	n, err := b.Blobs.Put(ctx, id, r)
	if err != nil && b.on.Load() {
		err = errors.New("the upload failed")
	}
	return n, err
}

func TestChannelsAreDegradedWhileBlobsTakeNoBodyThatArrives(t *testing.T) {
	var broken, unwrapped atomic.Bool
	inOffice(t, func(c *ticket.Config) {
		withBlobs(c)
		c.Blobs = faultyBlobs{c.Blobs, func(op string) error {
			if op == "put" && broken.Load() {
				return errors.New("no space left in Blobs")
			}
			return nil
		}}
		c.Blobs = unwrapping{c.Blobs, &unwrapped}
	}, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		state := func() channel.State {
			c, err := o.desk.Channel(o.ctx, ch.ID)
			require.NoError(t, err)
			return c.Status.State
		}
		before := state()
		for range 2 {
			k, err := o.desk.KeepBody(o.ctx)
			require.NoError(t, err)
			k.Discard()
			require.Equal(t, before, state(), "a body that was given up is nobody's trouble")
			unwrapped.Store(true)
		}
		broken.Store(true)
		k, err := o.desk.KeepBody(o.ctx)
		require.NoError(t, err)
		_, err = k.Finish()
		require.Error(t, err)
		require.Equal(t, channel.StateDegraded, state())
		broken.Store(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, before, state())
		k.Discard()
	})
}

func TestABadItemAndBusyWritersDegradeNoChannel(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, mail("mai@c.example", "1"))
		it.Channel, it.Keys = ch.ID, nil
		require.ErrorIs(t, o.desk.Accept(o.ctx, it), channel.ErrRejected)
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return ticket.ErrConflict
			}
			return nil
		})
		busy := o.net.Item(box, mail("mai@c.example", "2"))
		busy.Channel = ch.ID
		require.ErrorIs(t, o.desk.Accept(o.ctx, busy), ticket.ErrBusy)
		o.back.Fail(nil)
		got, err := o.desk.Channel(o.ctx, ch.ID)
		require.NoError(t, err)
		require.NotEqual(t, channel.StateDegraded, got.Status.State)
	})
}

// With no Run to try the store, the next mail that is kept tells.
func TestAChannelComesBackWithTheNextMailThatIsKept(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		o.stop()
		it := o.net.Item(box, mail("mai@c.example", "1"))
		it.Channel = ch.ID
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return errors.New("disk full")
			}
			return nil
		})
		require.Error(t, o.desk.Accept(o.ctx, it))
		got, err := o.desk.Channel(o.ctx, ch.ID)
		require.NoError(t, err)
		require.Equal(t, channel.StateDegraded, got.Status.State)
		o.back.Fail(nil)
		require.NoError(t, o.desk.Accept(o.ctx, it))
		got, err = o.desk.Channel(o.ctx, ch.ID)
		require.NoError(t, err)
		require.NotEqual(t, channel.StateDegraded, got.Status.State)
	})
}
