package email

import (
	"regexp"
	"strings"
	"unicode"
)

// splitNew returns what is new in lines: what stands above the first strong
// mark of a quote. It returns false where nothing can be told apart: there is no
// quote, the answer stands between or below the quoted lines, or the mail
// forwards what it quotes, as forward says of its subject.
func splitNew(lines []textLine, forward bool) ([]textLine, bool) {
	i, style := firstQuote(lines)
	if i < 0 || style == quoteForward || style == quoteAll && forward {
		return lines, false
	}
	if style == quotePrefixed && hasOwnText(lines[i:]) {
		return lines, false
	}
	if style == quoteMarked && hasUnmarkedText(lines[i:]) {
		return lines, false
	}
	above := trimLines(lines[:i])
	if !hasWord(above) {
		return lines, false
	}
	return above, true
}

// quoteStyle says how the quoted text is told from what is below it.
type quoteStyle int

const (
	quoteAll      quoteStyle = iota // all that follows is quoted
	quotePrefixed                   // quoted lines begin with ">"
	quoteMarked                     // the HTML marks them
	quoteForward                    // the quoted mail is what the mail is about
)

// maxAttributionTries bounds the lines that are looked at for an attribution, so
// that a hostile text costs no more than a long one.
const maxAttributionTries = 300

// firstQuote finds the first strong mark of a quote, or -1.
func firstQuote(lines []textLine) (int, quoteStyle) {
	tries := 0
	for i, l := range lines {
		s := plainLine(l.text)
		switch {
		case isForwardLine(s):
			return i, quoteForward
		case isOriginalLine(s):
			return i, quoteAll
		case l.after:
			return i, quoteAll
		case l.quoted:
			if forwardWithin(lines[i:]) {
				return i, quoteForward
			}
			return attributionAbove(lines, i), quoteMarked
		case isQuoted(l.text):
			if i == 0 || trailingQuote(lines[i:]) {
				return attributionAbove(lines, i), quotePrefixed
			}
			// Quoted lines with an answer below them.
			return i, quotePrefixed
		}
		if tries < maxAttributionTries {
			n, tried := attribution(lines[i:])
			if n > 0 {
				return i, styleBelow(lines[i+n:])
			}
			if tried {
				tries++
			}
		}
		if headerBlock(lines[i:]) {
			return ruleAbove(lines, i), quoteAll
		}
	}
	return -1, quoteAll
}

// styleBelow tells how the text below an attribution is quoted.
func styleBelow(lines []textLine) quoteStyle {
	for _, l := range lines {
		if strings.TrimSpace(l.text) == "" {
			continue
		}
		if l.quoted {
			return quoteMarked
		}
		if isQuoted(l.text) {
			return quotePrefixed
		}
		return quoteAll
	}
	return quoteAll
}

func isQuoted(s string) bool { return strings.HasPrefix(strings.TrimLeft(s, " \t"), ">") }

// trailingQuote reports whether only quoted and empty lines follow.
func trailingQuote(lines []textLine) bool { return !hasOwnText(lines) }

// hasOwnText reports whether there is text that is not quoted below the first
// quoted line, a signature aside.
func hasOwnText(lines []textLine) bool {
	quoted := false
	for i, l := range lines {
		s := strings.TrimSpace(l.text)
		switch {
		case s == "":
		case isQuoted(s):
			quoted = true
		case quoted && (isSignatureDelimiter(l.text) || l.sign || isMobileLine(s)):
			return false
		case quoted:
			// Another quote's lines are quoted in turn, or all the rest is.
			n, _ := attribution(lines[i:])
			return n == 0
		}
	}
	return false
}

// hasUnmarkedText is hasOwnText for quotes that the HTML marks.
func hasUnmarkedText(lines []textLine) bool {
	quoted := false
	for _, l := range lines {
		s := strings.TrimSpace(l.text)
		switch {
		case s == "":
		case l.quoted || isQuoted(s) || l.after:
			quoted = true
		case quoted && (l.sign || isSignatureDelimiter(l.text) || isMobileLine(s)):
			return false
		case quoted && wordsIn(s):
			return true
		}
	}
	return false
}

// attributionAbove moves a quote's beginning up to its attribution, which the
// lines above it may hold.
func attributionAbove(lines []textLine, i int) int {
	for up := i - 1; up >= 0 && up >= i-6; up-- {
		if n, _ := attribution(lines[up:]); n > 0 {
			return up
		}
	}
	// A line that ends in a colon right above a quote introduces it.
	j := i - 1
	for j >= 0 && strings.TrimSpace(lines[j].text) == "" && i-j < 3 {
		j--
	}
	if j > 0 && i-j <= 2 && (endsLikeAttribution(lines[j].text) || matchesAttribution(plainLine(lines[j].text))) {
		return j
	}
	return i
}

var attributionTail = regexp.MustCompile(`(\d{4}|\d{1,2}[:.]\d{2}|@\S+).*[:：]\s*$`)

// endsLikeAttribution reports whether a line names a date or an address and ends
// in a colon, in whatever language.
func endsLikeAttribution(s string) bool {
	return len(s) < 300 && attributionTail.MatchString(s)
}

// ruleAbove moves a quote's beginning up over a rule of dashes or underscores.
func ruleAbove(lines []textLine, i int) int {
	for j := i - 1; j >= 0 && j >= i-2; j-- {
		s := strings.TrimSpace(lines[j].text)
		if len(s) >= 3 && strings.Trim(s, "_-*=") == "" {
			return j
		}
		if s != "" {
			break
		}
	}
	return i
}

// forwardWithin reports whether the first lines of a marked quote say that it
// is a forwarded mail.
func forwardWithin(lines []textLine) bool {
	n := 0
	for _, l := range lines {
		s := plainLine(l.text)
		if s == "" {
			continue
		}
		if isForwardLine(s) {
			return true
		}
		if n++; n > 3 {
			break
		}
	}
	return false
}

// plainLine is a line without the asterisks of bold text and outer blanks, and
// with plain blanks.
func plainLine(s string) string {
	if strings.IndexByte(s, '*') >= 0 {
		s = strings.ReplaceAll(s, "*", "")
	}
	if strings.Contains(s, "\u00a0") {
		s = strings.ReplaceAll(s, "\u00a0", " ")
	}
	return strings.TrimSpace(s)
}

func trimLines(lines []textLine) []textLine {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1].text) == "" {
		lines = lines[:len(lines)-1]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[0].text) == "" {
		lines = lines[1:]
	}
	return lines
}

func hasWord(lines []textLine) bool {
	for _, l := range lines {
		if wordsIn(l.text) {
			return true
		}
	}
	return false
}

func wordsIn(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.So, r)
	})
}

// linesOf cuts text into lines without marks.
func linesOf(s string) []textLine {
	out := make([]textLine, 0, strings.Count(s, "\n")+1)
	for l := range strings.SplitSeq(s, "\n") {
		out = append(out, textLine{text: l})
	}
	return out
}

func textOf(lines []textLine) string {
	size := len(lines)
	for _, l := range lines {
		size += len(l.text)
	}
	var b strings.Builder
	b.Grow(size)
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l.text)
	}
	return b.String()
}
