package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

// drainTime is how long requests and sends under way get at the end.
const drainTime = 10 * time.Second

// host is everything that runs.
type host struct {
	opts    options
	log     *slog.Logger
	token   string
	backend ticket.Backend
	store   ticket.Store
	desk    *ticket.Desk
	mx      *hosted.Server
	server  *server
	// facebook is nil if no app is configured.
	facebook *facebook.App

	certs                    *certificates // nil without TLS
	httpL, smtpL, lmtpListen net.Listener  // lmtpListen is nil when off
}

// openHost opens the store, makes the engine and listens. Nothing runs yet; if
// it fails, nothing stays open.
func openHost(ctx context.Context, opts options, log *slog.Logger) (*host, error) {
	h := &host{opts: opts, log: log}
	if err := h.open(ctx); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *host) open(ctx context.Context) error {
	opts, log := h.opts, h.log
	if err := os.MkdirAll(opts.data, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	key, err := loadKey(opts.key, opts.data)
	if err != nil {
		return err
	}
	if h.token, err = loadToken(opts.token, opts.data); err != nil {
		return err
	}
	if opts.tlsCert != "" {
		if h.certs, err = openCertificates(opts.tlsCert, opts.tlsKey, log); err != nil {
			return err
		}
	}
	backend, blobs, err := openStore(ctx, opts)
	if err != nil {
		return err
	}
	h.backend, h.store = backend, backend.Portal(opts.portal)
	h.mx = &hosted.Server{Domain: opts.domain, Limits: peerLimits(opts.smtp), Log: log}
	if h.certs != nil {
		h.mx.TLS = h.certs.config()
	}
	cfg := ticket.Config{
		Store: h.store, Blobs: blobs, Key: key, Portal: opts.portal, Node: opts.node, Log: log, Undo: opts.undo,
		Connectors: []channel.Connector{h.mx, account.Connector{}},
		Timing:     ticket.Timing{Drain: drainTime, Lease: opts.lease},
	}
	if scheme, _, _ := strings.Cut(opts.store, ":"); isPostgres(scheme) {
		// What other processes change is told by notifications; this is for when
		// those do not come through.
		cfg.Timing.Refresh = time.Second
	}
	if opts.undo == 0 {
		cfg.Undo = -1 // none; 0 would be the default
	}
	if h.facebook = newFacebook(opts); h.facebook != nil {
		h.facebook.Log = log
		cfg.Connectors = append(cfg.Connectors, h.facebook)
	}
	if opts.relay != "" {
		cfg.System = account.NewRelay(opts.relay, account.RelayOptions{Domain: opts.domain})
	} else {
		log.Info("without -relay the automatic replies of mailboxes that only receive wait, and agents are not told by mail")
	}
	if opts.engine != nil {
		opts.engine(&cfg)
	}
	h.desk, err = ticket.New(cfg)
	if errors.Is(err, ticket.ErrWrongKey) {
		return errors.New("the key (ANTEROOM_KEY, or the file in -data) is not the one that sealed this store's secrets")
	}
	if errors.Is(err, ticket.ErrRetired) {
		return errors.New("the portal has moved away; -reinstate if it has not")
	}
	if err != nil {
		return err
	}
	if h.server, err = newServer(h, key); err != nil {
		return err
	}
	if opts.config != "" {
		if err := ensureConfig(ctx, h.desk, h.server.logins, opts); err != nil {
			return err
		}
	}
	return h.listen(ctx)
}

// peerLimits are those of strangers on the Internet, except where the mail
// server can only be reached from this machine: there the peers are programs
// of ours, such as a mail server in front, and not to be held back.
func peerLimits(addr string) hosted.Limits {
	name, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(name); name != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return hosted.Limits{Grace: drainTime}
	}
	return hosted.Limits{Grace: drainTime, ConnectionsPerIP: -1, ConnectionRate: -1, Pregreet: -1, Unknown: -1, UnknownDelay: -1,
		RefreshEvery: 50 * time.Millisecond}
}

func (h *host) listen(ctx context.Context) error {
	var lc net.ListenConfig
	for _, l := range []struct {
		what, addr string
		to         *net.Listener
	}{{"http", h.opts.http, &h.httpL}, {"smtp", h.opts.smtp, &h.smtpL}, {"lmtp", h.opts.lmtp, &h.lmtpListen}} {
		if l.addr == "" {
			continue
		}
		listener, err := lc.Listen(ctx, "tcp", l.addr)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", l.what, err)
		}
		*l.to = listener
	}
	return nil
}

