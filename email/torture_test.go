package email_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

var update = flag.Bool("update", false, "write the golden files")

// tortureFiles returns the mails of the collection.
func tortureFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/torture/*.eml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 60)
	return files
}

func TestTortureMailsAreUnderstoodAsTheGoldenFilesSay(t *testing.T) {
	t.Parallel()
	for _, f := range tortureFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".eml"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(f)
			require.NoError(t, err)
			m, err := email.Read(channel.Bytes(raw))
			require.NoError(t, err)
			checkMail(t, channel.Bytes(raw), m)

			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			require.NoError(t, enc.Encode(m.View()))
			golden := strings.TrimSuffix(f, ".eml") + ".json"
			if *update {
				require.NoError(t, os.WriteFile(golden, b.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), b.String())
		})
	}
}
