package emailtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// PostfixOptions says what a [Postfix] does with mail.
type PostfixOptions struct {
	// NextHop is the "host:port" to which all mail goes on, whatever its
	// domain, delivery reports included; the host is an IP address. Empty
	// means a sink of its own, see [Postfix].Sink.
	NextHop string
	// LMTP hands the mail on by LMTP instead of SMTP.
	LMTP bool
	// STARTTLS makes it offer STARTTLS, with a certificate for 127.0.0.1 and
	// localhost.
	STARTTLS bool
	// Refuse maps recipients to answers at RCPT, such as "550 5.1.1 no such user".
	Refuse map[string]string
	// MaxSize is the largest message in bytes. 0 means Postfix's default.
	MaxSize int
	// Main holds further parameters of main.cf.
	Main map[string]string
}

// Postfix is a real mail server, with configuration and queue of its own in a
// temporary folder, that listens on loopback and relays everything to one place.
type Postfix struct {
	endpoint

	program, dir string
	sink         *SMTP
}

// StartPostfix starts a Postfix that ends with the test and leaves nothing
// behind. Where none is installed, or we are not root, the test is skipped;
// with ANTEROOM_REQUIRE=all in the environment it fails instead.
func StartPostfix(t testing.TB, opts PostfixOptions) *Postfix {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "Postfix cannot be started by a user other than root")
	}
	program, err := exec.LookPath("postfix")
	if err != nil {
		lacking(t, "postfix is not installed")
	}
	p := &Postfix{program: program}
	if opts.NextHop == "" {
		p.sink = NewSMTP(t)
		opts.NextHop, opts.LMTP = p.sink.Addr(), false
	}
	p.dir = ownFolder(t, p, "Postfix")
	if err := p.start(opts); err != nil {
		t.Fatalf("emailtest: start Postfix: %v\n%s", err, p.Log())
	}
	return p
}

// Sink returns where mail ends if no NextHop was given, else nil.
func (p *Postfix) Sink() *SMTP { return p.sink }

// Log returns what Postfix has logged so far.
func (p *Postfix) Log() string { return readAll(filepath.Join(p.dir, "log", "mail.log")) }

func (p *Postfix) said() string { return p.Log() }

// Queued returns how many mails have come and are not done with.
func (p *Postfix) Queued() int {
	n := 0
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred"} {
		_ = filepath.WalkDir(filepath.Join(p.dir, "queue", queue), func(_ string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return nil
		})
	}
	return n
}

func (p *Postfix) start(opts PostfixOptions) error {
	// The mail system's own user must be able to pass through.
	if err := os.Chmod(p.dir, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"etc", "queue", "data", "log"} {
		if err := os.Mkdir(filepath.Join(p.dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := chownTo(filepath.Join(p.dir, "data"), "postfix"); err != nil {
		return err
	}
	var pem []byte
	var err error
	if p.endpoint, pem, err = newEndpoint(); err != nil {
		return err
	}
	if !opts.STARTTLS {
		p.ca = nil
	}
	main, err := p.mainCF(opts)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"main.cf": main, "master.cf": masterCF(p.addr)} {
		if err := os.WriteFile(filepath.Join(p.dir, "etc", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, "etc", "server.pem"), pem, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := p.command(ctx, "start"); err != nil {
		return err
	}
	return until(ctx, func() error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		err = greeting(c, "220")
		_, _ = c.Write([]byte("QUIT\r\n"))
		return err
	})
}

// chownTo gives a folder to a system user.
func chownTo(path, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	return os.Chown(path, uid, -1)
}

// command runs the postfix command.
func (p *Postfix) command(ctx context.Context, verb string) error {
	return launch(ctx, filepath.Join(p.dir, "log", verb+".out"), p.program, "-c", filepath.Join(p.dir, "etc"), verb)
}

func (p *Postfix) stop() error {
	pidFile := filepath.Join(p.dir, "queue", "pid", "master.pid")
	if _, err := os.Stat(pidFile); errors.Is(err, os.ErrNotExist) {
		return nil // it never ran
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return p.command(ctx, "stop")
}

func (p *Postfix) mainCF(opts PostfixOptions) (string, error) {
	host, port, err := net.SplitHostPort(opts.NextHop)
	if err != nil {
		return "", fmt.Errorf("next hop: %w", err)
	}
	transport := "smtp"
	if opts.LMTP {
		transport = "lmtp:inet"
	}
	conf := map[string]string{
		"compatibility_level":      "3.6",
		"queue_directory":          filepath.Join(p.dir, "queue"),
		"data_directory":           filepath.Join(p.dir, "data"),
		"maillog_file":             filepath.Join(p.dir, "log", "mail.log"),
		"maillog_file_prefixes":    p.dir,
		"myhostname":               "postfix.test",
		"mydestination":            "",
		"inet_interfaces":          "127.0.0.1",
		"inet_protocols":           "ipv4",
		"mynetworks":               "127.0.0.0/8",
		"smtpd_relay_restrictions": "permit_mynetworks, reject",
		"default_transport":        fmt.Sprintf("%s:[%s]:%s", transport, host, port),
		"alias_maps":               "",
		"alias_database":           "",
		"local_transport":          "error:no local mail here",
		"smtputf8_enable":          "yes",
		"notify_classes":           "",
		// A test does not want to wait for a retry.
		"queue_run_delay":                "1s",
		"minimal_backoff_time":           "1s",
		"maximal_backoff_time":           "1s",
		"smtp_destination_rate_delay":    "0",
		"smtpd_peername_lookup":          "no",
		"smtpd_client_restrictions":      "",
		"smtpd_recipient_restrictions":   recipientAccess(opts.Refuse),
		"default_destination_rate_delay": "0",
	}
	if opts.MaxSize > 0 {
		conf["message_size_limit"] = strconv.Itoa(opts.MaxSize)
	}
	if opts.STARTTLS {
		conf["smtpd_tls_security_level"] = "may"
		conf["smtpd_tls_chain_files"] = filepath.Join(p.dir, "etc", "server.pem")
	}
	maps.Copy(conf, opts.Main)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(conf)) {
		fmt.Fprintf(&b, "%s = %s\n", k, conf[k])
	}
	return b.String(), nil
}

func recipientAccess(refuse map[string]string) string {
	if len(refuse) == 0 {
		return ""
	}
	var entries []string
	for _, rcpt := range slices.Sorted(maps.Keys(refuse)) {
		entries = append(entries, fmt.Sprintf("{ %s = %s }", rcpt, refuse[rcpt]))
	}
	return "check_recipient_access inline:{ " + strings.Join(entries, ", ") + " }"
}

// masterCF is Debian's, less what delivers locally and less chroot.
func masterCF(addr string) string {
	return addr + ` inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
lmtp      unix - - n - - lmtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`
}
