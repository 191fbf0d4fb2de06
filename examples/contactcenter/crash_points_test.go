//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// crashPointEnv tells a child process, as JSON, how it is called and where it is
// to die.
const crashPointEnv = "CONTACTCENTER_TEST_CRASH_POINT"

// crashPoint is a moment at which the program dies.
type crashPoint struct {
	Name  string
	Large bool // with a mail, or an answer, whose body is in Blobs
}

// crashPoints are the moments around each write, in the order of a mail's way
// and of an answer's. The last one is the parent's to see.
func crashPoints() (all []crashPoint) {
	for _, name := range []string{"body under way", "body kept"} {
		all = append(all, crashPoint{name, true})
	}
	for _, name := range []string{
		"mail before its commit", "mail in its commit", "mail committed", "250 before it is written", "250 written",
		"auto reply claimed", "auto reply decided", "answer committed", "send claimed", "sending committed",
		"handed committed", takenPoint, "settling before its commit", "settled",
	} {
		all = append(all, crashPoint{name, false}, crashPoint{name, true})
	}
	return append(all, crashPoint{"assignment claimed", false}, crashPoint{"assignment committed", false})
}

// takenPoint is after the final dot and before the program has the answer.
const takenPoint = "taken by the server"

// crashChild is what a child process is told.
type crashChild struct {
	Args  []string
	Data  string
	Point crashPoint
	After int // so many passes are let through
}

// killer kills the process at its point.
type killer struct {
	crashChild
	mu    sync.Mutex
	armed bool
	seen  int
	large map[ticket.MessageID]bool
	// answers are the works that decide on automatic replies, and whether to a
	// large mail.
	answers map[ticket.WorkID]bool
}

func (k *killer) at(name string, large bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.armed || k.Point != (crashPoint{name, large}) {
		return
	}
	if k.seen++; k.seen <= k.After {
		return
	}
	_ = os.WriteFile(filepath.Join(k.Data, "killed"), []byte(name), 0o600)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing more may happen until the signal arrives
}

// soon kills while what begins now is under way, or right after.
func (k *killer) soon(name string, large bool) {
	k.mu.Lock()
	mine := k.armed && k.Point == crashPoint{name, large}
	k.mu.Unlock()
	if mine {
		time.AfterFunc(time.Duration(time.Now().UnixNano()%3_000_000), func() { k.at(name, large) })
	}
}

// isLarge reports whether a message has a body in Blobs. It may have come in
// before this process was started.
func (s killingStore) isLarge(ctx context.Context, id ticket.MessageID) bool {
	s.k.mu.Lock()
	large, known := s.k.large[id]
	s.k.mu.Unlock()
	if known || id == "" {
		return large
	}
	snap, err := s.Snapshot(ctx, ticket.Want{Messages: []ticket.MessageID{id}})
	if err != nil || snap.Messages[id] == nil {
		return false
	}
	s.k.see([]*ticket.Message{snap.Messages[id]})
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	return s.k.large[id]
}

// see remembers which messages have a body in Blobs.
func (k *killer) see(ms []*ticket.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range ms {
		large := m.Raw.Blob
		for _, a := range m.Attachments {
			large = large || a.Body.Blob
		}
		k.large[m.ID] = large || k.large[m.ID]
	}
}

// points are the points of a commit that are before and after it.
func (k *killer) points(c *ticket.Changes) (message ticket.MessageID, before, after string) {
	for _, w := range c.Works {
		if w.Handed && len(c.Messages) == 0 {
			return w.Message, "", "handed committed"
		}
	}
	for _, m := range c.Messages {
		switch {
		case m.Revision == 0 && m.Direction == ticket.In:
			return m.ID, "mail before its commit", "mail committed"
		case m.Revision == 0:
			return m.ID, "", "answer committed"
		case m.State == ticket.StateSending:
			return m.ID, "", "sending committed"
		case len(c.Done) > 0 && m.Direction == ticket.Out:
			return m.ID, "settling before its commit", "settled"
		}
	}
	for _, e := range c.Events {
		if e.Type == ticket.EventAssigned {
			return "", "", "assignment committed"
		}
	}
	return "", "", ""
}

type killingStore struct {
	ticket.Store
	k *killer
}

func (s killingStore) Commit(ctx context.Context, c *ticket.Changes) error {
	s.k.see(c.Messages)
	id, before, after := s.k.points(c)
	large := s.isLarge(ctx, id)
	if on, ok := s.k.decides(c); ok {
		before, after, large = "", "auto reply decided", on
	}
	if before != "" {
		s.k.at(before, large)
	}
	if after == "mail committed" {
		s.k.soon("mail in its commit", large)
	}
	err := s.Store.Commit(ctx, c)
	if err == nil && after != "" {
		s.k.at(after, large)
	}
	return err
}

// decides reports whether c decides on an automatic reply, and on one to a large
// mail.
func (k *killer) decides(c *ticket.Changes) (large, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range c.Done {
		if large, ok = k.answers[d.ID]; ok {
			return large, true
		}
	}
	return false, false
}

