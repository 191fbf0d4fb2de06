package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Bouncer starts a PgBouncer in transaction mode before the server; it ends with
// the test. The function that it returns turns a connection string of the
// server's into one that goes through it. Where PgBouncer is not installed the
// test is skipped, or fails as [Cluster.URL] says.
func (c *Cluster) Bouncer(t testing.TB) (through func(at string) string) {
	t.Helper()
	server, err := url.Parse(c.URL(t))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
		if _, err := os.Stat(program); err != nil {
			lacking(t, "pgbouncer is not installed")
		}
	}
	as, err := unprivileged()
	if err != nil {
		lacking(t, err.Error())
	}
	dir, err := os.MkdirTemp("", "pgbouncer")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	port, err := freePort()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	conf, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users.txt")
	// More than one server connection, so that a client's transactions wander
	// from one to another.
	text := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
server_round_robin = 1
max_client_conn = 1000
default_pool_size = 8
`, server.Port(), port, users)
	for path, content := range map[string]string{conf: text, users: fmt.Sprintf("%q %q\n", "postgres", c.password)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatalf("pgtest: %v", err)
		}
	}
	if err := as.own(dir, conf, users); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	p, err := as.start(dir, "pgbouncer.log", program, conf)
	if err != nil {
		t.Fatalf("pgtest: start PgBouncer: %v", err)
	}
	t.Cleanup(func() {
		if err := p.stop(os.Interrupt); err != nil {
			t.Errorf("pgtest: stop PgBouncer: %v", err)
		}
		if t.Failed() {
			log := p.log()
			t.Logf("the end of PgBouncer's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
	through = func(at string) string {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatalf("pgtest: %v", err)
		}
		u.Host = "127.0.0.1:" + strconv.Itoa(port)
		return u.String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	probe := through(server.String()) + "&default_query_exec_mode=exec"
	if err := answers(ctx, probe, p); err != nil {
		t.Fatalf("pgtest: start PgBouncer: %v\n%s", err, p.log())
	}
	return through
}
