//go:build unix

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// imapMails is how many mails TestMailByIMAPArrivesOnceAndInOrder has. The issue's
// long form, which takes some minutes, is
//
//	go test -run MailByIMAPArrivesOnce -imap.mails=10000 -timeout 30m ./examples/contactcenter
var imapMails = flag.Int("imap.mails", 300, "mails of the test of receiving by IMAP")

// wire is the network between the program and the mail server. It can be cut.
type wire struct {
	to string
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	left  int // bytes until it is cut; below 0: never
	cuts  int
}

func newWire(t *testing.T, to string) *wire {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{to: to, ln: ln, conns: map[net.Conn]bool{}, left: -1}
	w.wg.Go(w.serve)
	t.Cleanup(func() {
		ln.Close()
		w.hangUp()
		w.wg.Wait()
	})
	return w
}

func (w *wire) port() int { return w.ln.Addr().(*net.TCPAddr).Port }

func (w *wire) serve() {
	for {
		near, err := w.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.conns[near], w.conns[far] = true, true
		w.mu.Unlock()
		end := func() {
			near.Close()
			far.Close()
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.conns, near)
			delete(w.conns, far)
		}
		w.wg.Go(func() { _, _ = io.Copy(far, near); end() })
		w.wg.Go(func() { _, _ = io.Copy(near, metered{far, w}); end() })
	}
}

// metered is what comes from the server, up to the cut.
type metered struct {
	io.Reader
	w *wire
}

func (m metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.left < 0 {
		return n, err
	}
	if n < m.w.left {
		m.w.left -= n
		return n, err
	}
	n, m.w.left = m.w.left, -1
	m.w.cuts++
	return n, io.EOF
}

// cutAfter cuts the connection that carries the byte after n more.
func (w *wire) cutAfter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = n
}

func (w *wire) wasCut() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts
}

func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

// extra reports whether a mail is one that the other client may delete before it came.
func extra(n int) bool { return n%50 == 49 }

// siegeMail is mail number n, of a kilobyte to two megabytes.
func siegeMail(n int, rnd *rand.Rand) []byte {
	lines := 10 + rnd.IntN(100)
	switch {
	case n%1000 == 500:
		lines = 25_000
	case n%97 == 50:
		lines = 4000
	}
	return fmt.Appendf(nil, "From: Mai <mai%d@khach.example>\r\nTo: help@shop.example\r\nSubject: letter %d\r\nMessage-ID: <letter%d@khach.example>\r\n"+
		"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\n%s", n, n, n, strings.Repeat(fmt.Sprintf("a line of the letter that has the number %d, as long as others\r\n", n), lines))
}

