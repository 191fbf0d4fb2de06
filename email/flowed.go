package email

import "strings"

// unflow joins the lines of format=flowed text (RFC 3676 section 4). Quoted
// lines keep their marks.
func unflow(s string, delSp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	open, depth := false, 0 // the last line goes on, at that depth
	for i, line := range strings.Split(s, "\n") {
		d := len(line) - len(strings.TrimLeft(line, ">"))
		text := strings.TrimPrefix(line[d:], " ") // stuffing
		signature := text == "-- "
		if open && (d != depth || signature) {
			open = false
		}
		if !open {
			if i > 0 {
				b.WriteByte('\n')
			}
			if d > 0 {
				b.WriteString(strings.Repeat(">", d))
				if text != "" {
					b.WriteByte(' ')
				}
			}
		}
		open, depth = strings.HasSuffix(text, " ") && !signature, d
		if open && delSp {
			text = strings.TrimSuffix(text, " ")
		}
		b.WriteString(text)
	}
	return b.String()
}
