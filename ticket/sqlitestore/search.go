package sqlitestore

import "strings"

// placeBits is how many bits of a message's or an event's place number it within
// its portal.
const placeBits = 40

// places returns the first and the last place of a portal.
func places(portal int64) (low, high int64) {
	return portal << placeBits, portal<<placeBits | (1<<placeBits - 1)
}

// indexed is a text for the search index.
type indexed struct {
	place int64
	text  string
	fresh bool // there is none yet
}

// writeIndex writes the texts of a transaction. It is done at the end, after the
// last savepoint, because FTS5 writes a segment at each savepoint.
func (t *tx) writeIndex() error {
	for _, i := range t.index {
		if !i.fresh {
			if _, err := t.exec("DELETE FROM search WHERE rowid = ?", i.place); err != nil {
				return err
			}
		}
		if strings.TrimSpace(i.text) == "" {
			continue
		}
		if err := t.insert(insertSearch, i.place, i.text); err != nil {
			return err
		}
	}
	return t.flush()
}
