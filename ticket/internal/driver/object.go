package driver

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// object appends the members of a JSON object, byte for byte as encoding/json does
// without its escaping of HTML, which looks at each field of a type each time.
// The methods that leave out what is empty end in If.
type object struct {
	b   []byte
	err error
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// document returns what f appends to an object.
func document(f func(o *object)) (string, error) {
	buf, ok := buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	o := object{b: append((*buf)[:0], '{')}
	f(&o)
	o.b = append(o.b, '}')
	doc := ""
	if o.err == nil {
		doc = string(o.b)
	}
	if cap(o.b) <= maxKept {
		*buf = o.b
		buffers.Put(buf)
	}
	return doc, o.err
}

func (o *object) name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...) // ours, without anything to escape
	o.b = append(o.b, '"', ':')
}

func (o *object) begin(name string) {
	o.name(name)
	o.b = append(o.b, '{')
}

func (o *object) end() { o.b = append(o.b, '}') }

func (o *object) text(name, v string) {
	o.name(name)
	o.b = appendText(o.b, v)
}

func (o *object) textIf(name, v string) {
	if v != "" {
		o.text(name, v)
	}
}

func (o *object) number(name string, v int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) numberIf(name string, v int64) {
	if v != 0 {
		o.number(name, v)
	}
}

func (o *object) flag(name string, v bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) flagIf(name string, v bool) {
	if v {
		o.flag(name, v)
	}
}

// time appends a time in the form in which it is kept.
func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.b = append(o.b, '"')
	b, err := kept(t).AppendText(o.b)
	if err != nil {
		o.fail(err)
		return
	}
	o.b = b
	o.b = append(o.b, '"')
}

func (o *object) timeIf(name string, t time.Time) {
	if !kept(t).IsZero() {
		o.time(name, t)
	}
}

// value appends what is rare, or has many forms.
func (o *object) value(name string, v any) {
	doc, err := Encode(v)
	if err != nil {
		o.fail(err)
		return
	}
	o.name(name)
	o.b = append(o.b, doc...)
}

// valuesIf appends a slice as value does.
func valuesIf[V any](o *object, name string, v []V) {
	if len(v) > 0 {
		o.value(name, v)
	}
}

// wordsIf appends a slice of strings.
func wordsIf[S ~string](o *object, name string, v []S) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i, s := range v {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendText(o.b, string(s))
	}
	o.b = append(o.b, ']')
}

// objectsIf appends a slice of objects.
func objectsIf[V any](o *object, name string, v []V, f func(o *object, v *V)) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i := range v {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		f(o, &v[i])
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

// dataIf appends a map, in the order of its keys.
func (o *object) dataIf(name string, v map[string]string) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '{')
	for i, k := range slices.Sorted(maps.Keys(v)) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendText(o.b, k)
		o.b = append(o.b, ':')
		o.b = appendText(o.b, v[k])
	}
	o.b = append(o.b, '}')
}

func (o *object) party(p *channel.Party) {
	o.text("name", p.Name)
	o.text("address", p.Address)
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// plain says which bytes stand in a string for themselves.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

const hex = "0123456789abcdef"

// appendText appends a string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, '\\', 'b')
			case '\f':
				b = append(b, '\\', 'f')
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			done = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, s[done:i]...)
			b = append(b, `\ufffd`...)
			done = i + n
		case r == '\u2028' || r == '\u2029': // for what takes JSON for JavaScript
			b = append(b, s[done:i]...)
			b = append(b, `\u202`...)
			b = append(b, hex[r&15])
			done = i + n
		}
		i += n
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// kept returns t as it is kept: in UTC, cut to the microsecond.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
