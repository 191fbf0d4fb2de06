//go:build unix

package ticket_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// crashEnv holds the plan of a child process, as JSON.
const crashEnv = "ANTEROOM_TEST_CRASH"

// crashPlan is what a child process does.
type crashPlan struct {
	Dir   string        // what outlives it
	At    int           // the write point at which it is killed; 0 means none
	Both  bool          // points before writes count too, not only those after them
	Later time.Duration // how far its clock is ahead, so that leases of the dead are over
	Finds bool          // the network can say what it has taken
}

// killer kills the process at one write point.
type killer struct {
	mu   sync.Mutex
	seen int
	plan crashPlan
}

// before is a moment before a write.
func (k *killer) before(what string) {
	if k.plan.Both {
		k.point("before " + what)
	}
}

// after is a moment after a write.
func (k *killer) after(what string) { k.point("after " + what) }

func (k *killer) point(what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen++; k.seen != k.plan.At {
		return
	}
	_ = os.WriteFile(filepath.Join(k.plan.Dir, "killed"), []byte(what), 0o600)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing more may happen until the signal arrives
}

// crashStore is a store whose process dies before or after it has written.
type crashStore struct {
	ticket.Store
	k *killer
}

func (s crashStore) Commit(ctx context.Context, c *ticket.Changes) error {
	what := fmt.Sprintf("the commit of %d keys, %d messages, %d items, %d works, %d done, %d events", len(c.Claims), len(c.Messages), len(c.Items), len(c.Works), len(c.Done), len(c.Events))
	s.k.before(what)
	err := s.Store.Commit(ctx, c)
	s.k.after(what)
	return err
}

func (s crashStore) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	works, next, err := s.Store.Claim(ctx, c)
	if len(works) > 0 {
		s.k.after(fmt.Sprintf("a claim of %d of %s in lane %q", len(works), works[0].Kind, c.Lane))
	}
	return works, next, err
}

func (s crashStore) Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	ok, err := s.Store.Lease(ctx, name, owner, now, until)
	s.k.after("the lease " + name)
	return ok, err
}

// crashBlobs are blobs whose process dies before or after they are kept.
type crashBlobs struct {
	ticket.Blobs
	k *killer
}

func (b crashBlobs) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	b.k.before("a blob")
	n, err := b.Blobs.Put(ctx, id, r)
	b.k.after("a blob")
	return n, err
}

func (b crashBlobs) Delete(ctx context.Context, id ticket.BodyID) error {
	err := b.Blobs.Delete(ctx, id)
	b.k.after("a blob was deleted")
	return err
}

// fileNetwork is a network that outlives the process: what it took is a line of
// a file. It is connector, channel and system sender.
type fileNetwork struct {
	path  string
	k     *killer
	finds bool
	mu    *sync.Mutex
	info  channel.Info
}

// networkMail is a line of the file.
type networkMail struct {
	ID, Token, To, Text string
	Automatic           channel.AutomaticOut
	Files               []int // sizes
}

const kindFile channel.Kind = "file"

type fileAccount struct {
	Address string `json:"address"`
	Sends   bool   `json:"sends"`
}

func (a fileAccount) Account() (channel.Account, error) {
	config, err := json.Marshal(a)
	return channel.Account{Kind: kindFile, Name: "Help", Config: config}, err
}

func (n fileNetwork) Kind() channel.Kind { return kindFile }

func (n fileNetwork) Info() channel.Info { return n.info }

func (n fileNetwork) Open(_ context.Context, acct channel.Account, _ channel.Env) (channel.Channel, error) {
	var a fileAccount
	if err := json.Unmarshal(acct.Config, &a); err != nil {
		return nil, err
	}
	n.info = channel.Info{ID: acct.ID, Kind: kindFile, Name: acct.Name, Address: a.Address, Scheme: "mailto", CanReceive: true, CanSend: a.Sends, CanStart: a.Sends, Mail: true}
	if !a.Sends {
		return struct{ channel.Channel }{n}, nil
	}
	return n.sender(), nil
}

// sender is n, able to look for what was sent if it is to be.
func (n fileNetwork) sender() channel.Sender {
	if n.finds {
		return findingNetwork{n}
	}
	return n
}

