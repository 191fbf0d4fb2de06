//go:build linux

package dirblob_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/powerloss"
	"github.com/anteroom/anteroom/ticket/internal/powervfs"
)

// failMails is how many mails a failing disk is given.
const failMails = 24 / powerShare

// TestOnAFailingDiskTheDeskAcknowledgesNothingItHasNot lets each op of an Accept
// fail, in the store and in the blobs. The source sends again.
func TestOnAFailingDiskTheDeskAcknowledgesNothingItHasNot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	vfs, err := powervfs.Install(d)
	require.NoError(t, err)
	defer func() { require.NoError(t, vfs.Close()) }()
	desk, back, err := openDesk(d, root, ticket.Timing{})
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	ch, err := desk.Connect(t.Context(), channeltest.MemoryAccount{Address: "help@portal.example", Mail: true}, ticket.Settings{})
	require.NoError(t, err)
	state := func() channel.State {
		got, err := desk.Channel(t.Context(), ch.ID)
		require.NoError(t, err)
		return got.Status.State
	}
	before := state()
	failed := map[string]int{}
	acked := map[int]int{}
	for n := range failMails {
		for at := 1 + n%3; ; at += 1 + 4*(n%2) {
			seen := 0
			d.Fault(func(op powerloss.Op) error {
				if op.Kind == powerloss.Remove {
					return nil
				}
				if seen++; seen < at {
					return nil // and all after it fail, as on a full disk
				}
				failed[strings.SplitN(op.Path, string(filepath.Separator), 2)[0]]++
				return []powervfs.CodeError{8, 10, 13}[n%3] // read-only, I/O error, full
			})
			err := desk.Accept(t.Context(), powerMail(ch.ID, n))
			d.Fault(nil)
			if err == nil {
				require.Equal(t, before, state())
				break // the fault came after the commit, or not at all
			}
			require.NotErrorIs(t, err, channel.ErrRejected, "the source is to send it again")
			require.NotErrorIs(t, err, channel.ErrInactive)
			require.Equal(t, channel.StateDegraded, state())
		}
		acked[n] = d.Now()
		if n%4 == 0 {
			require.NoError(t, checkDesk(root, d.Now(), acked, nil), "nothing half-written is referred to")
		}
	}
	require.Positive(t, failed["blobs"])
	require.Positive(t, failed["desk.db-wal"])
	l, err := desk.Ledger(t.Context(), "", time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, failMails, l.Messages, "each once")
	require.NoError(t, checkDesk(root, d.Now(), acked, nil))
}
