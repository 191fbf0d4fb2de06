package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mishap is what goes wrong on one connection to a mail server.
type mishap string

const (
	allWell       mishap = ""
	atGreeting    mishap = "reset before the greeting"
	atMail        mishap = "cut at MAIL"
	atRcpt        mishap = "cut at RCPT"
	atData        mishap = "cut at DATA"
	inContent     mishap = "reset within the content"
	inContentSlow mishap = "content stalls, then is cut"
	dotLost       mishap = "the final dot is lost"
	dotLate       mishap = "the final dot comes when the client has gone"
	answerLost    mishap = "the answer to the final dot is lost"
	answerReset   mishap = "the connection is reset in place of the answer"
	answerHangs   mishap = "the answer hangs"
	answerSlow    mishap = "the answer is slow"
	atQuit        mishap = "cut at QUIT"
	killInContent mishap = "the host is killed within the content"
	killAtDot     mishap = "the host is killed at the final dot"
	killAtAnswer  mishap = "the host is killed when the server has answered"
	killAfter     mishap = "the host is killed with the answer in its hands"
)

// mishaps are what goes wrong, in turns; after two of them all is well once.
func mishaps() []mishap {
	return []mishap{
		answerLost, atMail, dotLate, killAtAnswer, inContent, answerReset, atGreeting, killAfter, dotLost, answerSlow,
		answerHangs, killInContent, atRcpt, answerLost, inContentSlow, killAtDot, atData, atQuit,
	}
}

// sendProxy stands before a real mail server, and spoils two of three connections.
type sendProxy struct {
	ln   net.Listener
	to   string
	kill func()
	wg   sync.WaitGroup
	ctx  context.Context

	mu     sync.Mutex
	seen   int
	struck map[mishap]int
	doubt  map[string]bool // subjects of messages whose answer the host may not have
}

func newSendProxy(t *testing.T, to string, kill func()) *sendProxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := &sendProxy{ln: ln, to: to, kill: kill, ctx: ctx,
		struck: map[mishap]int{}, doubt: map[string]bool{}}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		p.wg.Wait()
	})
	return p
}

// next returns what is to go wrong on this connection.
func (p *sendProxy) next() mishap {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.seen%3 == 0 {
		return allWell
	}
	all := mishaps()
	return all[(p.seen-p.seen/3-1)%len(all)]
}

func (p *sendProxy) strike(m mishap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.struck[m]++
}

// faults returns how many things went wrong, slow answers apart.
func (p *sendProxy) faults() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for m, k := range p.struck {
		if m != answerSlow {
			n += k
		}
	}
	return n
}

// uncertain notes that the host may not know of the answer about a message.
func (p *sendProxy) uncertain(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubt[subject] = true
}

// certain notes that the host has the answer.
func (p *sendProxy) certain(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.doubt, subject)
}

// known reports whether the host must know what became of a message, unless it
// was killed.
func (p *sendProxy) known(subject string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.doubt[subject]
}

var (
	errMishap     = errors.New("as planned")
	numberedTitle = regexp.MustCompile(`message number \d+\.`)
)

// serve carries one connection, command by command.
func (p *sendProxy) serve(client *net.TCPConn) {
	defer client.Close()
	stop := context.AfterFunc(p.ctx, func() { client.Close() })
	defer stop()
	m := p.next()
	if m == atGreeting {
		p.strike(m)
		client.SetLinger(0)
		return
	}
	conn, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer conn.Close()
	stopServer := context.AfterFunc(p.ctx, func() { conn.Close() })
	defer stopServer()
	x := &exchange{p: p, m: m, client: client, server: conn, fromClient: bufio.NewReader(client), fromServer: bufio.NewReader(conn)}
	if x.answer() != nil {
		return
	}
	for x.command() == nil {
	}
}