func (n fileNetwork) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	mail := networkMail{ID: out.ID, Token: out.Token, To: out.To[0].Address, Text: out.Text, Automatic: out.Automatic}
	for _, a := range out.Attachments {
		data, err := channel.ReadBody(a.Body, 1<<20)
		if err != nil {
			return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Code: "content", Reason: err.Error(), Err: err}
		}
		mail.Files = append(mail.Files, len(data))
	}
	line, err := json.Marshal(mail)
	if err == nil {
		err = out.Handed(ctx)
	}
	if err != nil {
		return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Code: "handed", Reason: err.Error(), Err: err}
	}
	n.mu.Lock()
	err = appendLine(n.path, string(line))
	n.mu.Unlock()
	n.k.after("the network took a mail to " + mail.To)
	if err != nil {
		return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Code: "file", Reason: err.Error(), Err: err}
	}
	return channel.Receipt{ExternalIDs: []string{out.Token + "@portal.example"}}, nil
}

type findingNetwork struct{ fileNetwork }

func (n findingNetwork) Find(_ context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	mails, err := networkMails(n.path)
	for _, m := range mails {
		if m.Token == out.Token {
			return channel.Receipt{ExternalIDs: []string{out.Token + "@portal.example"}}, channel.FoundYes, nil
		}
	}
	return channel.Receipt{}, channel.FoundNo, err
}

func networkMails(path string) (out []networkMail, err error) {
	lines, err := readLines(path)
	for _, l := range lines {
		var m networkMail
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, err
}

// appendLine writes a line, whole: a killed process cannot take back a write.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	return err
}

func readLines(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), nil
}

// openCrashDesk opens the desk of a plan on its folder. The caller closes the
// backend.
func openCrashDesk(plan crashPlan, k *killer) (*ticket.Desk, *sqlitestore.Backend, error) {
	back, err := sqlitestore.Open(filepath.Join(plan.Dir, "desk.db"))
	if err != nil {
		return nil, nil, err
	}
	blobs, err := dirblob.Open(filepath.Join(plan.Dir, "blobs"), dirblob.FreeDisk(0))
	if err != nil {
		return nil, nil, err
	}
	network := fileNetwork{path: filepath.Join(plan.Dir, "network"), k: k, finds: plan.Finds, mu: &sync.Mutex{},
		info: channel.Info{Kind: kindFile, Scheme: "mailto", CanSend: true, Mail: true}}
	desk, err := ticket.New(ticket.Config{
		Store: crashStore{back.Portal("main"), k}, Blobs: crashBlobs{blobs, k}, Connectors: []channel.Connector{network},
		System: network.sender(), Undo: -1, Limits: ticket.Limits{InlineBody: 1000},
		Timing: ticket.Timing{RetryMin: time.Millisecond}, Now: func() time.Time { return time.Now().Add(plan.Later) },
	})
	return desk, back, err
}

// TestCrashChild is the process that TestAProcessThatDiesAtAnyWriteLosesAndDoublesNothing
// kills.
func TestCrashChild(t *testing.T) {
	text := os.Getenv(crashEnv)
	if text == "" {
		return // it is for the parent to run
	}
	var plan crashPlan
	require.NoError(t, json.Unmarshal([]byte(text), &plan))
	playCrash(t, plan)
}

// playCrash lets the sources deliver what was not acknowledged, an agent answer,
// and the desk work until nothing is left to do. It returns how many points
// that took.
func playCrash(t *testing.T, plan crashPlan) int {
	t.Helper()
	k := &killer{plan: plan}
	desk, back, err := openCrashDesk(plan, k)
	require.NoError(t, err)
	defer back.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()

	acks := filepath.Join(plan.Dir, "acks")
	acked, err := readLines(acks)
	require.NoError(t, err)
	chs, err := desk.Channels(ctx)
	require.NoError(t, err)
	for _, d := range crashDeliveries(chs) {
		if slices.Contains(acked, d.name) {
			continue
		}
		require.NoError(t, desk.Accept(ctx, d.items...))
		require.NoError(t, appendLine(acks, d.name))
		k.after("the acknowledgement of " + d.name)
	}
	_, err = crashReply(ctx, desk)
	require.NoError(t, err)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(plan.Dir, "desk.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	for left := 1; left > 0; time.Sleep(5 * time.Millisecond) {
		require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM works").Scan(&left))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen
}
