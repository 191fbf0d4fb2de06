//go:build unix

package ticket_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// delivery is what a source hands over in one call, and is acknowledged for.
type delivery struct {
	name  string
	items []*channel.Item
}

// crashDeliveries are what the sources have: a thread out of order and with
// files, one mail by two ways, two mails in one call, one to a channel that
// cannot answer, and one that is to be ignored.
func crashDeliveries(chs []*ticket.Channel) []delivery {
	var sends, silent channel.ID
	for _, c := range chs {
		if c.CanSend {
			sends = c.ID
		} else {
			silent = c.ID
		}
	}
	item := func(ch channel.ID, n string, from string, refs ...string) *channel.Item {
		return &channel.Item{Channel: ch, Keys: []channel.Key{channel.Key("item:" + n)}, Raw: channel.Bytes("raw of " + n), Message: &channel.Message{
			From: channel.Party{Name: "Customer", Address: from}, To: []channel.Party{{Address: "help@portal.example"}}, Subject: "about " + n, Text: "text of " + n,
			ExternalID: n + "@" + from, Evidence: channel.Evidence{IDs: refs}}}
	}
	second := item(sends, "second", "one@one.example", "first@one@one.example")
	second.Raw = channel.Bytes("raw of second" + strings.Repeat(".", 3000))
	second.Message.Attachments = []channel.Attachment{
		{Name: "large.txt", Type: "text/plain", Size: 2000, Body: channel.Bytes(strings.Repeat("L", 2000))},
		{Name: "small.txt", Type: "text/plain", Size: 20, Body: channel.Bytes(strings.Repeat("S", 20))},
	}
	first := item(sends, "first", "one@one.example")
	again := *first
	again.Keys = []channel.Key{"way:2", "item:first"}
	ignored := item(sends, "ignored", "robot@two.example")
	ignored.Message, ignored.Ignored = nil, channel.CauseLoop
	return []delivery{
		{"second", []*channel.Item{second}},
		{"first", []*channel.Item{first}},
		{"first by another way", []*channel.Item{&again}},
		{"two", []*channel.Item{item(sends, "two-a", "a@two.example"), item(silent, "two-b", "b@two.example")}},
		{"ignored", []*channel.Item{ignored}},
		{"silent", []*channel.Item{item(silent, "silent", "three@three.example")}},
	}
}

// crashReply answers on the ticket of the thread. It can be repeated.
func crashReply(ctx context.Context, desk *ticket.Desk) (*ticket.Message, error) {
	ts, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	if err != nil {
		return nil, err
	}
	for _, tk := range ts {
		ms, _, err := desk.Timeline(ctx, ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{})
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(ms, func(m *ticket.Message) bool { return m.Text == "text of first" }) {
			return desk.Reply(ctx, tk.ID, ticket.Draft{By: "an", Text: "answer", Key: "k1",
				Attachments: []channel.Attachment{{Name: "answer.bin", Type: "application/pdf", Body: channel.Bytes(strings.Repeat("A", 5000))}}})
		}
	}
	return nil, errors.New("the thread has no ticket")
}

// crashRounds asks for the long form of the crash tests.
var crashRounds = flag.Int("crash.rounds", 0, "rounds of the crash tests; above 0: their long form, which kills at every point there is")

