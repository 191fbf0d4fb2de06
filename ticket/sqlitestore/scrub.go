package sqlitestore

import (
	"context"
	"errors"
	"fmt"
)

// Scrub makes what was removed unreadable in the database's files too: it
// merges the search index, whose old words stay until then, writes the whole file
// anew without what is free in it, and empties the log. Without it a query finds
// nothing of what was erased, but its bytes stay in free pages until they are used
// again. Backups and copies are not touched, nor what the file system or the disk
// keep of old blocks.
//
// It needs as much free disk as the database has, and holds up all writes
// meanwhile: about a minute for each gigabyte or two. It fails while readers of
// other processes keep the log from being emptied; call it again then. It is safe to
// call while the store is used, and to be cut off by a crash.
func (b *Backend) Scrub(ctx context.Context) error {
	c, err := openConn(ctx, b.options, false)
	if err != nil {
		return wrap("scrub", err)
	}
	defer func() { _ = c.close() }()
	for _, statement := range []string{"PRAGMA secure_delete = 1", "INSERT INTO search (search) VALUES ('optimize')", "VACUUM"} {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := retryBusy(b.options.busy, func() error { return c.each(ctx, statement, nil, func(func(...any) error) error { return nil }) })
		if err != nil {
			return wrap("scrub", fmt.Errorf("%s: %w", statement, err))
		}
	}
	var busy, frames, moved int
	if _, err := c.one("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved); err != nil {
		return wrap("scrub", err)
	}
	if busy != 0 {
		return wrap("scrub", errors.New("the log is in use"))
	}
	return nil
}
