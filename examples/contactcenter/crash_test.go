//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

var (
	crashRounds = flag.Int("crash.rounds", 0, "rounds of the crash test; 0: its short form")
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of the crash test; 0: a random one")
)

const (
	shortRounds  = 20
	crashSenders = 20
	crashAgents  = 3
)

// site is the program on its data, with everybody who has to do with it.
type site struct {
	t      *testing.T
	path   string // of the program
	env    []string
	data   string
	seed   uint64
	relay  *emailtest.SMTP // the mail server that automatic replies of the mailbox leave by
	shop   *emailtest.SMTP // that of the account
	client *http.Client
	home   string

	mailbox, forward string // addresses that take mail
	// apart are channels with other customers than the senders.
	apart []string

	mu         sync.Mutex
	http, smtp string        // empty while the program is down
	changed    chan struct{} // closed when it is up
	cmd        *exec.Cmd
	out        *bufio.Reader
	logs       *lockedBuffer
	kills      int
}

// TestNothingIsLostOrDoubledWhereverTheProgramIsKilled kills the program, which
// runs in a process of its own, again and again while 20 connections send mail,
// agents answer, and a mail server takes what leaves. What everybody was told is
// compared with what is there in the end.
func TestNothingIsLostOrDoubledWhereverTheProgramIsKilled(t *testing.T) {
	t.Parallel()
	rounds, seed := shortRounds, *crashSeed
	if *crashRounds > 0 {
		rounds = *crashRounds
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed=%d", seed)
	s := openSite(t, seed)
	work, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	senders := make([]*sender, crashSenders)
	for i := range senders {
		senders[i] = newSender(s, i)
		busy.Go(func() { senders[i].run(work) })
	}
	agents := make([]*answerer, crashAgents)
	for i := range agents {
		agents[i] = &answerer{s: s, name: fmt.Sprint("agent-", i), rnd: rand.New(rand.NewPCG(seed, uint64(1000+i)))}
		busy.Go(func() { agents[i].run(work) })
	}
	feed := &follower{s: s}
	busy.Go(func() { feed.run(work) })

	rnd := rand.New(rand.NewPCG(seed, 5000))
	points, passed := roundsOfPoints(rounds), map[crashPoint]int{}
	s.kill(true)
	for _, p := range points {
		after := 0
		if !p.Large {
			after = rnd.IntN(4)
		}
		if s.dieAt(p, after) {
			passed[p]++
		}
	}
	s.launch()
	s.awaitReady()
	for _, p := range points {
		require.Positive(t, passed[p], "the program never came to: %s", p)
	}
	t.Logf("died at named points: %v", passed)
	for range rounds - len(points)*min(1, *crashRounds) {
		if rnd.IntN(6) == 0 { // it dies while it starts
			s.kill(rnd.IntN(2) == 0)
			s.launch()
			linger(work, rand.N(150*time.Millisecond))
		} else {
			linger(work, 100*time.Millisecond+time.Duration(rnd.IntN(1400))*time.Millisecond)
		}
		s.kill(rnd.IntN(2) == 0)
		s.launch()
		s.awaitReady()
	}
	s.kill(*crashRounds == 0) // in the long form the leases of the dead really run out
	stop()
	busy.Wait()

	s.launch()
	s.awaitReady()
	for _, x := range senders {
		x.finish()
	}
	for _, a := range agents {
		a.finish()
	}
	s.drain()
	s.customersAnswer(senders)
	s.drain()
	checkSite(s, senders, agents, feed)
}

// roundsOfPoints returns the points of the rounds in which the program dies at a
// named one: each once, and in the long form half of all rounds.
func roundsOfPoints(rounds int) (all []crashPoint) {
	named := crashPoints()
	if *crashRounds == 0 {
		for i, p := range named {
			if i%crashShare == 0 {
				all = append(all, p)
			}
		}
		return all
	}
	for i := range rounds / 2 {
		all = append(all, named[i%len(named)])
	}
	return all
}

func linger(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// openSite starts the program on new data, with a mailbox and an account that is
// paired with it.
func openSite(t *testing.T, seed uint64) *site {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	s := &site{t: t, path: path, data: t.TempDir(), home: t.TempDir(), seed: seed, changed: make(chan struct{}), logs: &lockedBuffer{},
		relay: emailtest.NewSMTP(t), shop: emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))}
	// Slow answers make the moment long in which only the server knows that it
	// has taken a mail.
	s.relay.Fault(emailtest.Fault{At: emailtest.AtAnswer, Slow: time.Millisecond})
	s.shop.Fault(emailtest.Fault{At: emailtest.AtAnswer, Slow: time.Millisecond})
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	t.Cleanup(s.client.CloseIdleConnections)
	t.Cleanup(func() {
		s.mu.Lock()
		cmd := s.cmd
		s.mu.Unlock()
		if cmd != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the program's log:\n%s", tail(s.logs.String(), 20_000))
		}
	})
	s.launch()
	s.awaitReady()
	s.furnish()
	return s
}

