package sqlitestore

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

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

// words returns the words of terms that a search is for. Terms are folded once
// more: they may come from anywhere, and what is left of them has neither quotes
// nor operators. A word that begins another says nothing more than that one.
func words(terms []string) []string {
	words := ticket.Terms(strings.Join(terms, " "))
	slices.Sort(words)
	var out []string
	for i, w := range words {
		if i+1 == len(words) || !strings.HasPrefix(words[i+1], w) {
			out = append(out, w)
		}
	}
	return out
}
