package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket"
)

// TestASendIsNeverDoubledByRealServers has a host send through a Postfix to
// recipients in a Dovecot, with a proxy before the Postfix that loses answers, cuts
// and stalls, and kills the host with SIGKILL. In one half the host itself puts
// copies into the Sent folder of its account, in a second Dovecot; in the other the
// provider does, so that a send in doubt can be found there. In the end the copies
// in the recipients' mailboxes are counted. With -faults there are over 500 faults, in
// about four minutes.
func TestASendIsNeverDoubledByRealServers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"append", "server"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			messages, least := 24, 12
			if *allFaults {
				messages, least = 350, 250
			}
			playReal(t, mode, messages, least)
		})
	}
}

const senderPassword = "geheim"

// playReal sends messages through real servers, and judges what comes of it.
func playReal(t *testing.T, mode string, messages, least int) {
	authPort := freePort(t)
	theirs := emailtest.StartDovecot(t, emailtest.DovecotOptions{User: "a@c.example", Password: "x", LMTP: true})
	own := emailtest.StartDovecot(t, emailtest.DovecotOptions{User: mailboxAddress, Password: senderPassword, LMTP: true,
		Config: "service auth {\n inet_listener {\n address = 127.0.0.1\n port = " + authPort + "\n }\n}\n"})
	main := map[string]string{
		"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "inet:127.0.0.1:" + authPort, "smtpd_sasl_type": "dovecot",
		"lmtp_destination_recipient_limit": "1", // Dovecot then says whose copy it is
	}
	if mode == "server" {
		main["sender_bcc_maps"] = "inline:{ {" + mailboxAddress + " = help+Sent@provider.test} }"
		main["transport_maps"] = "inline:{ {provider.test = lmtp:inet:" + own.LMTPAddr() + "} }"
	}
	out := emailtest.StartPostfix(t, emailtest.PostfixOptions{NextHop: theirs.LMTPAddr(), LMTP: true, Main: main})
	var host hostProcess
	final := time.Second
	proxy := newSendProxy(t, out.Addr(), host.kill)
	dir := t.TempDir()
	h := sendingHost{
		DB: filepath.Join(dir, "db"), IDs: filepath.Join(dir, "ids"), CA: own.CA().PEM(), Password: senderPassword, Messages: messages, Final: final,
		Account: account.Account{
			Address: mailboxAddress,
			SMTP:    account.Server{Host: "127.0.0.1", Port: proxy.ln.Addr().(*net.TCPAddr).Port, Security: account.None},
			IMAP:    &account.IMAP{Server: account.Server{Host: own.Host(), Port: own.Port(), Security: account.TLS}, Sent: mode, FirstSync: "none"},
		},
	}
	kills := 0
	for ; host.run(t, h); h.Generation++ {
		kills++
	}
	require.Eventually(t, func() bool { return out.Queued() == 0 }, time.Minute, 20*time.Millisecond)

	b, err := os.ReadFile(h.IDs)
	require.NoError(t, err)
	var ids []ticket.MessageID
	require.NoError(t, json.Unmarshal(b, &ids))
	snap, err := hostStore(t, h.DB).Snapshot(t.Context(), ticket.Want{Messages: ids})
	require.NoError(t, err)
	copies, filed := byRecipient(theirs.Mails(t, "INBOX")), byRecipient(own.Mails(t, "Sent"))
	count := map[ticket.OutState]int{}
	found, missing := 0, 0
	for n, id := range ids {
		m := snap.Messages[id]
		count[m.State]++
		if strings.Contains(m.StateDetail, "found in the folder") {
			found++
		}
		where := fmt.Sprintf("message %d is %s (%s)", n, m.State, m.StateDetail)
		for _, d := range m.Deliveries {
			arrived := copies[subjectOf(n)][d.Recipient]
			require.LessOrEqual(t, arrived, 1, "two copies: %s", where)
			switch m.State {
			case ticket.StateSent:
				require.Equal(t, channel.DeliverySent, d.State, where)
				require.Equal(t, 1, arrived, "lost silently: %s", where)
			case ticket.StateUncertain:
				killed := strings.Contains(m.StateDetail, "an earlier try was interrupted")
				require.False(t, !killed && proxy.known(subjectOf(n)), "nothing stood in the way of knowing: %s", where)
				missing += 1 - arrived
			default:
				t.Errorf("neither sent nor uncertain: %s", where)
			}
		}
		if m.State == ticket.StateSent {
			require.Len(t, filed[subjectOf(n)], 1, "kept in Sent: %s", where)
			if mode == "append" {
				require.Equal(t, 1, filed[subjectOf(n)][""], "copies in Sent: %s", where)
			}
		}
	}
	t.Logf("%d faults, %d of them kills: of %d messages %d sent, %d of them found in Sent; %d uncertain, of whose %d copies %d did not arrive: %v",
		proxy.faults(), kills, len(ids), count[ticket.StateSent], found, count[ticket.StateUncertain],
		2*count[ticket.StateUncertain], missing, proxy.struck)
	require.GreaterOrEqual(t, proxy.faults(), least)
	require.Positive(t, kills)
	if mode == "append" {
		require.Zero(t, found)
	} else if *allFaults {
		require.Positive(t, found)
	}
}

var deliveredTo = regexp.MustCompile(`(?m)^Delivered-To: <?([^>\r\n]+)`)

// byRecipient counts mails by subject, then by whom they were delivered to.
func byRecipient(mails [][]byte) map[string]map[string]int {
	out := map[string]map[string]int{}
	for _, raw := range mails {
		subject, to := numberedTitle.FindString(string(raw)), ""
		if m := deliveredTo.FindSubmatch(raw); m != nil {
			to = string(m[1])
		}
		if out[subject] == nil {
			out[subject] = map[string]int{}
		}
		out[subject][to]++
	}
	return out
}

func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}

// hostProcess is the host that runs now.
type hostProcess struct {
	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *hostProcess) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
	}
}

// run runs a host until it ends, and reports whether it was killed.
func (p *hostProcess) run(t *testing.T, h sendingHost) bool {
	conf, err := json.Marshal(h)
	require.NoError(t, err)
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSendingHost$", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), hostEnv+"="+string(conf))
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	err = cmd.Wait()
	p.mu.Lock()
	p.cmd = nil
	p.mu.Unlock()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	require.NoError(t, err, log.String())
	return false
}
