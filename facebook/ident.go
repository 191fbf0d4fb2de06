package facebook

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// ident is an id. Payloads write the same id as a string, a number or null; it
// must never pass through a float.
type ident string

// UnmarshalJSON implements json.Unmarshaler.
func (i *ident) UnmarshalJSON(b []byte) error {
	switch {
	case bytes.Equal(b, []byte("null")):
		*i = ""
		return nil
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if len(s) > maxID || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xFFFD }) {
			return errors.New("facebook: bad id")
		}
		*i = ident(s)
		return nil
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') && len(b) <= maxID:
		*i = ident(b)
		return nil
	}
	return errors.New("facebook: bad id")
}

// maxID bounds an id; those of messages have up to some 150 characters.
const maxID = 512

// instant is a time in seconds or milliseconds since 1970, as a number or string.
type instant struct{ time.Time }

// millisFrom is the value from which on a time is in milliseconds: in seconds it
// would be in the year 5138.
const millisFrom = 100_000_000_000

// UnmarshalJSON implements json.Unmarshaler. What is no time is zero.
func (t *instant) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil {
		n = 0 // it is no time
	}
	switch {
	case n <= 0 || n > 1<<53:
		t.Time = time.Time{}
	case n < millisFrom:
		t.Time = time.Unix(n, 0).UTC()
	default:
		t.Time = time.UnixMilli(n).UTC()
	}
	return nil
}

// nodeTime is a time as nodes of the Graph have it.
type nodeTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler. What is no time is zero.
func (t *nodeTime) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return (*instant)(t).UnmarshalJSON(b)
	}
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339} {
		if at, err := time.Parse(layout, s); err == nil {
			t.Time = at.UTC()
			return nil
		}
	}
	t.Time = time.Time{}
	return nil
}

// flexBool is true, "true", 1 or "1".
type flexBool bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flexBool) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	*f = flexBool(s == "true" || s == "1")
	return nil
}

// deeper reports whether JSON is nested deeper than limit. It does not look at
// whether it is JSON.
func deeper(b []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
