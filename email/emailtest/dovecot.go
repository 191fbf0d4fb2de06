package emailtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// DovecotOptions says how a [Dovecot] is.
type DovecotOptions struct {
	// User and Password log in.
	User, Password string
	// LMTP makes it take mail for any recipient by LMTP, all of it into this
	// one mailbox; a mail that comes for one recipient alone has a Delivered-To
	// field. What stands behind a plus in the recipient's name is the folder.
	LMTP bool
	// Config is added to dovecot.conf.
	Config string
}

// Dovecot is a real IMAP server with configuration and mail of its own in a
// temporary folder. It listens on loopback with TLS from the first byte, and keeps
// mail in maildirs. Safe for concurrent use, but for Start and Stop.
type Dovecot struct {
	endpoint

	dir      string
	program  string
	lmtp     string // empty without
	uid, gid int
	serial   atomic.Int64
}

// StartDovecot starts a Dovecot 2.3 that ends with the test and leaves nothing
// behind. Where none is installed the test is skipped; with
// ANTEROOM_REQUIRE=all in the environment it fails instead.
func StartDovecot(t testing.TB, opts DovecotOptions) *Dovecot {
	t.Helper()
	program, err := exec.LookPath("dovecot")
	if err != nil {
		lacking(t, "dovecot is not installed")
	}
	d := &Dovecot{program: program, uid: os.Getuid(), gid: os.Getgid()}
	d.dir = ownFolder(t, d, "Dovecot")
	if err = d.prepare(opts); err == nil {
		err = d.Start()
	}
	if err != nil {
		t.Fatalf("emailtest: start Dovecot: %v\n%s", err, d.Log())
	}
	return d
}

// LMTPAddr returns the "127.0.0.1:port" of LMTP, empty without it.
func (d *Dovecot) LMTPAddr() string { return d.lmtp }

// Log returns what Dovecot has logged so far.
func (d *Dovecot) Log() string { return readAll(filepath.Join(d.dir, "log")) }

func (d *Dovecot) said() string { return d.Log() }

// Put delivers a mail into a folder, as received at a time. Clients that wait
// are told.
func (d *Dovecot) Put(t testing.TB, folder string, raw []byte, received time.Time) {
	t.Helper()
	name := fmt.Sprintf("%d.M%d.test", received.Unix(), d.serial.Add(1))
	tmp := filepath.Join(d.maildir(folder), "tmp", name)
	err := os.WriteFile(tmp, raw, 0o600)
	if err == nil {
		err = os.Chown(tmp, d.uid, d.gid)
	}
	if err == nil {
		err = os.Chtimes(tmp, received, received)
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(d.maildir(folder), "new", name))
	}
	if err != nil {
		t.Fatalf("emailtest: deliver: %v", err)
	}
}

// Count returns how many mails lie in a folder.
func (d *Dovecot) Count(t testing.TB, folder string) int {
	t.Helper()
	n := 0
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(d.maildir(folder), sub))
		if err != nil {
			t.Fatalf("emailtest: %v", err)
		}
		n += len(entries)
	}
	return n
}

// Mails returns what lies in a folder, in no order.
func (d *Dovecot) Mails(t testing.TB, folder string) [][]byte {
	t.Helper()
	var out [][]byte
	for _, sub := range []string{"new", "cur"} {
		// What is renamed meanwhile may be missing, so that nothing is read
		// before the folder has been listed.
		names, err := filepath.Glob(filepath.Join(d.maildir(folder), sub, "*"))
		for _, name := range names {
			var b []byte
			if b, err = os.ReadFile(name); err != nil {
				break
			}
			out = append(out, b)
		}
		if err != nil {
			t.Fatalf("emailtest: %v", err)
		}
	}
	return out
}

// Seen returns how many mails of a folder have the flag \Seen.
func (d *Dovecot) Seen(t testing.TB, folder string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.maildir(folder), "cur"))
	if err != nil {
		t.Fatalf("emailtest: %v", err)
	}
	n := 0
	for _, e := range entries {
		if _, flags, _ := strings.Cut(e.Name(), ":2,"); strings.Contains(flags, "S") {
			n++
		}
	}
	return n
}

func (d *Dovecot) maildir(folder string) string {
	if folder == "INBOX" {
		return filepath.Join(d.dir, "mail")
	}
	return filepath.Join(d.dir, "mail", "."+folder)
}

