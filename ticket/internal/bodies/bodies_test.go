package bodies_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket/internal/bodies"
)

func TestAnIDIsAPlainName(t *testing.T) {
	t.Parallel()
	for id, valid := range map[string]bool{
		"a": true, "0-_": true, "con": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "-a": false, "_a": false, "A": false, "ü": false, "a.b": false, "a/b": false, `a\b`: false,
		"..": false, "a b": false, "a\x00": false,
	} {
		require.Equal(t, valid, bodies.ValidID(id), "%q", id)
	}
}

func TestAReaderEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := bodies.Reader(ctx, strings.NewReader("abc"))
	first := make([]byte, 1)
	_, err := io.ReadFull(r, first)
	require.NoError(t, err)
	require.Equal(t, "a", string(first))
	cancel()
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
}
