package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const (
	demoPassword = "anteroom-demo"
	demoUndo     = 2 * time.Second
	demoSettle   = 12 * time.Second // longest wait for the last answers
)

// demo is a morning of a small shop. The host is the real one; its customers,
// their mail servers, the shop's own provider and a Facebook run on this machine and
// talk SMTP and HTTP with it. The agents are played too.
type demo struct {
	desk  *ticket.Desk
	store ticket.Store
	post  *postOffice
	page  *shopPage
	table *table

	pace float64 // of all pauses

	support, sales, help *ticket.Channel
	pageChannel          *ticket.Channel
	people               map[string]*customer // by address

	mu      sync.Mutex
	busy    int // answers that are being thought about
	playing sync.WaitGroup
}

// runDemo acts out the morning, says what it came to, and goes on serving the
// pages until ctx ends, if somebody watches.
func runDemo(ctx context.Context, opts options, log *slog.Logger, stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "anteroom-demo-")
	if err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	post, err := openPostOffice()
	if err != nil {
		return err
	}
	defer post.close()
	page, err := openPage(ctx, &opts)
	if err != nil {
		return err
	}
	defer page.close()
	opts.data, opts.store, opts.blobs, opts.config = dir, "memory:", "", ""
	opts.undo, opts.relay = time.Duration(float64(demoUndo)*opts.demoPace), post.relay.Addr()
	opts.http, opts.smtp = freeAddress(ctx, opts.http), freeAddress(ctx, opts.smtp)
	h, err := openHost(ctx, opts, log)
	if err != nil {
		return err
	}
	d := &demo{desk: h.desk, store: h.store, post: post, page: page, table: newTable(stdout, h.desk), pace: opts.demoPace}
	h.server.pages.hint = "This is a demonstration: sign in as an, binh or carla with the password " + demoPassword + "."
	if err := d.setUp(ctx, opts.domain, h); err != nil {
		h.close()
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return h.serve(ctx, func() error {
		if err := h.sayReady(stdout); err != nil {
			return err
		}
		h.server.background.Go(func() {
			d.act(ctx, h.baseURL())
			if opts.demoExit || ctx.Err() != nil {
				stop()
				return
			}
			d.table.sayf("The pages stay up at %s until you press Ctrl-C. Sign in as an, binh or carla; the password is %s.", h.baseURL(), demoPassword)
		})
		return nil
	})
}

// freeAddress is addr, or a port that is free if that one is taken.
func freeAddress(ctx context.Context, addr string) string {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		name, _, _ := net.SplitHostPort(addr)
		return net.JoinHostPort(name, "0")
	}
	_ = l.Close()
	return addr
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// setUp makes agents, queues and channels, as an admin would.
func (d *demo) setUp(ctx context.Context, domain string, h *host) error {
	for _, a := range []routing.Agent{
		{ID: "an", Name: "Nguyễn Thị An", Email: "an@" + shopDomain},
		{ID: "binh", Name: "Trần Văn Bình", Email: "binh@" + shopDomain},
		{ID: "carla", Name: "Carla Souza", Email: "carla@" + shopDomain},
	} {
		if err := d.desk.PutAgent(ctx, a); err != nil {
			return err
		}
		if err := h.server.logins.set(ctx, a.ID, demoPassword); err != nil {
			return err
		}
	}
	for _, q := range []routing.Queue{
		{ID: "support", Name: "Hỗ trợ", Agents: []routing.AgentID{"an", "binh"}, PreferOnline: true},
		{ID: "sales", Name: "Vendas", Agents: []routing.AgentID{"carla"}, PreferOnline: true, WhenNoneOnline: routing.Wait},
	} {
		if err := d.desk.PutQueue(ctx, q); err != nil {
			return err
		}
	}
	var err error
	d.support, err = d.desk.Connect(ctx, hosted.Mailbox{LocalPart: "support", Name: "Hỗ trợ khách hàng"}, ticket.Settings{
		Queue: "support", PreferOnline: true, AutoReply: ticket.AutoReply{On: true, Subject: "[#{{ticket.number}}] {{subject}}",
			Body: "Chào {{customer.name}},\n\nChúng tôi đã nhận được thư của bạn. / We have your mail.\n"},
	})
	if err != nil {
		return err
	}
	d.sales, err = d.desk.Connect(ctx, hosted.Mailbox{LocalPart: "vendas", Name: "Vendas"}, ticket.Settings{Queue: "sales", PreferOnline: true})
	if err != nil {
		return err
	}
	d.help, err = d.desk.Connect(ctx, account.Account{
		Address: shopAddress, Name: "Vinashop", Password: shopPassword, ForwardedTo: d.support.ID,
		SMTP: account.Server{Host: d.post.submission.Host(), Port: d.post.submission.Port(), Security: account.None},
	}, ticket.Settings{Signatures: ticket.Signatures{CommonOn: true, Common: channel.Signature{Text: "Vinashop · " + shopAddress}}})
	if err != nil {
		return err
	}
	d.post.forwardTo(d.help.ForwardAddress)
	d.post.add(domain, h.smtpL.Addr().String())
	if err := d.invite(); err != nil {
		return err
	}
	return d.connectPage(ctx)
}

// act is the morning: the script, the agents and the table play at once.
func (d *demo) act(ctx context.Context, baseURL string) {
	ctx, stop := context.WithCancel(ctx)
	defer d.playing.Wait()
	defer stop()
	d.table.begin()
	d.playing.Go(func() { d.watch(ctx) })
	d.post.run(ctx, &d.playing, d.arrived)
	d.playPage(ctx, baseURL+"/webhooks/facebook")
	d.script(ctx)
	d.settle(ctx)
	d.summary(ctx)
}

// think runs f after a while, and counts as going on until it is done.
func (d *demo) think(ctx context.Context, after time.Duration, f func()) {
	d.mu.Lock()
	d.busy++
	d.mu.Unlock()
	d.playing.Go(func() {
		if d.pause(ctx, after) {
			f()
		}
		d.mu.Lock()
		d.busy--
		d.mu.Unlock()
	})
}

// settle waits until nobody thinks, nothing waits to be sent, and what Facebook
// told is understood.
func (d *demo) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, demoSettle)
	defer cancel()
	quiet := 0
	for quiet < 8 && pause(ctx, 100*time.Millisecond) {
		d.mu.Lock()
		busy := d.busy
		d.mu.Unlock()
		sent, err := d.outgoing(ctx)
		ledger, lerr := d.desk.Ledger(ctx, "", time.Time{})
		if err != nil || lerr != nil || busy > 0 || sent[ticket.StatePending]+sent[ticket.StateSending] > 0 || ledger.Waiting > 0 || d.page.fb.Pending() > 0 {
			quiet = 0
			continue
		}
		quiet++
	}
}

// pause waits at the demo's pace.
func (d *demo) pause(ctx context.Context, after time.Duration) bool {
	return pause(ctx, time.Duration(float64(after)*d.pace))
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
