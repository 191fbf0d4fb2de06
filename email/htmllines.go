package email

import (
	"bytes"
	"slices"
	"strings"
)

// word writes a word onto the current line.
func (w *textWriter) word(s string) {
	if hasInvisible(s) {
		s = invisible.Replace(s)
	}
	if s != "" {
		w.put(s)
	}
}

// put is word for what can be seen.
func (w *textWriter) put(s string) {
	if w.blank {
		w.blank = false
		if n := len(w.lines); n > 0 && len(bytes.Trim(w.line(n-1), "> ")) > 0 {
			w.emit(w.marks(), nil)
		}
	}
	if w.space && len(w.cur) > 0 {
		w.cur = append(w.cur, ' ')
	}
	w.space = false
	if len(w.cur) == 0 {
		w.mark = w.marks()
	}
	w.cur = append(w.cur, s...)
}

// invisible drops characters that only fill the preview of a mail, and makes
// no-break spaces plain.
var invisible = strings.NewReplacer("\u00a0", " ", "\u200b", "", "\u034f", "", "\u00ad", "", "\ufeff", "", "\x00", "")

// hasInvisible reports whether s may hold what invisible replaces.
func hasInvisible(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case 0, 0xc2, 0xcd, 0xef:
			return true
		case 0xe2:
			if i+2 < len(s) && s[i+1] == 0x80 && s[i+2] == 0x8b {
				return true
			}
		}
	}
	return false
}

func (w *textWriter) marks() textLine {
	return textLine{quoted: w.marked > 0, after: w.after, sign: w.signed > 0}
}

// breakLine ends the line if anything is on it.
func (w *textWriter) breakLine() {
	w.space = false
	if len(w.cur) > 0 {
		w.newline()
	}
}

// newline ends the line, also an empty one.
func (w *textWriter) newline() {
	if len(w.cur) == 0 {
		w.mark = w.marks()
	}
	w.emit(w.mark, bytes.TrimRight(w.cur, " \t"))
	w.cur = w.cur[:0]
	w.space = false
}

// maxQuoteMarks is how many quotes within each other are marked as such: no
// person quotes deeper than this.
const maxQuoteMarks = 20

// emit writes a line of its own.
func (w *textWriter) emit(l textLine, text []byte) {
	from := len(w.out)
	for range min(w.quote, maxQuoteMarks) {
		w.out = append(w.out, "> "...)
	}
	w.out = append(w.out, text...)
	if w.quote > 0 {
		for len(w.out) > from && w.out[len(w.out)-1] == ' ' {
			w.out = w.out[:len(w.out)-1]
		}
	}
	w.size += len(w.out) - from + 1
	w.lines = append(w.lines, l)
	w.ends = append(w.ends, len(w.out))
}

// line returns the text of a line that was written.
func (w *textWriter) line(i int) []byte {
	from := 0
	if i > 0 {
		from = w.ends[i-1]
	}
	return w.out[from:w.ends[i]]
}

// finish returns the lines without empty ones at both ends and without more than
// two empty ones in a row.
func (w *textWriter) finish() []textLine {
	all := string(w.out)
	out := w.lines[:0]
	empty, from := 0, 0
	for i, l := range w.lines {
		l.text = all[from:w.ends[i]]
		from = w.ends[i]
		if l.text == "" {
			empty++
			if len(out) == 0 || empty > 2 {
				continue
			}
		} else {
			empty = 0
		}
		out = append(out, l)
	}
	for len(out) > 0 && out[len(out)-1].text == "" {
		out = out[:len(out)-1]
	}
	return slices.Clip(out)
}
