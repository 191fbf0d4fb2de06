package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxResident is how much memory the process of a portal may ever hold, in
// bytes, while large mail comes on all of largeConnections.
const maxResident = 100 << 20

// child in the environment makes this program a portal.
const child = "ANTEROOM_BENCH_PORTAL"

// TestPortalProcess is the portal of TestLargeMailNeedsLittleMemory.
func TestPortalProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv(child) == "" {
		return // it is for the parent to run
	}
	fmt.Println("portal " + portal(t))
	_, err := io.Copy(io.Discard, os.Stdin) // until the parent has seen enough
	require.NoError(t, err)
}

// The whole of hosted mailbox, desk, SQLite and folder is measured from outside,
// as the system counts its pages.
func TestLargeMailNeedsLittleMemory(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs a system that tells the most memory that a process held")
	}
	if testing.Short() {
		t.Skip("-short: 300 MB of mail")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPortalProcess$")
	cmd.Env = append(os.Environ(), child+"=1", "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		require.NoError(t, cmd.Wait())
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	addr, ok := strings.CutPrefix(lines.Text(), "portal ")
	require.True(t, ok, lines.Text())

	began := resident(t, cmd.Process.Pid)
	var serial atomic.Int64
	var took tally
	dial(t, addr, largeConnections).run(3*largeConnections, &serial, large(), &took)
	most := resident(t, cmd.Process.Pid)
	t.Logf("%d MB at rest, at most %d MB while %d connections brought %.1f mails of 5 MB a second",
		began>>20, most>>20, largeConnections, float64(took.n)/took.took.Seconds())
	require.LessOrEqual(t, most, maxResident*instrumented)
}

// resident returns the most memory that a process has held so far.
func resident(t *testing.T, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
			require.NoError(t, err)
			return n << 10
		}
	}
	require.Fail(t, "no VmHWM")
	return 0
}
