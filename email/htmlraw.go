package email

import "strings"

// rawText reads the text of an element that holds no tags. It returns htmlEnd if
// there is none.
func (z *htmlTokens) rawText() htmlKind {
	name, from := z.raw, z.pos
	z.raw = ""
	switch name {
	case "plaintext":
		z.pos = len(z.s)
	case "script":
		z.pos = scriptEnd(z.s, from)
	default:
		z.pos = rawEnd(z.s, from, name)
	}
	if z.text = z.s[from:z.pos]; z.text == "" {
		return htmlEnd
	}
	if z.odd {
		z.text = strings.ReplaceAll(z.text, "\x00", "\ufffd")
	}
	if name == "textarea" || name == "title" {
		return htmlText
	}
	return htmlRaw
}

// rawEnd returns where the end tag of the element begins, or the end.
func rawEnd(s string, i int, name string) int {
	for {
		j := strings.Index(s[i:], "</")
		if j < 0 {
			return len(s)
		}
		i += j
		if isEndTag(s[i:], name) {
			return i
		}
		i += 2
	}
}

// isEndTag reports whether s, which begins with "</", is the end tag of the
// element.
func isEndTag(s, name string) bool {
	n := 2 + len(name)
	return len(s) > n && strings.EqualFold(s[2:n], name) && endsTagName(s[n])
}

func endsTagName(c byte) bool { return isTagSpace(c) || c == '/' || c == '>' }

// scriptState is where in a script a reader is: an end tag inside of a comment
// inside of a script may be text.
type scriptState int

const (
	scriptData scriptState = iota
	scriptEscaped
	scriptDoubleEscaped
)

// scriptEnd returns where the end tag of a script begins, or the end (WHATWG
// HTML 13.2.5.15 to 13.2.5.31).
func scriptEnd(s string, i int) int {
	state, dashes := scriptData, 0
	for i < len(s) {
		if state == scriptData {
			j := strings.IndexByte(s[i:], '<')
			if j < 0 {
				break
			}
			i += j
		}
		c := s[i]
		switch {
		case c == '<':
			if state != scriptDoubleEscaped && strings.HasPrefix(s[i:], "</") && isEndTag(s[i:], "script") {
				return i
			}
			state, i = scriptTag(s, i, state)
			dashes = 0
			if state == scriptEscaped && s[i-1] == '-' {
				dashes = 2 // it was "<!--"
			}
			continue
		case c == '-':
			dashes++
		case c == '>' && dashes >= 2:
			state, dashes = scriptData, 0
		default:
			dashes = 0
		}
		i++
	}
	return len(s)
}

// scriptTag tells what a "<" at i that does not end the script does to the
// state, and where to go on.
func scriptTag(s string, i int, state scriptState) (next scriptState, at int) {
	rest := s[i:]
	switch state {
	case scriptData:
		if strings.HasPrefix(rest, "<!--") {
			return scriptEscaped, i + 4
		}
	case scriptEscaped:
		if len(rest) < 2 || rest[1] == '/' {
			return state, i + 1
		}
		if !isLetter(rest[1]) {
			return scriptData, i + 1
		}
		if n := 1 + len("script"); len(rest) > n && strings.EqualFold(rest[1:n], "script") && endsTagName(rest[n]) {
			return scriptDoubleEscaped, i + n + 1
		}
	case scriptDoubleEscaped:
		if strings.HasPrefix(rest, "</") && isEndTag(rest, "script") {
			return scriptEscaped, i + len("</script>")
		}
	}
	return state, i + 1
}
