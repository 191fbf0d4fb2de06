package pgstore

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// stall is a way to the server that can be made to pass on nothing, without
// ending a connection.
type stall struct {
	url string

	mu      sync.Mutex
	stalled chan struct{} // while it is stalled; closed at the end of the test
	on      bool
	waiting int
}

func newStall(t *testing.T, at string) *stall {
	t.Helper()
	u, err := url.Parse(at)
	require.NoError(t, err)
	server := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = l.Addr().String()
	s := &stall{url: u.String(), stalled: make(chan struct{})}
	var open sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		close(s.stalled)
		open.Wait()
	})
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				open.Go(func() {
					defer way[0].Close()
					defer way[1].Close()
					_, _ = io.Copy(&gate{s, way[1]}, way[0])
				})
			}
		}
	})
	return s
}

func (s *stall) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
}

// heal lets pass what comes from now on. What was held stays so.
func (s *stall) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
}

// held returns how many writes are stopped.
func (s *stall) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

type gate struct {
	s *stall
	w io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	g.s.mu.Lock()
	on := g.s.on
	if on {
		g.s.waiting++
	}
	g.s.mu.Unlock()
	if on {
		<-g.s.stalled
		return 0, io.ErrClosedPipe
	}
	return g.w.Write(p)
}