func (s killingStore) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	works, next, err := s.Store.Claim(ctx, c)
	for _, w := range works {
		name := map[ticket.WorkKind]string{ticket.WorkSend: "send claimed", ticket.WorkAutoReply: "auto reply claimed", ticket.WorkAssign: "assignment claimed"}[w.Kind]
		large := s.isLarge(ctx, w.Message)
		if w.Kind == ticket.WorkAutoReply {
			s.k.mu.Lock()
			s.k.answers[w.ID] = large
			s.k.mu.Unlock()
		}
		s.k.at(name, large)
	}
	return works, next, err
}

type killingBlobs struct {
	ticket.Blobs
	k *killer
}

func (b killingBlobs) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	n, err := b.Blobs.Put(ctx, id, &killingReader{r: r, k: b.k})
	b.k.at("body kept", true)
	return n, err
}

type killingReader struct {
	r io.Reader
	k *killer
	n int
}

func (r *killingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.n += n; r.n > 200_000 {
		r.k.at("body under way", true)
	}
	return n, err
}

type killingListener struct {
	net.Listener
	k *killer
}

func (l killingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &killingConn{Conn: c, k: l.k}, nil
}

// killingConn counts what a client sends before it is answered.
type killingConn struct {
	net.Conn
	k *killer
	n int
}

func (c *killingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += n
	return n, err
}

func (c *killingConn) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte("OK: queued")) {
		return c.Conn.Write(p)
	}
	c.k.at("250 before it is written", c.n > 256<<10)
	n, err := c.Conn.Write(p)
	c.k.at("250 written", c.n > 256<<10)
	return n, err
}

// TestCrashPointChild is the program, in the process that
// TestNothingIsLostOrDoubledWhereverTheProgramIsKilled lets die at a point.
func TestCrashPointChild(t *testing.T) {
	t.Parallel()
	plan := os.Getenv(crashPointEnv)
	if plan == "" {
		return // it is for the parent to run
	}
	k := &killer{large: map[ticket.MessageID]bool{}, answers: map[ticket.WorkID]bool{}}
	require.NoError(t, json.Unmarshal([]byte(plan), &k.crashChild))
	opts, err := parseOptions(k.Args, os.Getenv, os.Stderr)
	require.NoError(t, err)
	opts.engine = func(c *ticket.Config) {
		c.Store, c.Blobs = killingStore{c.Store, k}, killingBlobs{c.Blobs, k}
	}
	h, err := openHost(t.Context(), opts, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	require.NoError(t, err)
	h.smtpL = killingListener{h.smtpL, k}
	require.NoError(t, h.serve(t.Context(), func() error {
		k.mu.Lock()
		k.armed = true
		k.mu.Unlock()
		return h.sayReady(os.Stdout)
	}))
}

// launchChild starts the program such that it dies at a point.
func (s *site) launchChild(p crashPoint, after int) {
	s.t.Helper()
	plan, err := json.Marshal(crashChild{Args: s.args(), Data: s.data, Point: p, After: after})
	require.NoError(s.t, err)
	s.start(os.Args[0], []string{"-test.run=^TestCrashPointChild$", "-test.count=1"}, crashPointEnv+"="+string(plan))
}

// dieAt lets the program die at a point while everybody goes on. It reports
// whether it came there within the time.
func (s *site) dieAt(p crashPoint, after int) bool {
	s.t.Helper()
	s.launchChild(p, after)
	s.awaitReady()
	dead := make(chan struct{})
	s.mu.Lock()
	cmd := s.cmd
	s.mu.Unlock()
	go func() { defer close(dead); _ = cmd.Wait() }()
	limit := time.NewTimer(pointTime)
	defer limit.Stop()
	stop := make(chan struct{})
	if p.Name == takenPoint {
		go s.killWhenTaken(p, cmd.Process, stop)
	}
	passed := true
	select {
	case <-dead:
	case <-limit.C:
		passed = false
		_ = cmd.Process.Kill()
		<-dead
	}
	close(stop)
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.Equal(s.t, syscall.SIGKILL, status.Signal(), tail(s.logs.String(), 2000))
	s.died()
	s.age() // a lease of the dead would keep the next one from some points
	return passed
}

// pointTime is how long the program gets to come to a point.
const pointTime = 40 * time.Second

// killWhenTaken kills when a mail server has taken one more mail of the size.
func (s *site) killWhenTaken(p crashPoint, process *os.Process, stop <-chan struct{}) {
	count := func() (n int) {
		for _, m := range s.taken() {
			if len(m.Raw) > 256<<10 == p.Large {
				n++
			}
		}
		return n
	}
	for begun := count(); count() == begun; {
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond): // the answer takes longer, see openSite
		}
	}
	_ = process.Kill()
}

func (p crashPoint) String() string {
	return p.Name + strings.Repeat(", large", map[bool]int{true: 1}[p.Large])
}