// TestAProcessThatDiesAtAnyWriteLosesAndDoublesNothing kills a process at each of
// its writes in turn, lets another take over an hour later, and looks at what
// there is. The sources deliver until they are acknowledged. The long form kills
// before each write too, and at each for both networks; with the race detector
// the short one takes some only.
func TestAProcessThatDiesAtAnyWriteLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	model := t.TempDir()
	prepareCrash(t, model)
	for _, network := range []struct {
		name  string
		finds bool
		step  int
	}{{"by a network that cannot be asked", false, 1}, {"by a network that is asked what it took", true, 4}} {
		t.Run(network.name, func(t *testing.T) {
			t.Parallel()
			whole := crashPlan{Dir: copyOf(t, model), Finds: network.finds, Both: *crashRounds > 0}
			n := playCrash(t, whole)
			require.Greater(t, n, 40, "the scenario writes")
			checkCrashed(t, whole, false)
			step := network.step * crashStride
			if whole.Both {
				step = 1
			}
			// Lanes run at once: another run may have more points than this one.
			for at := 1; at <= n+n/10; at += step {
				t.Run(fmt.Sprint("point ", at), func(t *testing.T) {
					t.Parallel()
					plan := whole
					plan.Dir, plan.At = copyOf(t, model), at
					killed := runCrashChild(t, plan)
					if killed {
						what, err := os.ReadFile(filepath.Join(plan.Dir, "killed"))
						require.NoError(t, err)
						t.Logf("killed %s", what)
						plan.At, plan.Later = 0, time.Hour
						playCrash(t, plan)
					}
					checkCrashed(t, plan, killed)
				})
			}
		})
	}
}

