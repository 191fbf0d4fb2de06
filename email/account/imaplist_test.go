package account_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

func TestAFolderWithGapsIsListedPieceByPiece(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	for n := range 4 {
		srv.Add("INBOX", letter(n), time.Now())
		srv.Skip("INBOX", 1_500_000)
	}
	b.receive(t)
	require.Equal(t, numbers(0, 3), subjects(b.wait(t, 4)))
	require.Eventually(t, func() bool { return srv.Idling() > 0 }, patience, time.Millisecond)
	srv.Add("INBOX", letter(4), time.Now())
	require.Equal(t, numbers(0, 4), subjects(b.wait(t, 5)))
	pieces := 0
	for _, line := range srv.Commands() {
		_, set, searches := strings.Cut(line, "UID SEARCH RETURN (ALL) UID ")
		from, to, ok := strings.Cut(set, ":")
		if !searches || !ok || to == "*" {
			continue
		}
		pieces++
		first, err := strconv.Atoi(from)
		require.NoError(t, err, line)
		last, err := strconv.Atoi(to)
		require.NoError(t, err, line)
		require.Less(t, last-first, 1<<20)
	}
	require.GreaterOrEqual(t, pieces, 5, "%v", srv.Commands())
}

func TestASearchIsCutOffThatListsMoreThanThereCanBe(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	b.connector.Receiving.Fetch = patience // a slow machine reads for long
	srv.Hide("ESEARCH")
	// Zeros before a number are as large, and sooner read than millions of numbers.
	list := "* SEARCH" + strings.Repeat(" "+strings.Repeat("0", 1<<16)+"1", 320) + "\r\n"
	tp.set(func(line string) string {
		if strings.HasPrefix(line, "* SEARCH") {
			return list
		}
		return line
	}, nil)
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	st := b.until(t, "degraded", func(s channel.Status) bool { return s.State == channel.StateDegraded })
	require.Contains(t, st.Reason, "the server sends more than was asked for")
	tp.set(nil, nil)
	require.Equal(t, []string{"1"}, subjects(b.wait(t, 1)))
}