// furnish makes agents, a queue, a mailbox and an account.
func (s *site) furnish() {
	t := s.t
	t.Helper()
	put := func(path string, body any) {
		status, _, err := s.call(t.Context(), "PUT", path, body)
		require.NoError(t, err)
		require.Equal(t, 200, status)
	}
	post := func(body any) object {
		status, out, err := s.call(t.Context(), "POST", "/api/channels", body)
		require.NoError(t, err)
		require.Equal(t, 201, status, out)
		return out
	}
	put("/api/agents/an", object{"name": "Nguyễn An"})
	put("/api/agents/binh", object{"name": "Trần Bình"})
	put("/api/queues/support", object{"name": "Hỗ trợ", "agents": []string{"an", "binh"}})
	settings := object{"queue": "support", "auto_reply": object{"on": true, "subject": "Ticket {{ticket.number}}", "body": "Chào {{customer.name}}"}}
	hosted := post(object{"kind": "email.hosted", "name": "Hỗ trợ", "config": object{"local_part": "support"}, "settings": settings})
	paired := post(object{"kind": "email.account", "name": "Cửa hàng", "settings": settings, "config": object{
		"address": "help@shop.example", "password": "geheim", "forwarded_to": text(hosted, "id"),
		"smtp": object{"host": s.shop.Host(), "port": s.shop.Port(), "security": "none"},
	}})
	s.mailbox, s.forward = text(hosted, "address"), text(paired, "forward_address")
	require.NotEmpty(t, s.mailbox)
	require.NotEmpty(t, s.forward)
}

