package ticket_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTourInTheREADMEIsTheCompiledExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, tour, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	tour, _, _ = strings.Cut(tour, "```")
	code, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(code), "\n\t", "\n"), strings.TrimSpace(tour))
}