// exchange is one connection through the proxy. One goroutine works on it.
type exchange struct {
	p                      *sendProxy
	m                      mishap
	client                 *net.TCPConn
	server                 net.Conn
	fromClient, fromServer *bufio.Reader
	told                   string // subject of the message whose answer was passed on
}

// answer carries one answer of the server to the client.
func (x *exchange) answer() error {
	b, err := x.hear()
	if err != nil {
		return err
	}
	_, err = x.client.Write(b)
	return err
}

// hear reads one answer of the server.
func (x *exchange) hear() ([]byte, error) {
	var out []byte
	for {
		line, err := x.fromServer.ReadBytes('\n')
		out = append(out, line...)
		if err != nil || len(line) > 3 && line[3] != '-' {
			return out, err
		}
	}
}

// command carries one command, with its answer and what follows it.
func (x *exchange) command() error {
	line, err := x.fromClient.ReadString('\n')
	if err != nil {
		return err
	}
	verb := strings.ToUpper(line[:min(4, len(line))])
	if verb == "QUIT" && x.told != "" {
		x.p.certain(x.told) // it says so because it has the answer
	}
	if at := map[string]mishap{"MAIL": atMail, "RCPT": atRcpt, "DATA": atData, "QUIT": atQuit}[verb]; at != "" && at == x.m {
		x.p.strike(at)
		return errMishap
	}
	if _, err := io.WriteString(x.server, line); err != nil {
		return err
	}
	b, err := x.hear()
	if err != nil {
		return err
	}
	if _, err := x.client.Write(b); err != nil || verb != "DATA" || b[0] != '3' {
		return err
	}
	return x.content()
}

// content carries a mail, and what the server says of it.
func (x *exchange) content() error {
	subject := ""
	for {
		line, err := x.fromClient.ReadString('\n')
		if err != nil {
			return err
		}
		if subject == "" {
			if subject = numberedTitle.FindString(line); subject != "" {
				// The host may be done with its part before this line is read.
				x.p.uncertain(subject)
			}
		}
		if line == ".\r\n" {
			break
		}
		if _, err := io.WriteString(x.server, line); err != nil {
			return err
		}
		if subject == "" {
			continue
		}
		switch x.m {
		case inContent:
			x.p.strike(x.m)
			x.client.SetLinger(0)
			return errMishap
		case inContentSlow:
			x.p.strike(x.m)
			time.Sleep(50 * time.Millisecond)
			return errMishap
		case killInContent:
			x.p.strike(x.m)
			x.p.kill()
			return errMishap
		}
	}
	return x.dot(subject)
}

// dot carries the final dot and its answer.
func (x *exchange) dot(subject string) error {
	switch x.m {
	case dotLost:
		x.p.strike(x.m)
		return errMishap
	case dotLate:
		x.p.strike(x.m)
		x.await()
	}
	if _, err := io.WriteString(x.server, ".\r\n"); err != nil {
		return err
	}
	if x.m == killAtDot {
		x.p.strike(x.m)
		x.p.kill()
	}
	b, err := x.hear()
	if err != nil {
		return err
	}
	switch x.m {
	case answerLost:
		x.p.strike(x.m)
		return errMishap
	case dotLate, killAtDot:
		return errMishap
	case answerReset:
		x.p.strike(x.m)
		x.client.SetLinger(0)
		return errMishap
	case answerHangs:
		x.p.strike(x.m)
		x.await()
		return errMishap
	case answerSlow:
		x.p.strike(x.m)
		time.Sleep(100 * time.Millisecond)
	case killAtAnswer:
		x.p.strike(x.m)
		x.p.kill()
		return errMishap
	}
	if _, err := x.client.Write(b); err != nil {
		return err
	}
	x.told = subject
	if x.m == killAfter {
		x.p.strike(x.m)
		x.p.kill()
		return errMishap
	}
	return nil
}

// await waits until the client has gone.
func (x *exchange) await() { _, _ = io.Copy(io.Discard, x.fromClient) }
