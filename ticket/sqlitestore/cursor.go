package sqlitestore

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// place is where a page ended: the list and its order, the last entry's sort
// value (0 where only ids order) and id.
type place struct {
	list string
	at   int64
	id   string
}

func (p place) next() ticket.Next {
	s := p.list + " " + strconv.FormatInt(p.at, 36) + " " + p.id
	return ticket.Next(base64.RawURLEncoding.EncodeToString([]byte(s)))
}

// parsePlace reads n, which must be of the given list. ok is false for the
// first page.
func parsePlace(n ticket.Next, list string) (p place, ok bool, err error) {
	if n == "" {
		return place{}, false, nil
	}
	bad := fmt.Errorf("sqlitestore: %s: %w", list, ticket.ErrBadCursor)
	b, err := base64.RawURLEncoding.DecodeString(string(n))
	if err != nil {
		return place{}, false, bad
	}
	name, rest, _ := strings.Cut(string(b), " ")
	at, id, found := strings.Cut(rest, " ")
	p = place{list: name, id: id}
	if p.at, err = strconv.ParseInt(at, 36, 64); err != nil || !found || name != list {
		return place{}, false, bad
	}
	return p, true, nil
}
