package hosted

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// run is one call of Serve: its connections and how they end.
type run struct {
	server *Server
	limits *Limits
	lmtp   bool
	tls    *tls.Config // nil: no STARTTLS
	gate   gate

	ctx    context.Context // the caller's
	work   context.Context // outlives ctx by the grace: for what is under way
	cancel context.CancelFunc

	deliveries sync.WaitGroup

	mu       sync.Mutex
	conns    map[*conn]struct{}
	stopping bool
	over     bool
	empty    chan struct{} // closed when stopping and no connection is left
}

func newRun(ctx context.Context, s *Server, lmtp bool) *run {
	r := &run{
		server: s, limits: s.limits(), lmtp: lmtp, tls: s.serverTLS(), ctx: ctx,
		conns: make(map[*conn]struct{}),
		empty: make(chan struct{}),
	}
	r.work, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.gate = gate{limits: r.limits, now: time.Now, local: lmtp}
	return r
}

func (r *run) transport() string {
	if r.lmtp {
		return "lmtp"
	}
	return "smtp"
}

// listener gives go-smtp wrapped connections, and only those that the gate
// admits.
type listener struct {
	net.Listener
	run *run
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.run.admit(raw); c != nil {
			return c, nil
		}
	}
}

func (r *run) admit(raw net.Conn) *conn {
	ip := remoteIP(raw.RemoteAddr())
	from := network(ip)
	if reason := r.gate.admit(from); reason != "" {
		r.server.log().Debug("hosted: connection refused", "remote", ip.String(), "reason", reason)
		raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(raw, "421 4.7.0 "+reason+"\r\n")
		raw.Close()
		return nil
	}
	pregreet := r.limits.Pregreet
	if r.lmtp {
		pregreet = 0
	}
	var c *conn
	c = newConn(raw, r.limits, r.tls, pregreet, func() {
		r.gate.leave(from)
		r.remove(c)
	})
	r.mu.Lock()
	stopping := r.stopping
	r.conns[c] = struct{}{}
	r.mu.Unlock()
	if stopping {
		_ = c.Close()
		return nil
	}
	return c
}

func (r *run) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	r.settle()
}

func (r *run) settle() {
	if !r.stopping || len(r.conns) > 0 {
		return
	}
	select {
	case <-r.empty:
	default:
		close(r.empty)
	}
}

// drain ends idle connections, lets transactions finish within the grace, and
// closes the rest. go-smtp's own Shutdown and Close leave connections open.
func (r *run) drain() {
	r.mu.Lock()
	r.stopping = true
	r.settle()
	for c := range r.conns {
		c.stop()
	}
	r.mu.Unlock()

	grace := time.NewTimer(max(r.limits.Grace, 0))
	defer grace.Stop()
	select {
	case <-r.empty:
		return
	case <-grace.C:
	}
	r.cancel()
	r.mu.Lock()
	left := make([]*conn, 0, len(r.conns))
	for c := range r.conns {
		left = append(left, c)
	}
	r.mu.Unlock()
	for _, c := range left {
		c.abort()
	}
}

// beginDelivery counts a message that is being taken in. It reports false when
// the run is over.
func (r *run) beginDelivery() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.deliveries.Add(1)
	return true
}

// deliveriesOver waits for messages that come in chunks: go-smtp takes those in
// by goroutines that it does not wait for.
func (r *run) deliveriesOver() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.deliveries.Wait()
}

// pause waits, for a peer that deserves it.
func (r *run) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}
