package email

import "strings"

// Header holds the fields of a mail in their order.
type Header struct {
	Fields []Field
}

// Field is one header field. Value is unfolded and decoded (RFC 2047): one line
// of valid UTF-8 without controls.
type Field struct {
	Name  string // as it was written
	Value string
}

// Get returns the value of the first field with the given name, letter case
// aside, or "".
func (h Header) Get(name string) string {
	for _, f := range h.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Has reports whether there is a field with the given name.
func (h Header) Has(name string) bool {
	for _, f := range h.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// Values returns the values of all fields with the given name, in order.
func (h Header) Values(name string) []string {
	var out []string
	for _, f := range h.Fields {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			out = append(out, f.Value)
		}
	}
	return out
}

// decode decodes all fields. hint is the charset of raw 8-bit bytes.
func (h rawHeader) decode(hint string) Header {
	out := Header{Fields: make([]Field, 0, len(h))}
	for _, f := range h {
		v := strings.TrimSpace(f.value)
		out.Fields = append(out.Fields, Field{Name: f.name, Value: cleanLine(decodeWords(v, hint))})
	}
	return out
}

// headerOf reads the header of an enclosed message, or a block of fields.
func headerOf(b []byte) Header {
	return rawHeaderOf(b).decode("")
}

func rawHeaderOf(b []byte) rawHeader {
	h := &headerReader{lines: linesIn(b), defect: func(string) {}, top: true}
	return h.read()
}
