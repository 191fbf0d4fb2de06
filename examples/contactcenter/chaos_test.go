//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket/pgstore/pgtest"
)

const (
	chaosNodes  = 3
	chaosRounds = 4 // of the short form
)

// town is several processes of the program on one database, behind a balancer.
type town struct {
	*site
	db    *pgtest.Cluster
	url   string
	nodes []*node
	rnd   *rand.Rand
}

type node struct {
	name      string // of the process
	launches  int
	cmd       *exec.Cmd
	mu        sync.Mutex
	http, tcp string // empty while it gets no new connections
}

// TestNothingIsLostOrDoubledAmongNodesAndRestarts kills processes, stops them
// for longer than their leases last, and crashes the database, while customers
// and agents are served by whichever process is there.
func TestNothingIsLostOrDoubledAmongNodesAndRestarts(t *testing.T) {
	t.Parallel()
	rounds, seed := chaosRounds, *crashSeed
	if *crashRounds > 0 {
		rounds = *crashRounds
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed=%d", seed)
	c := openTown(t, seed)
	work, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	senders := make([]*sender, crashSenders)
	for i := range senders {
		senders[i] = newSender(c.site, i)
		busy.Go(func() { senders[i].run(work) })
	}
	agents := make([]*answerer, crashAgents)
	for i := range agents {
		agents[i] = &answerer{s: c.site, name: fmt.Sprint("agent-", i), rnd: rand.New(rand.NewPCG(seed, uint64(1000+i)))}
		busy.Go(func() { agents[i].run(work) })
	}
	feed := &follower{s: c.site}
	busy.Go(func() { feed.run(work) })

	for i := range rounds {
		linger(work, time.Duration(500+c.rnd.IntN(1000))*time.Millisecond)
		n := c.nodes[c.rnd.IntN(chaosNodes)]
		switch i % 4 {
		case 0, 2:
			c.killNode(n)
			c.launchNode(n)
		case 1:
			c.pause(work, n)
		default:
			c.db.Restart(t)
		}
	}
	stop()
	busy.Wait()
	for _, x := range senders {
		c.finish(x)
	}
	for _, a := range agents {
		a.finish()
	}
	c.drain()
	c.customersAnswer(senders)
	c.drain()
	items := compareSite(c.site, senders, agents, feed)
	require.Equal(t, items, c.count("SELECT count(*) FROM anteroom.items"))
}

// finish delivers what a sender has no answer for.
func (c *town) finish(x *sender) {
	c.t.Helper()
	for _, l := range x.letters {
		for tries := 0; !l.acked; tries++ {
			code, err := submit(c.smtp, l, false)
			l.acked = err == nil && code == 250
			require.Less(c.t, tries, 50, "%v", err)
			require.Less(c.t, code, 500, "%v", err)
		}
	}
}

func openTown(t *testing.T, seed uint64) *town {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	s := &site{t: t, path: path, data: t.TempDir(), home: t.TempDir(), seed: seed, changed: make(chan struct{}), logs: &lockedBuffer{},
		relay: emailtest.NewSMTP(t), shop: emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))}
	// Connections are not kept, so that each request goes to another node.
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	c := &town{site: s, db: &pgtest.Cluster{}, rnd: rand.New(rand.NewPCG(seed, 5000))}
	c.url = c.db.URL(t)
	t.Cleanup(func() {
		for _, n := range c.nodes {
			if n.cmd != nil {
				_ = n.cmd.Process.Signal(syscall.SIGCONT)
				_ = n.cmd.Process.Kill()
				_ = n.cmd.Wait()
			}
		}
		require.NoError(t, c.db.Close())
		if t.Failed() {
			t.Logf("the programs' log:\n%s", tail(s.logs.String(), 20_000))
		}
	})
	for i := range chaosNodes {
		n := &node{name: fmt.Sprint("node", i)}
		c.nodes = append(c.nodes, n)
		c.launchNode(n)
	}
	s.http = "http://" + c.balance(func(n *node) string { return strings.TrimPrefix(n.http, "http://") })
	s.smtp = c.balance(func(n *node) string { return n.tcp })
	close(s.changed)
	s.furnish()
	return c
}

// launchNode starts a process and waits until it serves.
func (c *town) launchNode(n *node) {
	c.t.Helper()
	n.launches++
	n.cmd = exec.Command(c.path, "-data", c.data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0", "-relay", c.relay.Addr(), "-undo", "0s",
		"-store", c.url, "-blobs", "file://"+c.data+"/blobs", "-node", fmt.Sprint(n.name, ".", n.launches))
	n.cmd.Env = []string{"HOME=" + c.home, "ANTEROOM_TOKEN=" + testToken}
	n.cmd.Stderr = c.logs
	out, err := n.cmd.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, n.cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(c.t, err, tail(c.logs.String(), 2000))
	var ready struct{ HTTP, SMTP string }
	require.NoError(c.t, json.Unmarshal(line, &ready))
	n.serve(ready.HTTP, ready.SMTP)
}

func (n *node) serve(http, tcp string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.http, n.tcp = http, tcp
}

// killNode kills a process, and makes it later than its leases.
func (c *town) killNode(n *node) {
	c.t.Helper()
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGKILL))
	_ = n.cmd.Wait()
	n.serve("", "")
	c.kills++
	c.lapse(n)
}

// pause stops a process in the middle of whatever it does, lets its leases run
// out, so that others take over, and lets it go on.
func (c *town) pause(ctx context.Context, n *node) {
	c.t.Helper()
	http, tcp := n.http, n.tcp
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGSTOP))
	n.serve("", "")
	c.lapse(n)
	linger(ctx, 2*time.Second)
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGCONT))
	n.serve(http, tcp)
}

// lapse makes it later than a node's leases, without waiting for it.
func (c *town) lapse(n *node) {
	c.t.Helper()
	owner := fmt.Sprint(n.name, ".", n.launches)
	c.exec("UPDATE anteroom.works SET lease = 0, due = not_before WHERE lease > 0 AND owner = $1", owner)
	c.exec("UPDATE anteroom.leases SET until = 0 WHERE owner = $1 OR owner LIKE $1 || '/%'", owner)
}

func (c *town) exec(sql string, args ...any) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	require.NoError(c.t, err)
	defer conn.Close(c.t.Context())
	_, err = conn.Exec(c.t.Context(), sql, args...)
	require.NoError(c.t, err)
}

func (c *town) count(sql string) (n int) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	require.NoError(c.t, err)
	defer conn.Close(c.t.Context())
	require.NoError(c.t, conn.QueryRow(c.t.Context(), sql).Scan(&n))
	return n
}

// drain waits until nothing is left to do.
func (c *town) drain() {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.count("SELECT count(*) FROM anteroom.works") == 0 }, 3*time.Minute, 100*time.Millisecond, "all work is done")
}

// balance listens and hands each connection to a node that serves.
func (c *town) balance(addr func(n *node) string) string {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	var open sync.WaitGroup
	c.t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	open.Go(func() {
		for next := 0; ; next++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer in.Close()
				for try := range 2 * chaosNodes {
					n := c.nodes[(next+try)%chaosNodes]
					n.mu.Lock()
					to := addr(n)
					n.mu.Unlock()
					if to == "" {
						continue
					}
					out, err := net.DialTimeout("tcp", to, time.Second)
					if err != nil {
						continue
					}
					join(in, out)
					return
				}
			})
		}
	})
	return l.Addr().String()
}

// join copies both ways until one side ends.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			way[0].Close()
			way[1].Close()
		})
	}
	both.Wait()
}
