package facebook_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// findings are what the check finds that is not in order: code and what it names.
func (w *world) findings() []string {
	w.t.Helper()
	fs, err := w.desk.Check(w.ctx, w.ch.ID)
	require.NoError(w.t, err)
	var out []string
	for _, f := range fs {
		if f.Severity == channel.SeverityOK {
			continue
		}
		require.NotEmpty(w.t, f.Fix, f.Code)
		s := string(f.Severity) + " " + f.Code
		for _, k := range []string{"scope", "task", "fields"} {
			if f.Data[k] != "" {
				s += " " + f.Data[k]
			}
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestTheCheckNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world)
		want  []string
	}{
		{"nothing", func(*world) {}, nil},
		{"scopes declined", func(w *world) { w.admin.Decline("pages_messaging", "pages_manage_engagement") },
			[]string{"error scope_missing pages_manage_engagement", "error scope_missing pages_messaging"}},
		{"the Page not ticked", func(w *world) { w.admin.Tick("123") }, []string{
			"error page_fields", "error scope_target pages_manage_engagement", "error scope_target pages_manage_metadata", "error scope_target pages_messaging",
			"error scope_target pages_read_engagement", "error scope_target pages_read_user_content", "error scope_target pages_show_list"}},
		{"a task lost", func(w *world) { w.admin.Manage(w.page.ID, "MESSAGING") }, []string{"error task_missing MODERATE or CREATE_CONTENT"}},
		{"an app-level field missing", func(w *world) {
			w.fb.SetAppFields(slices.DeleteFunc(facebook.Fields(), func(f string) bool { return f == "feed" })...)
		},
			[]string{"error app_fields feed"}},
		{"no app-level field", func(w *world) { w.fb.SetAppFields() }, []string{"error app_fields"}},
		{"a Page-level field missing", func(w *world) {
			w.fb.SubscribePage(w.page.ID, slices.DeleteFunc(facebook.Fields(), func(f string) bool { return f == "message_echoes" })...)
		}, []string{"error page_fields message_echoes"}},
		{"the password changed", func(w *world) { w.admin.Invalidate(graphtest.PasswordChanged) }, []string{"error token"}},
		{"data access ends", func(w *world) { w.later(85 * 24 * time.Hour) }, []string{"warning data_access"}},
		{"data access ended", func(w *world) { w.later(91 * 24 * time.Hour) }, []string{"error data_access"}},
		{"an old version", func(w *world) { w.stop(); w.app.Version = "v20.0"; w.open() }, []string{"error version"}},
		{"Facebook is down", func(w *world) { w.fb.Fail(graphtest.Fault{Down: true, Times: -1}) }, []string{
			"error connect", "error connect", "error connect", "error connect"}},
		{"another default app", func(w *world) {
			w.page.Route(graphtest.OtherApp, false)
			w.ann.Write(w.page.ID, "Hello")
			w.settle()
		}, []string{"error routing"}},
		{"another app had it", func(w *world) {
			w.page.Route(w.fb.AppID(), true)
			w.ann.Write(w.page.ID, "Hello")
			w.settle()
			w.page.WriteInInbox(w.ann, "I take this one")
			w.ann.Write(w.page.ID, "Thanks")
			w.settle()
		}, []string{"warning routing"}},
		{"only people with a role get through", func(w *world) {
			w.fb.SubscribePage(w.page.ID)
			w.hold()
			w.ann.Write(w.page.ID, "Hello")
			w.fb.Take()
		}, []string{"warning standard_access"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				// Nothing is mended by itself meanwhile.
				c.spoil(w)
				want := c.want
				require.Equal(w.t, want, withoutTask(w.findings()), c.name)
			})
		})
	}
}

// withoutTask leaves out findings that repeat another one for each task.
func withoutTask(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return strings.HasPrefix(s, "error task ") || s == "error task" })
}

func TestAPageWithoutATokenSaysSo(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		page := w.fb.AddPage("Second")
		ch, err := w.desk.Connect(w.ctx, facebook.Page{ID: page.ID}, ticket.Settings{Queue: "q"})
		require.NoError(w.t, err)
		w.settle()
		ch, err = w.desk.Channel(w.ctx, ch.ID)
		require.NoError(w.t, err)
		require.Equal(w.t, channel.StateNeedsAuthorization, ch.Status.State)
		w.ch = ch
		require.Contains(w.t, w.findings(), "error token")
	})
}

func TestTheAppSubscribesItself(t *testing.T) {
	inVariants(t, facebook.Rules{}, func(w *world) {
		w.fb.SetAppFields()
		require.NoError(w.t, w.app.Subscribe(w.ctx, "https://portal.example/webhooks/facebook"))
		require.Empty(w.t, w.findings())
	})
}
