package ticket_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// filing is a mail channel that keeps copies, as its fields say.
type filing struct {
	scriptedChannel
	file func(ctx context.Context, out *channel.Outbound) error

	mu    sync.Mutex
	tries []time.Time
	kept  []string // subjects
}

func (f *filing) File(ctx context.Context, out *channel.Outbound) error {
	f.mu.Lock()
	f.tries = append(f.tries, time.Now())
	f.mu.Unlock()
	if f.file != nil {
		if err := f.file(ctx, out); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, out.Subject)
	return nil
}

func (f *filing) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tries)
}

func (f *filing) copies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.kept)
}

// inFiling runs f with a channel "box" that keeps copies of what it sends.
func inFiling(t *testing.T, f func(o *office, box *filing, write func() *ticket.Message)) {
	box := &filing{}
	box.send = func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
		return channel.Receipt{ExternalIDs: []string{out.Token + "@box.example"}}, out.Handed(ctx)
	}
	box.find = finds(channel.FoundUnknown)
	connector := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		box.info = scriptedInfo(acct)
		return box, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = append(c.Connectors, connector) }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"box@box.example"}, ticket.Settings{Queue: "support"})
		require.NoError(t, err)
		now := time.Duration(0)
		f(o, box, func() *ticket.Message {
			out, err := o.desk.Start(o.ctx, ticket.Opening{By: "an", Channel: ch.ID, To: parties("mai@c.example", "bo@c.example"), Subject: "Hello", Text: "Hello", Send: true, Undo: &now})
			require.NoError(t, err)
			return out.Message
		})
	})
}

// pass lets time pass, and all that is due then be done.
func pass(t time.Duration) {
	time.Sleep(t)
	synctest.Wait()
}

func TestACopyIsKeptOnceAMomentAfterTheSend(t *testing.T) {
	inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
		m := write()
		o.settle()
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		require.Empty(t, box.copies(), "the provider may be about to keep one")
		pass(time.Hour)
		require.Equal(t, []string{"Hello"}, box.copies())
		o.restart()
		pass(time.Hour)
		require.Equal(t, []string{"Hello"}, box.copies())
	})
}

func TestACopyIsKeptThoughTheHostStoppedAfterTheSend(t *testing.T) {
	inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
		m := write()
		o.settle()
		o.stop()
		require.Empty(t, box.copies())
		o.open()
		pass(time.Hour)
		require.Equal(t, []string{"Hello"}, box.copies())
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}

func TestACopyThatFailsIsTriedAndThenGivenUpWithItsCause(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"passing":  {&channel.SendError{Outcome: channel.NotSent, Code: "sent_folder", Reason: "the folder is full", Fix: "Make room."}, 12},
		"in doubt": {&channel.SendError{Outcome: channel.Unknown, Code: "connection_lost", Reason: "the folder is full", Fix: "Make room.", After: time.Minute}, 12},
		"plain":    {errors.New("the folder is full"), 12},
		"final":    {&channel.SendError{Outcome: channel.Rejected, Code: "invalid", Reason: "the folder is full", Fix: "Make room."}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
				box.file = func(context.Context, *channel.Outbound) error { return c.err }
				m := write()
				pass(48 * time.Hour)
				tries := box.times()
				require.Len(t, tries, c.tries)
				for i, at := range tries[1:] {
					require.Greater(t, at.Sub(tries[i]), 5*time.Second)
				}
				require.Equal(t, ticket.StateSent, o.message(m.ID).State, "a copy changes nothing of the message")
				decisions, err := o.desk.Explain(o.ctx, m.ID)
				require.NoError(t, err)
				i := slices.IndexFunc(decisions, func(d *ticket.Decision) bool { return d.Kind == "copy" })
				require.GreaterOrEqual(t, i, 0)
				require.Equal(t, "given_up", decisions[i].Outcome)
				require.Contains(t, decisions[i].Steps[0].Detail, "the folder is full")
				require.True(t, slices.ContainsFunc(o.events(), func(e *ticket.Event) bool {
					return e.Type == ticket.EventMessageCopy && e.Message == m.ID && e.Data["outcome"] == "given_up"
				}))
			})
		})
	}
}