// TestMailByIMAPArrivesOnceAndInOrder reads a mailbox of a Dovecot while the
// connection breaks, the server renumbers the mails, the program is killed, and
// another client marks, moves, brings back and deletes. Of what it never deleted each mail
// is one ticket, oldest first.
func TestMailByIMAPArrivesOnceAndInOrder(t *testing.T) {
	t.Parallel()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	t.Logf("-crash.seed=%d", seed)
	mails := *imapMails
	dovecot := emailtest.StartDovecot(t, emailtest.DovecotOptions{User: "help@shop.example", Password: "geheim"})
	w := newWire(t, dovecot.Addr())
	began := time.Now().Add(-30 * 24 * time.Hour)
	for n := range mails {
		dovecot.Put(t, "INBOX", siegeMail(n, rnd), began.Add(time.Duration(n)*time.Second))
	}
	s := openSite(t, seed)
	ca := filepath.Join(s.home, "ca.pem")
	require.NoError(t, os.WriteFile(ca, dovecot.CA().PEM(), 0o600))
	s.env = []string{"SSL_CERT_FILE=" + ca}
	s.kill(true)
	s.launch()
	s.awaitReady()
	start := time.Now()
	status, out, err := s.call(t.Context(), "POST", "/api/channels", object{"kind": "email.account", "name": "Cửa hàng", "settings": object{"queue": "support"}, "config": object{
		"address": "thu@shop.example", "username": "help@shop.example", "password": "geheim", "smtp": object{"host": s.shop.Host(), "port": s.shop.Port(), "security": "none"},
		"imap": object{"host": "127.0.0.1", "port": w.port(), "security": "tls", "first_sync": "all"},
	}})
	require.NoError(t, err)
	require.Equal(t, 201, status, out)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	other := &otherClient{dovecot: dovecot, rnd: rand.New(rand.NewPCG(seed, 2)), arrived: s.letters}
	var busy sync.WaitGroup
	busy.Go(func() { other.run(ctx) })
	defer busy.Wait()
	defer stop()

	cuts, renumbers, kills := max(3, mails/200), max(1, min(3, mails/600)), max(1, min(4, mails/2500))
	faults := slices.Concat(slices.Repeat([]string{"cut"}, cuts), slices.Repeat([]string{"renumber"}, renumbers), slices.Repeat([]string{"kill"}, kills))
	rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for i, fault := range faults {
		s.awaitLetters(mails * (i + 1) / (len(faults) + 2))
		switch fault {
		case "cut":
			before := w.wasCut()
			w.cutAfter(rnd.IntN(100_000))
			require.Eventually(t, func() bool { return w.wasCut() > before || s.letters() >= mails-mails/50 }, time.Minute, 5*time.Millisecond)
		case "renumber":
			other.mu.Lock()
			dovecot.Renumber("INBOX")
			other.mu.Unlock()
		case "kill":
			s.kill(true)
			s.launch()
			s.awaitReady()
		}
	}
	s.awaitLetters(mails - mails/50)
	took := time.Since(start)
	stop()
	busy.Wait()
	// What comes last says that all before it has come.
	dovecot.Put(t, "INBOX", siegeMail(mails, rnd), time.Now())
	last := fmt.Sprint("letter ", mails)
	require.Eventually(t, func() bool {
		page := s.get("/api/tickets?q=" + strconv.Itoa(mails))
		list, _ := page["tickets"].([]any)
		return slices.ContainsFunc(list, func(o any) bool { return text(o.(object), "subject") == last })
	}, 2*time.Minute, 50*time.Millisecond)
	s.checkLetters(mails)
	ledger := s.get("/api/ledger")
	t.Logf("%d mails in %v; %d disconnections, %d renumberings, %d kills; the other client marked %d, moved %d, brought back %d, deleted %d, %d of them early; %d duplicates",
		mails, took.Round(time.Millisecond), w.wasCut(), renumbers, kills, other.marked, other.moved, other.back, other.deleted, other.early, number(ledger, "duplicates"))
	require.Positive(t, other.moved)
	require.Positive(t, other.deleted)
	require.Positive(t, number(ledger, "duplicates"), "what was renumbered came again")
}

// letters counts the messages so far.
func (s *site) letters() int {
	db := s.open("ro")
	defer db.Close()
	n := 0
	_ = db.QueryRow("SELECT count(*) FROM messages").Scan(&n)
	return n
}

func (s *site) awaitLetters(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.letters() >= n }, 3*time.Minute, 20*time.Millisecond, "%d of %d came", s.letters(), n)
}

// checkLetters wants a ticket for each mail, numbered as they were.
func (s *site) checkLetters(last int) {
	s.t.Helper()
	tickets := s.pages("/api/tickets", "tickets")
	slices.SortFunc(tickets, func(a, b object) int { return number(a, "number") - number(b, "number") })
	seen := make([]bool, last+1)
	highest := -1
	for _, o := range tickets {
		n, err := strconv.Atoi(strings.TrimPrefix(text(o, "subject"), "letter "))
		require.NoError(s.t, err, text(o, "subject"))
		require.False(s.t, seen[n], "letter %d is two tickets", n)
		require.Greater(s.t, n, highest, "letter %d came after letter %d", n, highest)
		seen[n], highest = true, n
	}
	for n, ok := range seen {
		require.True(s.t, ok || extra(n), "letter %d is lost", n)
	}
}