// Renumber gives a folder a new UIDVALIDITY and its mails new UIDs, as a
// migration does. Connections end.
func (d *Dovecot) Renumber(folder string) {
	d.Stop()
	for _, pattern := range []string{"dovecot-uidlist*", "dovecot.index*"} {
		files, _ := filepath.Glob(filepath.Join(d.maildir(folder), pattern))
		for _, f := range files {
			_ = os.Remove(f)
		}
	}
	_ = d.Start()
}

// Disconnect ends all connections, by a restart.
func (d *Dovecot) Disconnect() {
	d.Stop()
	_ = d.Start()
}

func (d *Dovecot) prepare(opts DovecotOptions) error {
	login, internal := "", ""
	if os.Geteuid() == 0 {
		// Root's own mail is refused.
		u, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		d.uid, _ = strconv.Atoi(u.Uid)
		d.gid, _ = strconv.Atoi(u.Gid)
		if err := os.Chmod(d.dir, 0o755); err != nil {
			return err
		}
	} else {
		u, err := user.Current()
		if err != nil {
			return err
		}
		g, err := user.LookupGroupId(u.Gid)
		if err != nil {
			return err
		}
		login = "default_login_user = " + u.Username + "\n"
		internal = "default_internal_user = " + u.Username + "\ndefault_internal_group = " + g.Name + "\n"
	}
	var pem []byte
	var err error
	if d.endpoint, pem, err = newEndpoint(); err != nil {
		return err
	}
	for _, folder := range []string{"INBOX", "Archive"} {
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(d.maildir(folder), sub), 0o700); err != nil {
				return err
			}
		}
	}
	if err := filepath.WalkDir(filepath.Join(d.dir, "mail"), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, d.uid, d.gid)
	}); err != nil {
		return err
	}
	if opts.LMTP {
		if d.lmtp, err = freeAddr(); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"server.pem":   string(pem),
		"users":        fmt.Sprintf("%s:{PLAIN}%s::::::\n", opts.User, opts.Password),
		"dovecot.conf": d.config() + d.lmtpConfig() + login + internal + opts.Config,
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		// Read by the process that checks passwords, which is not root.
		return os.Chmod(filepath.Join(d.dir, "users"), 0o644)
	}
	return nil
}

// lmtpConfig is what LMTP needs beside the rest, where a recipient without a
// password is not known.
func (d *Dovecot) lmtpConfig() string {
	if d.lmtp == "" {
		return ""
	}
	_, port, _ := net.SplitHostPort(d.lmtp)
	return fmt.Sprintf(`
protocols = imap lmtp
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
userdb {
  driver = static
  args = uid=%d gid=%d home=%s/home allow_all_users=yes
}
service lmtp {
  chroot =
  inet_listener lmtp {
    address = 127.0.0.1
    port = %s
  }
}
`, d.uid, d.gid, d.dir, port)
}

func (d *Dovecot) config() string {
	return strings.NewReplacer("DIR", d.dir, "PORT", strconv.Itoa(d.Port()), "UID", strconv.Itoa(d.uid), "GID", strconv.Itoa(d.gid)).Replace(`
protocols = imap
listen = 127.0.0.1
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
mail_location = maildir:DIR/mail
ssl = required
ssl_cert = <DIR/server.pem
ssl_key = <DIR/server.pem
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 100
maildir_very_dirty_syncs = no
mailbox_idle_check_interval = 1s
passdb {
  driver = passwd-file
  args = DIR/users
}
userdb {
  driver = static
  args = uid=UID gid=GID home=DIR/home
}
namespace inbox {
  inbox = yes
  separator = .
  mailbox Sent {
    special_use = \Sent
    auto = create
  }
  mailbox Junk {
    special_use = \Junk
    auto = create
  }
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = PORT
    ssl = yes
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`)
}

// Start starts it again, on the same port and with the same mail.
func (d *Dovecot) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := launch(ctx, filepath.Join(d.dir, "start.out"), d.program, "-c", filepath.Join(d.dir, "dovecot.conf")); err != nil {
		return fmt.Errorf("emailtest: %w", err)
	}
	return until(ctx, func() error {
		c, err := (&tls.Dialer{Config: d.ClientTLS()}).DialContext(ctx, "tcp", d.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		return greeting(c, "* OK")
	})
}

func (d *Dovecot) stop() error {
	d.Stop()
	return nil
}

// Stop ends it and its connections, and returns when it has ended.
func (d *Dovecot) Stop() {
	pidFile := filepath.Join(d.dir, "run", "master.pid")
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return // it does not run
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return
	}
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(os.Interrupt) != nil {
		return
	}
	end := time.After(startTime)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(pidFile); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			_ = p.Kill()
			return
		}
	}
}
