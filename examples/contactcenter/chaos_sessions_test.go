//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// door stands before a mail server, and notes who comes and goes.
type door struct {
	c    *town
	l    net.Listener
	to   string
	open sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	visits []*visit
}

// visit is a connection to the mail server. door.mu guards it.
type visit struct {
	process string // "" where it cannot be told
	// When the process first asked for mails or waited for them, which it does not
	// to try the credentials, and when the connection ended; zero: never so far.
	reads, ended time.Time
}

func (c *town) openDoor(to string) *door {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	d := &door{c: c, l: l, to: to}
	d.open.Go(d.serve)
	c.t.Cleanup(func() {
		l.Close()
		d.mu.Lock()
		d.closed = true
		for _, conn := range d.conns { // that of a process that is stopped never ends
			conn.Close()
		}
		d.mu.Unlock()
		d.open.Wait()
	})
	return d
}

func (d *door) port() int { return d.l.Addr().(*net.TCPAddr).Port }

func (d *door) serve() {
	for {
		in, err := d.l.Accept()
		if err != nil {
			return
		}
		d.open.Go(func() { d.pass(in) })
	}
}

func (d *door) pass(in net.Conn) {
	defer in.Close()
	// Before the greeting, which clients wait for: who asks for something is known.
	s := &visit{process: d.c.whose(in)}
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer out.Close()
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.conns = append(d.conns, in, out)
	d.visits = append(d.visits, s)
	d.mu.Unlock()
	join(&heard{Conn: in, reads: func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		s.reads = time.Now()
	}}, out)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.ended = time.Now()
}

// heard calls reads when a client first asks for mails. One goroutine reads it.
type heard struct {
	net.Conn
	reads func()
	said  []byte // until then
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if h.reads != nil {
		h.said = append(h.said, b[:n]...)
		if bytes.Contains(h.said, []byte(" UID FETCH ")) || bytes.Contains(h.said, []byte(" IDLE\r\n")) {
			h.reads()
			h.reads, h.said = nil, nil
		}
	}
	return n, err
}

// whose returns the process at the other end of a connection, as the kernel
// knows it: "" on other systems than Linux, and of a process that has died.
func (c *town) whose(in net.Conn) string {
	near, _ := in.LocalAddr().(*net.TCPAddr)
	far, _ := in.RemoteAddr().(*net.TCPAddr)
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	ports := fmt.Sprintf(":%04X 0100007F:%04X ", far.Port, near.Port)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if !strings.Contains(line, ports) || len(fields) < 10 {
			continue
		}
		for _, n := range c.nodes {
			if name := n.has("socket:[" + fields[9] + "]"); name != "" {
				return name
			}
		}
	}
	return ""
}

// has returns the process's name if it has a file open.
func (n *node) has(file string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	dir := fmt.Sprintf("/proc/%d/fd/", n.pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, f := range files {
		if to, err := os.Readlink(dir + f.Name()); err == nil && to == file {
			return n.process
		}
	}
	return ""
}

// tenure is the time that a process had the mailbox for, by the lease.
type tenure struct {
	Token int64
	Owner string
	At    time.Time
	Until int64  // for how long it was asked for at first, in microseconds since 1970
	Prior string // whose it was, if it was not given up
	Ended int64  // until when the prior owner had it
}

func (t tenure) process() string {
	name, _, _ := strings.Cut(t.Owner, "/")
	return name
}

// checkSessions compares who was at the mail server with who had the mailbox.
//
// What must hold is that nobody reads who was not given the mailbox, that nobody
// is given it before the other's time is over, and that whoever goes on after that
// does nothing that counts (checkFences, and the mailbox is as it was), and goes
// when it can. Two sessions at the server at once are not forbidden: the
// connection of a process that is stopped stays open, nobody can take it from
// it, and it may ask for another mail before it learns what it slept through. So
// may one that is only slow. How often that was is logged.
func (p *polled) checkSessions() {
	c, t := p.c, p.c.t
	t.Helper()
	require.Len(t, p.server.Mails("INBOX"), p.copies())
	for _, m := range p.server.Mails("INBOX") {
		require.Empty(t, m.Flags, "nobody changes a mailbox that is left as it is")
	}
	tenures := p.tenures()
	for _, n := range tenures {
		if n.Prior != "" {
			require.GreaterOrEqual(t, n.Until-c.lease.Microseconds(), n.Ended, "%s was given the mailbox while %s had it", n.Owner, n.Prior)
		}
	}
	if runtime.GOOS != "linux" {
		t.Log("sessions: this system does not tell whose they are")
		return
	}
	require.Eventually(t, func() bool {
		had := p.tenures()
		open := p.door.seen(func(s visit) bool { return !s.reads.IsZero() && s.ended.IsZero() })
		return len(open) > 0 && !slices.ContainsFunc(open, func(s visit) bool { return s.process != had[len(had)-1].process() })
	}, 2*time.Minute, 100*time.Millisecond, "in the end only who has the mailbox reads it")
	tenures = p.tenures()
	late, longest := 0, time.Duration(0)
	all := p.door.seen(func(s visit) bool { return !s.reads.IsZero() })
	for _, s := range all {
		require.NotEmpty(t, s.process)
		first := slices.IndexFunc(tenures, func(n tenure) bool { return n.process() == s.process })
		require.GreaterOrEqual(t, first, 0, "%s read the mailbox, and was never given it", s.process)
		require.False(t, s.reads.Before(tenures[first].At), "%s read the mailbox at %v, and was given it at %v", s.process, s.reads, tenures[first].At)
		for _, n := range tenures {
			if n.process() != s.process && n.At.After(s.reads) && (s.ended.IsZero() || s.ended.After(n.At)) {
				late++
				longest = max(longest, s.ended.Sub(n.At))
				break
			}
		}
	}
	t.Logf("sessions: %d under %d tokens; %d were still open when another process was given the mailbox, for %v at the most",
		len(all), len(tenures), late, longest.Round(time.Millisecond))
}

// seen returns copies of sessions.
func (d *door) seen(want func(visit) bool) (out []visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.visits {
		if want(*s) {
			out = append(out, *s)
		}
	}
	return out
}

func (p *polled) tenures() []tenure {
	c, t := p.c, p.c.t
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT token, owner, at, until, coalesce(prior, ''), coalesce(ended, 0) FROM fence_tokens WHERE name = 'receive:'||$1 ORDER BY token", p.channel)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[tenure])
	require.NoError(t, err)
	require.NotEmpty(t, out)
	return out
}
