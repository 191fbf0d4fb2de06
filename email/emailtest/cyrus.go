package emailtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// CyrusOptions says how a [Cyrus] is.
type CyrusOptions struct {
	// User is who logs in, an address. Any password is right: Debian's Cyrus
	// has no simpler way to keep one of its own.
	User string
	// Config is added to imapd.conf.
	Config string
}

// Cyrus is a real Cyrus IMAP server with configuration and mail of its own in a
// temporary folder. It runs as an unprivileged user and listens on loopback with
// TLS from the first byte. It has the folders INBOX, Archive, Sent and Junk. Safe for
// concurrent use, but for Start and Stop.
type Cyrus struct {
	endpoint

	dir  string
	user string

	mu      sync.Mutex
	session *imapDialogue // by which mail is put and counted; nil while there is none
}

// cyrusPrograms is where Debian keeps the programs of Cyrus.
const cyrusPrograms = "/usr/lib/cyrus/bin"

// cyrusServer returns where the server itself is: Debian's package of it cannot
// be installed beside Dovecot's, so that it may have been unpacked elsewhere.
func cyrusServer() (string, error) {
	path, err := exec.LookPath(filepath.Join(cyrusPrograms, "imapd"))
	if err != nil {
		path, err = exec.LookPath("/usr/local/lib/cyrus/imapd")
	}
	return path, err
}

// StartCyrus starts a Cyrus 3 that ends with the test and leaves nothing behind.
// It takes Debian's package cyrus-common, and the program imapd of cyrus-imapd in its place
// or in /usr/local/lib/cyrus. Where they are missing the test is skipped; with
// ANTEROOM_REQUIRE=all in the environment it fails instead.
func StartCyrus(t testing.TB, opts CyrusOptions) *Cyrus {
	t.Helper()
	_, missing := exec.LookPath(filepath.Join(cyrusPrograms, "master"))
	server, err := cyrusServer()
	if err != nil || missing != nil {
		lacking(t, "Cyrus (cyrus-common, and imapd of cyrus-imapd) is not installed")
	}
	c := &Cyrus{user: opts.User}
	c.dir = ownFolder(t, c, "Cyrus")
	if err = c.prepare(opts, server); err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("emailtest: start Cyrus: %v\n%s", err, c.said())
	}
	return c
}

// said is what the programs have printed; they log to syslog.
func (c *Cyrus) said() string { return readAll(filepath.Join(c.dir, "out")) }

// prepare writes the configuration and makes the folders.
func (c *Cyrus) prepare(opts CyrusOptions, server string) error {
	// Started as root it becomes who it is told to be.
	as, err := user.Current()
	if err == nil && os.Geteuid() == 0 {
		as, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	group, err := user.LookupGroupId(as.Gid)
	if err != nil {
		return err
	}
	var pem []byte
	if c.endpoint, pem, err = newEndpoint(); err != nil {
		return err
	}
	for _, sub := range []string{"spool", "run/proc", "run/lock", "conf/db", "conf/log", "conf/msg", "conf/proc", "conf/socket", "conf/user", "conf/quota", "conf/sieve"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			return err
		}
	}
	_, domain, _ := strings.Cut(opts.User, "@")
	fill := strings.NewReplacer("DIR", c.dir, "PROGRAMS", cyrusPrograms, "SERVER", server, "PORT", strconv.Itoa(c.Port()),
		"USER", as.Username, "GROUP", group.Name, "DOMAIN", domain)
	for name, content := range map[string]string{
		"server.pem": string(pem), "imapd.conf": fill.Replace(cyrusConfig) + opts.Config, "cyrus.conf": fill.Replace(cyrusServices),
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, _ := strconv.Atoi(as.Uid)
	gid, _ := strconv.Atoi(as.Gid)
	return filepath.WalkDir(c.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}

// cyrusConfig is imapd.conf. alwaystrue is a way of Cyrus SASL to check passwords.
const cyrusConfig = `configdirectory: DIR/conf
defaultpartition: default
partition-default: DIR/spool
proc_path: DIR/run/proc
mboxname_lockpath: DIR/run/lock
cyrus_user: USER
cyrus_group: GROUP
servername: localhost
admins: admin
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN LOGIN
tls_server_cert: DIR/server.pem
tls_server_key: DIR/server.pem
virtdomains: userid
defaultdomain: DOMAIN
unixhierarchysep: yes
imapidlepoll: 1
autocreate_users: anyone
autocreate_quota: 0
autocreate_inbox_folders: Archive | Sent | Junk
xlist-sent: Sent
xlist-junk: Junk
expunge_mode: immediate
delete_mode: immediate
maxlogins_per_host: 0
`

const cyrusServices = `START {
  recover cmd="PROGRAMS/ctl_cyrusdb -C DIR/imapd.conf -r"
}
SERVICES {
  imaps cmd="SERVER -C DIR/imapd.conf -s" listen="127.0.0.1:PORT" prefork=0 maxchild=100
}
EVENTS {
}
`

// Start starts it again, on the same port and with the same mail.
func (c *Cyrus) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	// As a daemon it has a process group of its own, which it signals as a
	// whole when it ends.
	err := launch(ctx, filepath.Join(c.dir, "out"), filepath.Join(cyrusPrograms, "master"), "-d", "-C", filepath.Join(c.dir, "imapd.conf"),
		"-M", filepath.Join(c.dir, "cyrus.conf"), "-p", c.pidFile())
	if err != nil {
		return fmt.Errorf("emailtest: %w", err)
	}
	return until(ctx, func() error {
		session, err := openDialogue(ctx, c.addr, c.ClientTLS(), c.user)
		if err == nil {
			session.close()
		}
		return err
	})
}

func (c *Cyrus) pidFile() string { return filepath.Join(c.dir, "run", "master.pid") }

func (c *Cyrus) stop() error {
	c.Stop()
	return nil
}

// Stop kills it with all its connections, as a power failure would, and returns
// when it has ended. Its own way to end waits for ever while clients try to connect.
func (c *Cyrus) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangUp()
	b, err := os.ReadFile(c.pidFile())
	if err != nil {
		return // it does not run
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		return
	}
	_ = os.Remove(c.pidFile())
	end := time.Now().Add(startTime)
	for killGroup(pid) && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
}

// Disconnect ends all connections, by a restart.
func (c *Cyrus) Disconnect() {
	c.Stop()
	_ = c.Start()
}
