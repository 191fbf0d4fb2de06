package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

var allFaults = flag.Bool("faults", false, "TestASendIsNeverDoubled plays every combination of faults, and not only some")

const mailboxAddress = "help@shop.test"

// errCut is what a desk hears from a store that it was cut off from.
var errCut = errors.New("cut off from the store")

// cuttable is a store that a desk can be cut off from for ever, as by a crash.
type cuttable struct {
	ticket.Store
	left *atomic.Int64 // operations until then; far below 0: never
}

func (c cuttable) check() error {
	if n := c.left.Add(-1); n <= 0 && n > -1<<40 {
		return errCut
	}
	return nil
}

func (c cuttable) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.Store.Snapshot(ctx, w)
}

func (c cuttable) Commit(ctx context.Context, ch *ticket.Changes) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := c.Store.Commit(ctx, ch); err != nil {
		return err
	}
	return c.check() // it may be the answer that is lost
}

func (c cuttable) Claim(ctx context.Context, cl ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if err := c.check(); err != nil {
		return nil, time.Time{}, err
	}
	return c.Store.Claim(ctx, cl)
}

// sender is a portal whose desk dies and comes again, with one account.
type sender struct {
	t     *testing.T
	store ticket.Store
	out   smtpServer
	in    *emailtest.IMAP
	conf  account.Account
	ahead atomic.Int64 // by which its clock is ahead, in nanoseconds

	desk    *ticket.Desk
	left    *atomic.Int64
	stop    func()
	channel channel.ID
	crashes int
}

// smtpServer is where an account submits, and what arrived behind it.
type smtpServer interface {
	Host() string
	Port() int
	arrived() []*emailtest.Message
}

type fakeSMTP struct{ *emailtest.SMTP }

func (f fakeSMTP) arrived() []*emailtest.Message { return f.Messages() }

