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
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket/pgstore/pgtest"
)

const (
	chaosNodes   = 3
	chaosRounds  = 4 // of the short form
	chaosSenders = 8 // of the short form

	// Leases really run out. A process that is only slow may lose its own too.
	shortLease = 3 * time.Second
	longLease  = 15 * time.Second // of the long form
)

// town is several processes of the program on one database, behind a balancer.
type town struct {
	*site
	db    *pgtest.Cluster
	url   string
	lease time.Duration
	nodes []*node
	rnd   *rand.Rand
	graph *graphtest.Graph
}

type node struct {
	name      string
	launches  int
	cmd       *exec.Cmd
	out       *bufio.Reader
	mu        sync.Mutex
	process   string // the name of the process; no other ever has it
	pid       int
	http, tcp string // empty while it gets no new connections
}

// TestNothingIsLostOrDoubledAmongNodesAndRestarts kills processes, stops them
// for longer than their leases last, and crashes the database, while customers
// and agents are served by whichever process is there. What the dead and the
// stopped had is taken over by the others when its leases have run out, and by
// nothing else.
func TestNothingIsLostOrDoubledAmongNodesAndRestarts(t *testing.T) {
	t.Parallel()
	rounds, customers, seed := chaosRounds, chaosSenders, *crashSeed
	if *crashRounds > 0 {
		rounds, customers = *crashRounds, crashSenders
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed=%d", seed)
	began, took := time.Now(), []string{}
	stage := func(name string) {
		took = append(took, fmt.Sprintf("%s %.1fs", name, time.Since(began).Seconds()))
		began = time.Now()
	}
	c := openTown(t, seed)
	stage("build and start")
	polled, page := c.openPolled(), c.openPage() // who works looks at which channels are apart
	work, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	senders := make([]*sender, customers)
	for i := range senders {
		senders[i] = newSender(c.site, i)
		busy.Go(func() { senders[i].run(work) })
	}
	agents := make([]*answerer, crashAgents)
	for i := range agents {
		agents[i] = &answerer{s: c.site, name: fmt.Sprint("agent-", i), rnd: rand.New(rand.NewPCG(seed, uint64(1000+i)))}
		busy.Go(func() { agents[i].run(work) })
	}
	feeds := make([]*follower, chaosNodes)
	for i := range feeds {
		feeds[i] = &follower{s: c.site}
		busy.Go(func() { feeds[i].run(work) })
	}
	busy.Go(func() { polled.run(work) })
	page.run(work, &busy)

	names := [...]string{"restart of the database", "pause of the reader", "kill of the reader", "kill"}
	for i := range rounds {
		linger(work, time.Duration(500+c.rnd.IntN(1000))*time.Millisecond)
		switch i % 4 {
		case 0: // first, since what could not be sent is tried again a while later
			c.db.Restart(t)
		case 1:
			c.pauseHolder(polled)
		case 2:
			c.killHolder(polled)
		default:
			n := c.nodes[c.rnd.IntN(chaosNodes)]
			c.killNode(n)
			c.launchNode(n)
		}
		stage(names[i%4])
	}
	stop()
	busy.Wait()
	for _, x := range senders {
		busy.Go(func() { c.finish(x) })
	}
	busy.Wait()
	for _, a := range agents {
		a.finish()
	}
	polled.finish()
	page.finish()
	c.drain()
	c.customersAnswer(senders)
	c.drain()
	stage("rest")
	last := c.count("SELECT max(cursor) FROM anteroom.events")
	for _, feed := range feeds {
		feed.finish(last)
	}
	items := compareSite(c.site, senders, agents, feeds[0])
	require.Equal(t, items, c.count("SELECT count(*) FROM anteroom.items WHERE channel <> ALL($1)", c.apart))
	for _, feed := range feeds[1:] {
		checkFeed(c.site, feed)
	}
	polled.check()
	page.check()
	c.checkFences(polled.channel)
	polled.checkSessions()
	stage("checks")
	t.Logf("took: %s", strings.Join(took, ", "))
}

// finish delivers what a sender has no answer for.
func (c *town) finish(x *sender) {
	for _, l := range x.letters {
		for tries := 1; !l.acked; tries++ {
			code, err := submit(c.smtp, l, false)
			l.acked = err == nil && code == 250
			if tries == 50 || code >= 500 {
				c.t.Errorf("a mail was not taken, try %d: %v", tries, err)
				return
			}
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
	c := &town{site: s, db: &pgtest.Cluster{}, lease: shortLease, rnd: rand.New(rand.NewPCG(seed, 5000))}
	if *crashRounds > 0 {
		c.lease = longLease
	}
	c.url = c.db.URL(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.graph.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	c.graph = graphtest.New(graphtest.Options{URL: srv.URL})
	t.Cleanup(func() {
		require.NoError(t, c.db.Close())
		if t.Failed() {
			t.Logf("the programs' log:\n%s", tail(s.logs.String(), 20_000))
		}
	})
	for i := range chaosNodes {
		c.nodes = append(c.nodes, &node{name: fmt.Sprint("node", i)})
	}
	s.http = "http://" + c.balance(func(n *node) string { return strings.TrimPrefix(n.http, "http://") })
	s.smtp = c.balance(func(n *node) string { return n.tcp })
	t.Cleanup(func() { // before the balancers end, which wait for their connections
		for _, n := range c.nodes {
			if n.cmd != nil {
				_ = n.cmd.Process.Signal(syscall.SIGCONT)
				_ = n.cmd.Process.Kill()
				_ = n.cmd.Wait()
			}
		}
	})
	for _, n := range c.nodes {
		c.startNode(n) // all at once, on an empty database
	}
	for _, n := range c.nodes {
		c.awaitNode(n)
	}
	close(s.changed)
	s.furnish()
	return c
}

// launchNode starts a process and waits until it serves.
func (c *town) launchNode(n *node) {
	c.t.Helper()
	c.startNode(n)
	c.awaitNode(n)
}

func (c *town) startNode(n *node) {
	c.t.Helper()
	n.launches++
	process := fmt.Sprint(n.name, ".", n.launches)
	cmd := exec.Command(c.path, "-data", c.data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0", "-relay", c.relay.Addr(), "-undo", "0s",
		"-store", c.url+"&application_name="+process, "-blobs", "file://"+c.data+"/blobs", "-node", process, "-lease", c.lease.String())
	cmd.Env = []string{"HOME=" + c.home, "ANTEROOM_TOKEN=" + testToken, "FACEBOOK_APP_ID=" + c.graph.AppID(), "FACEBOOK_APP_SECRET=" + c.graph.AppSecret(),
		"FACEBOOK_VERIFY_TOKEN=verify", "FACEBOOK_GRAPH=" + c.graph.URL()}
	cmd.Stderr = c.logs
	out, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	n.mu.Lock() // until it is known whose connections its are
	defer n.mu.Unlock()
	require.NoError(c.t, cmd.Start())
	n.cmd, n.out, n.process, n.pid = cmd, bufio.NewReader(out), process, cmd.Process.Pid
}

func (c *town) awaitNode(n *node) {
	c.t.Helper()
	line, err := n.out.ReadBytes('\n')
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

func (c *town) killNode(n *node) {
	c.t.Helper()
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGKILL))
	_ = n.cmd.Wait()
	n.serve("", "")
	c.kills++
}

// killHolder kills the process that reads the polled mailbox, and starts another
// when one of those that are left has taken the mailbox over.
func (c *town) killHolder(p *polled) {
	c.t.Helper()
	n := c.holder(p.channel, nil)
	c.killNode(n)
	c.holder(p.channel, n)
	c.launchNode(n)
}

// pauseHolder stops the process that reads the polled mailbox in the middle of
// whatever it does, and lets it go on when another has taken the mailbox over.
func (c *town) pauseHolder(p *polled) {
	c.t.Helper()
	n := c.holder(p.channel, nil)
	http, tcp := n.http, n.tcp
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGSTOP))
	n.serve("", "")
	c.holder(p.channel, n)
	require.NoError(c.t, n.cmd.Process.Signal(syscall.SIGCONT))
	n.serve(http, tcp)
}

// holder waits until a node, not the one that is away, has a channel and has
// written for it.
func (c *town) holder(channel string, away *node) (held *node) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		for _, n := range c.nodes {
			const holds = "SELECT count(*) FROM fence_log f JOIN anteroom.leases l ON l.owner = f.owner WHERE l.name = 'receive:'||$1 AND f.process = $2"
			if n != away && c.count(holds, channel, n.process) > 0 {
				held = n
			}
		}
		return held != nil
	}, 2*time.Minute, 100*time.Millisecond, "somebody reads the mailbox")
	return held
}

func (c *town) exec(sql string, args ...any) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	require.NoError(c.t, err)
	defer conn.Close(c.t.Context())
	_, err = conn.Exec(c.t.Context(), sql, args...)
	require.NoError(c.t, err)
}

func (c *town) count(sql string, args ...any) (n int) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	require.NoError(c.t, err)
	defer conn.Close(c.t.Context())
	require.NoError(c.t, conn.QueryRow(c.t.Context(), sql, args...).Scan(&n))
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