// taken is what the mail servers took.
func (s *site) taken() []*emailtest.Message {
	return append(s.relay.Messages(), s.shop.Messages()...)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// launch starts the program and does not wait.
func (s *site) launch() {
	s.t.Helper()
	s.start(s.path, s.args(), s.env...)
}

func (s *site) args() []string {
	return []string{"-data", s.data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0", "-relay", s.relay.Addr(), "-undo", "0s"}
}

func (s *site) start(path string, args []string, env ...string) {
	s.t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{"HOME=" + s.home, "ANTEROOM_TOKEN=" + testToken}, env...)
	cmd.Stderr = s.logs
	out, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	s.mu.Lock()
	s.cmd, s.out = cmd, bufio.NewReader(out)
	s.mu.Unlock()
}

// awaitReady waits until the program serves, and tells everybody where.
func (s *site) awaitReady() {
	s.t.Helper()
	line, err := s.out.ReadBytes('\n')
	require.NoError(s.t, err, "the program starts on what a crash has left: %s", tail(s.logs.String(), 2000))
	var ready struct{ HTTP, SMTP string }
	require.NoError(s.t, json.Unmarshal(line, &ready))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http, s.smtp = ready.HTTP, ready.SMTP
	close(s.changed)
}

// up waits until the program serves. It returns false when ctx ends.
func (s *site) up(ctx context.Context) (httpURL, smtpAddr string, ok bool) {
	for {
		s.mu.Lock()
		httpURL, smtpAddr, changed := s.http, s.smtp, s.changed
		s.mu.Unlock()
		if httpURL != "" {
			return httpURL, smtpAddr, ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", "", false
		}
	}
}

// kill kills the program. With long it then stays dead for longer than its
// leases last.
func (s *site) kill(long bool) {
	s.t.Helper()
	s.mu.Lock()
	cmd := s.cmd
	s.mu.Unlock()
	s.died()
	require.NoError(s.t, cmd.Process.Signal(syscall.SIGKILL), "it had not ended by itself")
	require.Error(s.t, cmd.Wait())
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.Equal(s.t, syscall.SIGKILL, status.Signal(), tail(s.logs.String(), 2000))
	if long {
		s.age()
	}
}

// died notes that the program serves no more.
func (s *site) died() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != "" {
		s.http, s.smtp, s.changed = "", "", make(chan struct{})
	}
	s.cmd = nil
	s.kills++
}

func (s *site) open(mode string) *sql.DB {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "anteroom.db")+"?mode="+mode+"&_pragma=busy_timeout(10000)")
	require.NoError(s.t, err)
	return db
}

// age makes it later than the leases of the dead, without waiting for it.
func (s *site) age() {
	s.t.Helper()
	db := s.open("rw")
	defer db.Close()
	for _, q := range []string{"UPDATE works SET lease = 0, due = not_before WHERE lease > 0", "UPDATE leases SET until = 0"} {
		_, err := db.Exec(q)
		require.NoError(s.t, err)
	}
}

// drain waits until nothing is left to do.
func (s *site) drain() {
	s.t.Helper()
	db := s.open("ro")
	defer db.Close()
	require.Eventually(s.t, func() bool {
		var left int
		return db.QueryRow("SELECT count(*) FROM works").Scan(&left) == nil && left == 0
	}, 3*time.Minute, 20*time.Millisecond, "all work is done")
}

// end ends the program as an administrator would.
func (s *site) end() {
	s.t.Helper()
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	require.NoError(s.t, cmd.Process.Signal(syscall.SIGTERM))
	_, _ = io.Copy(io.Discard, s.out)
	require.NoError(s.t, cmd.Wait(), tail(s.logs.String(), 2000))
}

// call calls the API. An error means that there was no answer.
func (s *site) call(ctx context.Context, method, path string, body any) (int, object, error) {
	status, data, err := s.fetch(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	out := object{}
	if err := json.Unmarshal(data, &out); err != nil {
		return 0, nil, fmt.Errorf("%s %s: %d %q: %w", method, path, status, data, err)
	}
	return status, out, nil
}

func (s *site) fetch(ctx context.Context, method, path string, body any) (int, []byte, error) {
	base, _, ok := s.up(ctx)
	if !ok {
		return 0, nil, ctx.Err()
	}
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, reader)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, data, err
}

// get wants an answer, after all crashes.
func (s *site) get(path string) object {
	s.t.Helper()
	status, out, err := s.call(s.t.Context(), "GET", path, nil)
	require.NoError(s.t, err)
	require.Equal(s.t, 200, status, "%s: %v", path, out)
	return out
}

// download wants bytes, after all crashes.
func (s *site) download(path string) []byte {
	s.t.Helper()
	status, data, err := s.fetch(s.t.Context(), "GET", path, nil)
	require.NoError(s.t, err)
	require.Equal(s.t, 200, status, path)
	return data
}

// blobs counts the files in the folder of large bodies.
func (s *site) blobs() (n int) {
	_ = filepath.WalkDir(filepath.Join(s.data, "blobs"), func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}