func newSender(t *testing.T, out smtpServer, in *emailtest.IMAP, sent string) *sender {
	s := &sender{t: t, store: memstore.New().Portal("main"), out: out, in: in}
	s.conf = account.Account{
		Address: mailboxAddress, Auth: account.AuthNone,
		SMTP: account.Server{Host: out.Host(), Port: out.Port(), Security: account.None},
		IMAP: &account.IMAP{Server: account.Server{Host: in.Host(), Port: in.Port(), Security: account.TLS}, Sent: sent},
	}
	s.open()
	ctx := t.Context()
	require.NoError(t, s.desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}))
	require.NoError(t, s.desk.PutQueue(ctx, routing.Queue{ID: "q", Name: "Q", Agents: []routing.AgentID{"an"}}))
	ch, err := s.desk.Connect(ctx, s.conf, ticket.Settings{Queue: "q"})
	require.NoError(t, err)
	s.channel = ch.ID
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *sender) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// open starts the desk on the same store.
func (s *sender) open() {
	left := &atomic.Int64{}
	left.Store(-1 << 50)
	desk, err := ticket.New(ticket.Config{
		Store: cuttable{s.store, left}, Node: s.node(), Now: s.now, Log: slog.New(slog.DiscardHandler),
		Connectors: []channel.Connector{account.Connector{
			TLS:       s.in.ClientTLS(),
			Timeouts:  account.Timeouts{Final: 300 * time.Millisecond, Find: 300 * time.Millisecond, Command: 5 * time.Second},
			Receiving: account.Receiving{Command: 500 * time.Millisecond, Fetch: 500 * time.Millisecond, RetryMin: time.Second},
		}},
		Timing: ticket.Timing{Poll: 5 * time.Millisecond, Refresh: 10 * time.Millisecond, Copy: -1, Drain: time.Second, RetryMin: time.Second},
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	s.desk, s.left = desk, left
	s.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// hurry moves the clock to where something is to be done for a message: to the
// next try, or to the end of a lease that a desk had when it died. Leases of this
// desk's own do not run out. It returns the message as it is.
func (s *sender) hurry(m *ticket.Message) *ticket.Message {
	ids := []ticket.WorkID{ticket.WorkID("send-" + m.ID), ticket.WorkID("copy-" + m.ID)}
	snap, err := s.store.Snapshot(s.t.Context(), ticket.Want{Messages: []ticket.MessageID{m.ID}, Works: ids})
	require.NoError(s.t, err)
	for _, w := range snap.Works {
		to := w.NotBefore
		if w.Owner != "" {
			if to = w.LeaseUntil; w.Owner == s.node() {
				continue
			}
		}
		if ahead := to.Sub(s.now()); ahead > 0 {
			s.ahead.Add(int64(ahead))
		}
	}
	return snap.Messages[m.ID]
}

func (s *sender) node() string { return fmt.Sprint("node", s.crashes) }

// crash cuts the desk off its store, if that has not happened, and starts another.
func (s *sender) crash() {
	s.left.Store(0)
	s.stop()
	s.crashes++
	s.open()
}

// round is one combination of what goes wrong while one message is sent.
type round struct {
	smtp, imap emailtest.Fault
	crashAfter int64 // operations on the store; 0: no crash
	restart    bool
}

// play sends a message to two recipients while the round's faults strike, and
// waits for what becomes of it.
func (s *sender) play(n int, r round, arm func(emailtest.Fault)) *ticket.Message {
	t := s.t
	if r.smtp.At != "" {
		arm(r.smtp)
	}
	if r.imap.At != "" {
		s.in.Fault(r.imap)
	}
	at := s.now().Add(10 * time.Millisecond)
	o, err := s.desk.Start(t.Context(), ticket.Opening{
		By: "an", Channel: s.channel, Subject: subjectOf(n), Text: "Xin chào", Send: true, SendAt: at,
		To: []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}},
	})
	require.NoError(t, err)
	if r.crashAfter > 0 {
		s.left.Store(r.crashAfter)
	}
	crashed := false
	var m *ticket.Message
	require.Eventually(t, func() bool {
		m = s.hurry(o.Message)
		switch {
		case r.crashAfter > 0 && !crashed && s.left.Load() <= 0, r.restart && !crashed && m.State == ticket.StateSending:
			s.crash()
			crashed = true
		}
		return m.State != ticket.StatePending && m.State != ticket.StateSending
	}, 2*time.Minute, 5*time.Millisecond, "%+v", r)
	s.left.Store(-1 << 50)
	s.in.Heal()
	return m
}

func subjectOf(n int) string { return fmt.Sprintf("message number %d.", n) }

// judge holds what the desk says of a message against the recipients' mailboxes
// and the Sent folder.
func (s *sender) judge(n int, m *ticket.Message, r round) {
	t := s.t
	count, submissions := map[string]int{}, 0
	for _, got := range s.out.arrived() {
		if strings.Contains(string(got.Raw), subjectOf(n)) {
			submissions++
			for _, to := range got.To {
				count[to]++
			}
		}
	}
	for _, d := range m.Deliveries {
		where := fmt.Sprintf("message %d to %s, %s (%s); %+v", n, d.Recipient, d.State, m.State, r)
		require.LessOrEqual(t, count[d.Recipient], 1, "two copies: %s", where)
		switch {
		case d.State == channel.DeliverySent:
			require.Equal(t, 1, count[d.Recipient], "lost silently: %s", where)
		case m.State == ticket.StateUncertain:
			require.Equal(t, channel.DeliveryPending, d.State, where)
		default:
			t.Errorf("neither sent nor uncertain: %s", where)
		}
	}
	if m.State != ticket.StateSent {
		return
	}
	copies := func() int {
		k := 0
		for _, got := range s.in.Mails("Sent") {
			if strings.Contains(string(got.Raw), subjectOf(n)) {
				k++
			}
		}
		return k
	}
	require.Eventually(t, func() bool {
		s.hurry(m)
		return copies() > 0
	}, time.Minute, 5*time.Millisecond, "no copy: %+v", r)
	most := 1
	if s.conf.IMAP.Sent == "server" {
		most = submissions // that is the provider's business
	}
	require.LessOrEqual(t, copies(), most, "copies in Sent; %+v", r)
}

// rounds are all combinations of a fault of sending, a fault of the mailbox and
// a crash.
func rounds() []round {
	drop := func(at emailtest.Point) emailtest.Fault { return emailtest.Fault{At: at, Drop: true, Times: 1} }
	say := func(at emailtest.Point, reply string) emailtest.Fault {
		return emailtest.Fault{At: at, Reply: reply, Times: 1}
	}
	second := say(emailtest.AtRcpt, "452 4.2.2 full")
	second.Recipient = "b@c.example"
	sending := []emailtest.Fault{
		drop(emailtest.AtConnect), say(emailtest.AtConnect, "421 4.3.0 later"), drop(emailtest.AtHello), drop(emailtest.AtMail),
		say(emailtest.AtMail, "451 4.3.0 later"), drop(emailtest.AtRcpt), say(emailtest.AtRcpt, "450 4.2.0 later"), second,
		drop(emailtest.AtData), say(emailtest.AtData, "451 4.3.0 later"),
		{At: emailtest.AtBody, Drop: true, Bytes: 200, Times: 1},
		drop(emailtest.AtDot), say(emailtest.AtDot, "451 4.3.0 later"), {At: emailtest.AtDot, Hang: true, Times: 1},
		drop(emailtest.AtAnswer), {At: emailtest.AtAnswer, Hang: true, Times: 1}, drop(emailtest.AtQuit), {},
	}
	mailbox := []emailtest.Fault{
		{}, drop(emailtest.AtStored), {At: emailtest.AtSearch, Drop: true, Times: 2}, say(emailtest.AtAppend, "NO [OVERQUOTA] full"),
	}
	var out []round
	for i, a := range sending {
		for j, b := range mailbox {
			out = append(out, round{a, b, 0, false}, round{a, b, 0, true}, round{a, b, int64(1 + (7*i+3*j)%24), false})
		}
	}
	return out
}

// Every step of sending fails, and of keeping the copy, with the answer lost after
// the final dot, and with crashes: there never are two copies in a recipient's
// mailbox or in Sent, and what is not known to be sent is not called so.
func TestASendIsNeverDoubled(t *testing.T) {
	t.Parallel()
	var faults, sent, uncertain, found atomic.Int64
	t.Run("all", func(t *testing.T) {
		for _, mode := range []string{"append", "server"} {
			for part := range 4 {
				t.Run(fmt.Sprint(mode, part), func(t *testing.T) {
					t.Parallel()
					in := emailtest.NewIMAP(t, emailtest.IMAPWithTLS())
					var opts []emailtest.SMTPOption
					if mode == "server" {
						opts = append(opts, emailtest.WithSentFolder(in, "Sent"))
					}
					out := emailtest.NewSMTP(t, opts...)
					s := newSender(t, fakeSMTP{out}, in, mode)
					for n, r := range rounds() {
						if n%4 != part || !*allFaults && n/4%10 != 2 {
							continue
						}
						m := s.play(n, r, out.Fault)
						out.Heal()
						s.judge(n, m, r)
						if m.State == ticket.StateSent {
							sent.Add(1)
						} else {
							uncertain.Add(1)
						}
						if strings.Contains(m.StateDetail, "found in the folder") {
							found.Add(1)
						}
					}
					faults.Add(int64(out.Struck() + in.Struck() + s.crashes))
				})
			}
		}
	})
	t.Logf("%d faults: %d messages sent, %d of them found in Sent, %d uncertain", faults.Load(), sent.Load(), found.Load(), uncertain.Load())
	require.Positive(t, sent.Load())
	require.Positive(t, found.Load())
	if *allFaults {
		require.GreaterOrEqual(t, faults.Load(), int64(500))
	}
}
