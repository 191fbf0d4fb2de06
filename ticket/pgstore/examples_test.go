package pgstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/pgstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// The examples need a server, so that they cannot have an Output: they are run in
// a process of their own, of which each says what it prints.
func TestTheExamplesPrintWhatTheySay(t *testing.T) {
	const child = "ANTEROOM_PGSTORE_EXAMPLES"
	if os.Getenv(child) != "" {
		Example_nodes()
		ExampleWithTx()
		Example_move()
		return
	}
	t.Parallel()
	folder := t.TempDir()
	db, err := sqlitestore.Open(filepath.Join(folder, "anteroom.db"))
	require.NoError(t, err)
	desk, err := ticket.New(ticket.Config{Store: db.Portal("main")})
	require.NoError(t, err)
	require.NoError(t, desk.PutAgent(t.Context(), routing.Agent{ID: "an", Name: "An"}))
	require.NoError(t, db.Close())

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), child+"=1", "DATABASE_URL="+pgstore.NewDatabase(t), "OLD_DATA="+folder, "NEW_BLOBS="+t.TempDir(),
		"ANTEROOM_KEY="+strings.Repeat("k", 32), "SMTP_PASSWORD=secret")
	printed, err := cmd.CombinedOutput()
	require.NoError(t, err, string(printed))
	code, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	var want strings.Builder
	for _, part := range strings.Split(string(code), "\t// It prints:")[1:] {
		for line := range strings.Lines(strings.TrimLeft(part, " \n")) {
			if line == "}\n" {
				break
			}
			want.WriteString(strings.TrimPrefix(line, "\t// "))
		}
	}
	require.Contains(t, string(printed), "two sees: Your order\n"+strings.TrimPrefix(want.String(), "two sees: Your order\n"))
	require.Equal(t, 6, strings.Count(want.String(), "\n"))
}