// prepareCrash makes the desk that all begin with.
func prepareCrash(t *testing.T, dir string) {
	t.Helper()
	desk, back, err := openCrashDesk(crashPlan{Dir: dir}, &killer{})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An", Email: "an@office.example"}))
	require.NoError(t, desk.PutQueue(ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
	s := ticket.Settings{Queue: "support", NotifyAgent: true, AutoReply: ticket.AutoReply{On: true, Body: "auto {{ticket.number}}"}}
	for _, a := range []fileAccount{{Address: "help@portal.example", Sends: true}, {Address: "silent@portal.example"}} {
		_, err = desk.Connect(ctx, a, s)
		require.NoError(t, err)
	}
	require.NoError(t, back.Close())
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// runCrashChild runs a process to its end and reports whether it was killed.
func runCrashChild(t *testing.T, plan crashPlan) (killed bool) {
	t.Helper()
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), crashEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && plan.At > 0 && ctx.Err() == nil {
		status, _ := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	require.NoError(t, err, "%s", out)
	return false
}

// checkCrashed looks at what the processes have left.
func checkCrashed(t *testing.T, plan crashPlan, killed bool) {
	t.Helper()
	ctx := t.Context()
	mails, err := networkMails(filepath.Join(plan.Dir, "network"))
	require.NoError(t, err)
	desk, back, err := openCrashDesk(crashPlan{Dir: plan.Dir, Later: 2 * time.Hour}, &killer{})
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	chs, err := desk.Channels(ctx)
	require.NoError(t, err)

	before, err := desk.Ledger(ctx, "", time.Time{})
	require.NoError(t, err)
	require.LessOrEqual(t, before.Duplicates, int64(3), "the other way, and what was not acknowledged in time")
	// Every source now hears that its answers were lost, and delivers all again.
	for _, d := range crashDeliveries(chs) {
		require.NoError(t, desk.Accept(ctx, d.items...))
	}
	after, err := desk.Ledger(ctx, "", time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, 6, after.Received)
	require.EqualValues(t, 5, after.Messages)
	require.Equal(t, map[channel.Cause]int64{channel.CauseLoop: 1}, after.Ignored)
	require.Equal(t, before.Duplicates+7, after.Duplicates)
	before.Duplicates = after.Duplicates
	require.Equal(t, before, after)

	// Nothing of it makes work, and nothing else is left.
	checkDatabase(t, filepath.Join(plan.Dir, "desk.db"), after)
	ts, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	require.Len(t, ts, 4, "one for each conversation")
	numbers, seen := map[int64]bool{}, map[string]int{}
	var out []*ticket.Message
	for _, tk := range ts {
		require.False(t, numbers[tk.Number])
		numbers[tk.Number] = true
		require.Equal(t, routing.AgentID("an"), tk.Assignee)
		ms, _, err := desk.Timeline(ctx, ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{})
		require.NoError(t, err)
		require.Equal(t, len(ms), tk.MessageCount)
		auto := 0
		for _, m := range ms {
			readBodies(t, desk, m)
			if m.Direction == ticket.In {
				seen[m.Text]++
				continue
			}
			out = append(out, m)
			if m.Auto == channel.AutoReplied {
				auto++
			}
		}
		require.Equal(t, 1, auto, "automatic replies on ticket %d", tk.Number)
	}
	require.Equal(t, map[string]int{"text of first": 1, "text of second": 1, "text of two-a": 1, "text of two-b": 1, "text of silent": 1}, seen)
	require.Len(t, out, 5, "four automatic ones and the agent's, once")
	checkSent(t, plan, killed, out, mails)
	require.NoError(t, checkLoads(ctx, desk))
	es, err := allEvents(ctx, desk)
	require.NoError(t, err)
	ids, assigned := map[string]bool{}, map[ticket.TicketID]int{}
	for _, e := range es {
		require.False(t, ids[e.ID], "event %s is there twice", e.ID)
		ids[e.ID] = true
		if e.Type == ticket.EventAssigned {
			assigned[e.Ticket]++
		}
	}
	for _, tk := range ts {
		require.Equal(t, 1, assigned[tk.ID], "each ticket was given away once")
	}
}

// checkSent compares what the desk believes with what the network took.
func checkSent(t *testing.T, plan crashPlan, killed bool, out []*ticket.Message, mails []networkMail) {
	t.Helper()
	taken := map[string]int{}
	tokens := map[string]bool{}
	notices := 0
	for _, m := range mails {
		taken[m.ID]++
		require.False(t, tokens[m.Token], "nothing leaves twice: %+v", m)
		tokens[m.Token] = true
		if m.Automatic == channel.AutoGenerated {
			notices++
		}
		if m.Text == "answer" {
			require.Equal(t, []int{5000}, m.Files)
		}
	}
	uncertain := 0
	for _, m := range out {
		switch m.State {
		case ticket.StateSent:
			require.Equal(t, 1, taken[string(m.ID)], "what is sent was taken")
		case ticket.StateUncertain:
			uncertain++
			require.LessOrEqual(t, taken[string(m.ID)], 1)
		default:
			t.Errorf("message %s is %s", m.ID, m.State)
		}
		delete(taken, string(m.ID))
	}
	require.Len(t, taken, notices, "nothing else was sent")
	require.LessOrEqual(t, notices, 4)
	if plan.Finds || !killed {
		require.Zero(t, uncertain, "who can ask is never in doubt")
	}
	if !killed {
		require.Equal(t, 4, notices)
	}
}

// readBodies reads all that a message refers to.
func readBodies(t *testing.T, desk *ticket.Desk, m *ticket.Message) {
	t.Helper()
	if m.Direction == ticket.In {
		raw, err := desk.Raw(t.Context(), m.ID)
		require.NoError(t, err)
		data, err := channel.ReadBody(raw, 1<<20)
		require.NoError(t, err)
		require.Equal(t, "raw of "+strings.TrimPrefix(m.Text, "text of "), strings.TrimRight(string(data), "."))
	}
	for _, a := range m.Attachments {
		_, r, err := desk.OpenAttachment(t.Context(), a.ID)
		require.NoError(t, err, "body of %s", a.Name)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, strings.Repeat(strings.ToUpper(a.Name[:1]), int(a.Size)), string(data))
	}
}

// checkDatabase looks below the store: the file is sound, nothing waits, and
// there are as many items as the ledger says.
func checkDatabase(t *testing.T, path string, l ticket.Ledger) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	var sound string
	require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
	for query, want := range map[string]int64{
		"SELECT count(*) FROM works": 0,
		"SELECT count(*) FROM items": l.Received + l.Duplicates,
	} {
		var n int64
		require.NoError(t, db.QueryRow(query).Scan(&n))
		require.Equal(t, want, n, query)
	}
}
