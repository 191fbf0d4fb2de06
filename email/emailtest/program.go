package emailtest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startTime bounds how long a start and a stop may take.
const startTime = 30 * time.Second

// lacking ends a test that needs something this machine has not got.
func lacking(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("ANTEROOM_REQUIRE") == "all" {
		t.Fatalf("%s, and ANTEROOM_REQUIRE=all", reason)
	}
	t.Skip(reason)
}

// program is a real server with a folder of its own.
type program interface {
	stop() error
	said() string // for who looks into why a test failed
}

// ownFolder makes the folder of a server. At the end of the test the server is
// stopped and the folder removed.
func ownFolder(t testing.TB, p program, name string) string {
	t.Helper()
	// Not t.TempDir: the path of a Unix socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		t.Fatalf("emailtest: %v", err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("emailtest: stop %s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("what %s has said:\n%s", name, p.said())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("emailtest: %v", err)
		}
	})
	return dir
}

// launch runs a program that goes on in the background. What it prints goes to a
// file, since daemons keep what they inherit open.
func launch(ctx context.Context, outFile, name string, args ...string) error {
	out, err := os.Create(outFile)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(outFile)
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// until tries again and again until it works.
func until(ctx context.Context, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// greeting reads the first line of a server, which begins as it should.
func greeting(c net.Conn, want string) error {
	_ = c.SetDeadline(time.Now().Add(startTime))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, want) {
		err = fmt.Errorf("it greets with %q", line)
	}
	return err
}

// readAll returns a file, nothing if it cannot be read.
func readAll(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}
