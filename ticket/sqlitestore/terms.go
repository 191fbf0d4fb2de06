package sqlitestore

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

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

// expand makes the query of the terms. It returns false if one of them begins no
// word of the index.
func (f *finder) expand(terms []string) (bool, error) {
	all := make([]string, 0, len(terms))
	// Long words are rare, and soon show that there is nothing to be found.
	slices.SortFunc(terms, func(a, b string) int { return len(b) - len(a) })
	for _, term := range terms {
		words, err := f.begunBy(term)
		if err != nil || len(words) == 0 {
			return false, err
		}
		if most := f.searchBounds.words; len(words) > most {
			light, err := f.light(term)
			if err != nil {
				return false, err
			}
			if light {
				f.wide = true
				all = append(all, `"`+term+`"*`)
				continue
			}
			words = words[:most]
		}
		all = append(all, `("`+strings.Join(words, `" OR "`)+`")`)
	}
	f.match = strings.Join(all, " AND ")
	return true, nil
}

// begunBy returns the words of the index that a term begins, or one more than the
// bound. Each is a seek: the messages of one are not read to come to the next.
func (f *finder) begunBy(term string) (words []string, err error) {
	err = f.c.each(f.ctx, `WITH RECURSIVE w(t) AS (
			SELECT (SELECT term FROM words WHERE term >= ?1 LIMIT 1)
			UNION ALL SELECT (SELECT term FROM words WHERE term >= t || char(0) LIMIT 1) FROM w WHERE t < ?2)
		SELECT t FROM w WHERE t < ?2 LIMIT ?3`, []any{term, term + "\U0010FFFF", f.searchBounds.words + 1}, func(scan func(...any) error) error {
		var w string
		err := scan(&w)
		words = append(words, w)
		return err
	})
	return words, err
}

// light reports whether the messages of all words that a term begins can be
// gathered.
func (f *finder) light(term string) (bool, error) {
	var n int
	_, err := f.c.one("SELECT count(*) FROM (SELECT 1 FROM words WHERE term >= ? AND term < ? LIMIT ?)",
		[]any{term, term + "\U0010FFFF", f.gathered + 1}, &n)
	return n <= f.gathered, err
}
