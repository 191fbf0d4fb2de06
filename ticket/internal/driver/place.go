package driver

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// Place is where a page ended.
type Place struct {
	List string // the list and its order
	At   int64  // the last entry's sort value, 0 where only ids order
	ID   string // the last entry's
}

// Next returns the cursor for what follows.
func (p Place) Next() ticket.Next {
	s := p.List + " " + strconv.FormatInt(p.At, 36) + " " + p.ID
	return ticket.Next(base64.RawURLEncoding.EncodeToString([]byte(s)))
}

// ParsePlace reads n, which must be of the given list. ok is false for the
// first page. The error wraps [ticket.ErrBadCursor].
func ParsePlace(n ticket.Next, list string) (p Place, ok bool, err error) {
	if n == "" {
		return Place{}, false, nil
	}
	bad := fmt.Errorf("a page of %s: %w", list, ticket.ErrBadCursor)
	b, err := base64.RawURLEncoding.DecodeString(string(n))
	if err != nil {
		return Place{}, false, bad
	}
	name, rest, _ := strings.Cut(string(b), " ")
	at, id, found := strings.Cut(rest, " ")
	p = Place{List: name, ID: id}
	if p.At, err = strconv.ParseInt(at, 36, 64); err != nil || !found || name != list {
		return Place{}, false, bad
	}
	return p, true, nil
}