func (h *host) close() {
	for _, l := range []net.Listener{h.httpL, h.smtpL, h.lmtpListen} {
		if l != nil {
			_ = l.Close()
		}
	}
	if h.backend != nil {
		if err := h.backend.Close(); err != nil {
			h.log.Error("close store", slog.Any("error", err))
		}
	}
}

// baseURL is where the pages are.
func (h *host) baseURL() string {
	scheme := "http"
	if h.certs != nil {
		scheme = "https"
	}
	return scheme + "://" + h.httpL.Addr().String()
}

// sayReady prints the line that other programs wait for.
func (h *host) sayReady(w io.Writer) error {
	line := struct {
		Ready bool   `json:"ready"`
		HTTP  string `json:"http"`
		SMTP  string `json:"smtp"`
		Token string `json:"token"`
		LMTP  string `json:"lmtp,omitempty"`
	}{Ready: true, HTTP: h.baseURL(), SMTP: h.smtpL.Addr().String(), Token: h.token}
	if h.lmtpListen != nil {
		line.LMTP = h.lmtpListen.Addr().String()
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// serve runs everything until ctx ends or a part fails, calls ready once it
// serves, drains, and closes the store.
func (h *host) serve(ctx context.Context, ready func() error) error {
	defer h.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Streams of events would hold the HTTP server open: they end first.
	httpServer := &http.Server{
		Handler: h.server.handler(), BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	var running sync.WaitGroup
	part := func(name string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	// The engine outlives the listeners, so that what they have begun ends well.
	deskCtx, stopDesk := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDesk()
	deskDone := make(chan error, 1)
	go func() { deskDone <- h.desk.Run(deskCtx) }()

	part("smtp", func() error { return h.mx.Serve(ctx, h.smtpL) })
	if h.lmtpListen != nil {
		part("lmtp", func() error { return h.mx.ServeLMTP(ctx, h.lmtpListen) })
	}
	part("http", func() error {
		var err error
		if h.certs != nil {
			httpServer.TLSConfig = h.certs.config()
			err = httpServer.ServeTLS(h.httpL, "", "")
		} else {
			err = httpServer.Serve(h.httpL)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	h.awaitReceiving(ctx)
	if err := ready(); err != nil {
		cancel(fmt.Errorf("say ready: %w", err))
	}
	h.log.Info("ready", "http", h.baseURL(), "smtp", h.smtpL.Addr().String())

	<-ctx.Done()
	h.log.Info("draining")
	h.server.stopStreams()
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	if err := httpServer.Shutdown(grace); err != nil {
		_ = httpServer.Close()
	}
	running.Wait()
	h.server.background.Wait()
	stopDesk()
	err := <-deskDone
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// awaitReceiving waits a moment until the mailboxes take mail, so that nobody
// who was told that it is ready is told to come back later.
func (h *host) awaitReceiving(ctx context.Context) {
	channels, err := h.desk.Channels(ctx)
	if err != nil {
		return
	}
	for _, c := range channels {
		h.awaitMailbox(ctx, c.ID)
	}
}

func (h *host) awaitMailbox(ctx context.Context, id channel.ID) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := h.desk.Channel(ctx, id)
		if err != nil || c.Settings.Inactive || c.Kind != hosted.Kind && c.Kind != facebook.Kind ||
			c.Kind == facebook.Kind && c.Status.State != channel.StateConnecting {
			return
		}
		if c.Kind == facebook.Kind {
			if sleep(ctx, tick.C) != nil {
				return
			}
			continue
		}
		findings, err := h.desk.Check(ctx, id)
		if err != nil || slices.ContainsFunc(findings, takesMail) {
			return
		}
		if sleep(ctx, tick.C) != nil {
			return
		}
	}
}

// sleep waits for a tick, or the end of ctx.
func sleep(ctx context.Context, tick <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tick:
		return nil
	}
}

// takesMail is what a mailbox finds of itself when it takes mail.
func takesMail(f channel.Finding) bool {
	return f.Code == "mailbox" && f.Severity == channel.SeverityOK
}
