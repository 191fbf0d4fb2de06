package hosted

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
)

// Server receives mail for the hosted mailboxes of any number of portals, by
// SMTP and LMTP. It is the [channel.Connector] of the mailboxes, and the host
// runs it. The zero value with Domain set works. Fields must not be changed once
// the server is in use, and it must not be copied.
type Server struct {
	// Domain is the mail domain of the portals that Domains does not name.
	Domain string
	// Domains gives portals a mail domain each.
	Domains map[string]string
	// Hostname is the server's own name, in the greeting and for certificates
	// where the peer names no host. Default Domain.
	Hostname string
	// Addr is where ListenAndServe listens. Default ":25".
	Addr string
	// TLS makes the server offer STARTTLS, with TLS 1.2 at least. For
	// certificates that change, set GetCertificate, which is asked at each
	// handshake. STARTTLS is never required (RFC 3207 section 4).
	TLS *tls.Config
	// Limits bounds what peers can use.
	Limits Limits
	// SpoolDir is where large mails are while they are received, if their sink
	// does not keep them itself (channel.BodyKeeper). Default os.TempDir.
	SpoolDir string
	// RefuseBareNewlines refuses a message with CR or LF alone (RFC 5321
	// section 2.3.8), which broken software sends and attackers use against
	// servers behind this one. By default it is taken as it is.
	RefuseBareNewlines bool
	// Log is told what happens, without addresses or contents of mails. Nil
	// discards.
	Log *slog.Logger
	// Now is the clock for what is recorded. Default time.Now. Network
	// timing goes by the system's clock.
	Now func() time.Time

	limitsOnce sync.Once
	bounds     Limits
	spooled    atomic.Int64
	parsing    budget

	refreshOnce  sync.Once
	refreshSlots chan struct{}

	mu            sync.RWMutex
	registrations map[account]*registration
	addresses     map[string]claim
	attachments   map[*attachment]struct{}
	serving       int
}

// ListenAndServe listens on Addr and serves SMTP until ctx ends. See
// [Server.Serve].
func (s *Server) ListenAndServe(ctx context.Context) error {
	addr := s.Addr
	if addr == "" {
		addr = ":25"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("hosted: listen: %w", err)
	}
	return s.Serve(ctx, l)
}

// Serve serves SMTP on l until ctx ends, and closes l. Then idle connections end
// at once, transactions have Limits.Grace to finish, and what is left is closed:
// nil is returned when no connection and no goroutine is left. A transaction that
// is cut off was not acknowledged. Any other error is one of accepting.
//
// Serve may run on several listeners at a time.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, false)
}

// ServeLMTP is Serve for LMTP (RFC 2033), behind a mail server of one's own: each
// recipient has an answer of its own, and the limits that are about strangers do
// not apply. The listener must not be reachable by others.
func (s *Server) ServeLMTP(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, true)
}

func (s *Server) serve(ctx context.Context, l net.Listener, lmtp bool) error {
	r := newRun(ctx, s, lmtp)
	defer r.cancel()
	srv := r.smtpServer()
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(&listener{Listener: l, run: r}) }()
	s.setServing(1)
	defer s.setServing(-1)
	s.log().Info("hosted: listening", "addr", l.Addr().String(), "protocol", r.transport())

	var err error
	select {
	case <-ctx.Done():
		l.Close()
		<-failed //nolint:errcheck // it says that l was closed, here
	case err = <-failed:
		l.Close()
		if ctx.Err() == nil {
			err = fmt.Errorf("hosted: accept: %w", err)
		} else {
			err = nil
		}
	}
	r.drain()
	// Every connection is closed: this waits for their goroutines.
	_ = srv.Shutdown(context.Background())
	r.deliveriesOver()
	return err
}

func (r *run) smtpServer() *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(r.newSession))
	srv.LMTP = r.lmtp
	srv.Domain = r.server.hostname()
	srv.TLSConfig = r.tls // to be offered; conn does it
	srv.MaxRecipients = r.limits.Recipients
	srv.MaxMessageBytes = r.limits.MessageBytes
	srv.MaxLineLength = 0 // conn measures lines; go-smtp would those of refused chunks too
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = libraryLog{r.server.log()}
	return srv
}

// setServing counts the listeners and tells the mailboxes when the first comes
// and the last goes.
func (s *Server) setServing(by int) {
	s.mu.Lock()
	before := s.serving > 0
	s.serving += by
	after := s.serving > 0
	var boxes []*box
	if before != after {
		for _, reg := range s.registrations {
			for _, b := range reg.boxes {
				if b.sink != nil {
					boxes = append(boxes, b)
				}
			}
		}
	}
	s.mu.Unlock()
	for _, b := range boxes {
		b.report(after)
	}
}

func (s *Server) listening() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.serving > 0
}

func (s *Server) limits() *Limits {
	s.limitsOnce.Do(func() {
		s.bounds = s.Limits.withDefaults()
		s.parsing.all = s.bounds.ParseBytes
	})
	return &s.bounds
}

func (s *Server) hostname() string {
	if s.Hostname != "" {
		return s.Hostname
	}
	if s.Domain != "" {
		return s.Domain
	}
	return "localhost"
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

// seen tells a mailbox's status that mail came.
func (s *Server) seen(b *box) {
	b.env.Report(channel.Status{State: channel.StateLive, LastSeen: s.now()})
}

// libraryLog takes what go-smtp has to say: broken connections, and panics.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, v ...any) {
	l.log.Debug("hosted: connection failed", "error", fmt.Sprintf(format, v...))
}

func (l libraryLog) Println(v ...any) {
	l.log.Debug("hosted: connection failed", "error", fmt.Sprint(v...))
}
