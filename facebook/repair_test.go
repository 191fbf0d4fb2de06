package facebook_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// outage is a Page with comments, of whose changes nothing was told.
type outage struct {
	*world

	edited, removed, hidden, shown, kept, post, wall, gone string
	lost                                                   []*graphtest.Event
	since                                                  time.Time
}

func inOutage(t *testing.T, f func(o *outage)) {
	t.Helper()
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		o := &outage{world: w, post: w.page.Post("New shoes")}
		ben := w.fb.AddPerson("Ben")
		o.edited = w.ann.Comment(o.post, "How much?")
		o.removed = w.ann.Comment(o.post, "I am angry")
		o.hidden, o.shown = ben.Comment(o.post, "Spam"), ben.Comment(o.post, "No spam")
		o.kept = ben.Comment(o.edited, "Nice")
		o.wall, o.gone = w.ann.Post(w.page.ID, "I love it"), ben.Post(w.page.ID, "Take this down")
		w.fb.Hide(o.shown, true)
		w.settle()
		w.hold()
		time.Sleep(time.Hour)
		o.since = time.Now()
		w.fb.EditText(o.edited, "How muhc is it?")
		time.Sleep(10 * time.Minute)
		w.fb.EditText(o.edited, "How much is it?")
		w.fb.EditText(o.wall, "I loved it")
		w.fb.Remove(o.removed)
		w.fb.Remove(o.gone)
		w.fb.Hide(o.hidden, true)
		w.fb.Hide(o.shown, false)
		o.lost = w.fb.Take()
		time.Sleep(time.Hour)
		f(o)
	})
}

func (o *outage) backfill() {
	o.t.Helper()
	require.NoError(o.t, o.desk.Backfill(o.ctx, o.ch.ID, o.since))
	o.settle()
}

// now is what each message is.
func (o *outage) now() map[string]string {
	o.t.Helper()
	out := map[string]string{}
	for _, c := range o.conversations() {
		for _, m := range o.messages(ticket.MessageFilter{Conversation: c.ID}) {
			s := m.Text
			if m.Hidden {
				s += " (hidden)"
			}
			if !m.RedactedAt.IsZero() {
				s += "(removed)"
			}
			out[m.ExternalIDs[0]] = s
		}
	}
	return out
}

func TestWhatWasEditedHiddenOrRemovedInAnOutageIsPutRight(t *testing.T) {
	inOutage(t, func(o *outage) {
		t := o.t
		want := map[string]string{o.edited: "How much is it?", o.removed: "(removed)", o.hidden: "Spam (hidden)", o.shown: "No spam", o.kept: "Nice",
			o.wall: "I loved it", o.gone: "(removed)"}
		require.Equal(t, "How much?", o.now()[o.edited])
		o.backfill()
		require.Equal(t, want, o.now())
		before := o.ledger()
		require.EqualValues(t, 7, before.Applied, "six, and one that was told before")
		o.backfill()
		require.Equal(t, want, o.now())
		require.Equal(t, before.Applied, o.ledger().Applied, "what is right is left alone")
		// What was lost comes at last, in the wrong order.
		slices.Reverse(o.lost)
		o.world.post(o.lost...)
		o.settle()
		require.Equal(t, want, o.now())
		// The same may happen again.
		o.fb.EditText(o.edited, "How much?")
		o.fb.Hide(o.hidden, false)
		o.fb.Take()
		time.Sleep(time.Minute)
		o.backfill()
		require.Equal(t, "How much?", o.now()[o.edited])
		require.Equal(t, "Spam", o.now()[o.hidden])
	})
}

func TestWhatMayNotBeReadCountsAsRemovedByNoMeans(t *testing.T) {
	for name, f := range map[string]graphtest.Fault{
		"a permission is gone": {Code: 10}, "Facebook has trouble": {Code: 2, Status: 500}, "the token is invalid": {Code: 190, Subcode: 460}, "an unknown refusal": {Code: 100},
	} {
		t.Run(name, func(t *testing.T) {
			inOutage(t, func(o *outage) {
				f.Times = -1
				for _, id := range []string{o.removed, o.gone} {
					f.Path = id
					o.fb.Fail(f)
				}
				_ = o.desk.Backfill(o.ctx, o.ch.ID, o.since) // it may fail, and is then tried again
				o.settle()
				require.Equal(t, "I am angry", o.now()[o.removed])
				require.Equal(t, "Take this down", o.now()[o.gone])
				o.fb.Heal()
				o.backfill()
				require.Equal(t, "(removed)", o.now()[o.removed])
			})
		})
	}
}

func TestWhatIsComparedIsBounded(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		want string
	}{{0, "How much is it?"}, {60 * time.Hour, "How much is it?"}, {80 * time.Hour, "How much?"}} {
		t.Run(fmt.Sprint(tt.age), func(t *testing.T) {
			inOutage(t, func(o *outage) {
				o.since = o.since.Add(tt.age)
				o.backfill()
				require.Equal(t, tt.want, o.now()[o.edited])
			})
		})
	}
}