func TestACopyThatHangsOrPanicsHoldsUpNoMessage(t *testing.T) {
	inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
		var hang atomic.Bool
		hang.Store(true)
		box.file = func(ctx context.Context, _ *channel.Outbound) error {
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			panic("asked for")
		}
		for range 10 {
			write()
		}
		pass(time.Minute)
		hang.Store(false)
		m := write()
		o.settle()
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		pass(48 * time.Hour)
		parked, _, err := o.desk.Parked(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, parked)
	})
}

func TestNoCopyIsKeptOfWhatNobodyGotOrWasDeleted(t *testing.T) {
	inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
		m := write()
		o.settle()
		_, err := o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		box.send = func(context.Context, *channel.Outbound) (channel.Receipt, error) {
			return channel.Receipt{}, &channel.SendError{Outcome: channel.Rejected, Code: "smtp_550", Reason: "no"}
		}
		m = write()
		o.settle()
		require.Equal(t, ticket.StateFailed, o.message(m.ID).State)
		box.send = func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
			require.NoError(t, out.Handed(ctx))
			return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Code: "timeout", Reason: "?"}
		}
		m = write()
		pass(time.Hour)
		require.Empty(t, box.copies())
		require.Equal(t, ticket.StateUncertain, o.message(m.ID).State)
		_, err = o.desk.Resolve(o.ctx, ticket.Agent("an"), m.ID, ticket.AsSent)
		require.NoError(t, err)
		pass(time.Hour)
		require.Equal(t, []string{"Hello"}, box.copies(), "once it is known to have left")
	})
}

// What the server said at RCPT is not forgotten with the answer.
func TestWhomTheServerPutOffIsNotTakenForSentWhenTheMessageIsFound(t *testing.T) {
	for name, stops := range map[string]bool{"at once": false, "at a shutdown": true} {
		t.Run(name, func(t *testing.T) {
			inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
				var tried [][]string
				box.send = func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
					tried = append(tried, out.Taken)
					if len(tried) > 1 {
						return channel.Receipt{}, out.Handed(ctx)
					}
					out.Refused(channel.Delivery{Recipient: "bo@c.example", State: channel.DeliveryPending, Detail: "452 full", PutOff: true})
					require.NoError(t, out.Handed(ctx))
					if stops {
						<-ctx.Done()
						return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Code: "interrupted"}
					}
					return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Code: "connection_lost"}
				}
				box.find = finds(channel.FoundYes)
				m := write()
				if stops {
					o.settle()
					o.restart()
				}
				pass(time.Hour)
				require.Len(t, tried, 2)
				require.Equal(t, []string{"mai@c.example"}, tried[1], "who has it is not sent to again")
				got := o.message(m.ID)
				require.Equal(t, ticket.StateSent, got.State, got.StateDetail)
				for _, d := range got.Deliveries {
					require.Equal(t, channel.DeliverySent, d.State)
					require.False(t, d.PutOff)
				}
			})
		})
	}
}

func TestWhomTheServerRefusedStaysFailedWhenTheMessageIsFound(t *testing.T) {
	inFiling(t, func(o *office, box *filing, write func() *ticket.Message) {
		box.send = func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
			out.Refused(channel.Delivery{Recipient: "bo@c.example", State: channel.DeliveryFailed, Detail: "550 gone"})
			require.NoError(t, out.Handed(ctx))
			return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Code: "connection_lost"}
		}
		m := write()
		pass(time.Hour)
		require.Equal(t, ticket.StateUncertain, o.message(m.ID).State)
		_, err := o.desk.Resolve(o.ctx, ticket.Agent("an"), m.ID, ticket.AsSent)
		require.NoError(t, err)
		box.find = finds(channel.FoundYes)
		m2 := write()
		pass(time.Hour)
		for _, id := range []ticket.MessageID{m.ID, m2.ID} {
			got := o.message(id)
			require.Equal(t, channel.DeliveryFailed, got.Deliveries[1].State)
			require.Equal(t, channel.DeliverySent, got.Deliveries[0].State)
		}
	})
}

func parties(addresses ...string) []channel.Party {
	var out []channel.Party
	for _, a := range addresses {
		out = append(out, channel.Party{Address: a})
	}
	return out
}
