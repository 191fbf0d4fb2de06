package email

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// word is an encoded word (RFC 2047), decoded up to its charset.
type word struct {
	charset string
	data    []byte
}

// decodeWords decodes the encoded words of a header value leniently: inside
// quotes, without blanks between them, with blanks inside, without padding, cut
// inside a character. hint is the charset of raw 8-bit bytes, empty if unknown.
func decodeWords(s, hint string) string {
	s, _ = decodeHeaderBytes(s, hint)
	if !strings.Contains(s, "=?") {
		return s
	}
	var b strings.Builder
	var run []word // words that follow each other
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, rest, ok := cutWord(s[i:])
		if !ok {
			flushWords(&b, &run)
			b.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		// Blanks between encoded words are not part of the text.
		if len(run) == 0 || strings.TrimLeft(s[:i], " \t") != "" {
			flushWords(&b, &run)
			b.WriteString(s[:i])
		}
		run = append(run, w)
		s = rest
	}
	flushWords(&b, &run)
	b.WriteString(s)
	return b.String()
}

// flushWords decodes a run of words. Words of one charset are joined before,
// since some writers cut inside a character.
func flushWords(b *strings.Builder, run *[]word) {
	ws := *run
	for i := 0; i < len(ws); {
		data := ws[i].data
		j := i + 1
		for ; j < len(ws) && strings.EqualFold(ws[j].charset, ws[i].charset); j++ {
			data = append(data, ws[j].data...)
		}
		text, _ := decodeCharset(data, ws[i].charset)
		b.WriteString(text)
		i = j
	}
	*run = nil
}

// maxWordText is the longest encoded word that is decoded, in bytes. They should
// have 75 at the most, but some writers care little.
const maxWordText = 8 << 10

// cutWord takes an encoded word off the front of s, which begins with "=?".
func cutWord(s string) (w word, rest string, ok bool) {
	charset, tail, ok := strings.Cut(s[2:], "?")
	if !ok || charset == "" || len(charset) > 60 || strings.ContainsAny(charset, " \t\"<>@,") {
		return w, s, false
	}
	if len(tail) < 2 || tail[1] != '?' {
		return w, s, false
	}
	enc := tail[0] | 0x20
	// The bound keeps a header of beginnings without ends cheap.
	end := strings.Index(tail[2:min(len(tail), maxWordText)], "?=")
	if end < 0 {
		return w, s, false
	}
	text, rest := tail[2:2+end], tail[2+end+2:]
	w.charset, _, _ = strings.Cut(charset, "*") // a language may follow (RFC 2231 section 5)
	switch enc {
	case 'q':
		w.data = wordQ(text)
	case 'b':
		w.data = wordB(text)
	default:
		return w, s, false
	}
	return w, rest, true
}

// wordQ decodes the Q encoding; what is no escape stays.
func wordQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s):
			if c, ok := unhex(s[i+1], s[i+2]); ok {
				out = append(out, c)
				i += 2
			} else {
				out = append(out, '=')
			}
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// wordB decodes base64, skipping foreign bytes and caring for no padding.
func wordB(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := range len(s) {
		if base64Index(s[i]) >= 0 {
			clean = append(clean, s[i])
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	if err != nil {
		return out[:n]
	}
	return out[:n]
}

// decodeHeaderBytes turns the raw bytes of a header value into UTF-8. 8-bit
// headers are not standard, but common: in UTF-8, or in the charset of the body.
func decodeHeaderBytes(s, hint string) (text, defect string) {
	if isPlain(s) || isASCII(s) && strings.IndexByte(s, 0x1b) < 0 {
		return dropNUL(s), ""
	}
	b := []byte(s)
	if text, defect = decodeCharset(b, ""); defect == "" {
		return text, ""
	}
	if label := charsetLabel(hint); label != "" && label != "utf-8" && label != "us-ascii" {
		if t, d := decodeCharset(b, hint); d == "" {
			return t, ""
		}
	}
	return text, "header with 8-bit bytes that are not UTF-8: read as windows-1252"
}

// isPlain reports whether s is ASCII without controls, as nearly all fields are.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// cleanLine makes s one line for people: controls and line breaks become blanks,
// and characters that change the direction of writing go.
func cleanLine(s string) string {
	if isPlain(s) {
		return strings.TrimSpace(s)
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case isBidiControl(r) || r == '\ufeff':
			return -1
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, dropNUL(s))
	return strings.TrimSpace(s)
}

// isBidiControl reports whether r changes the direction of writing, which can
// make a name or a file name look like another (UAX 9).
func isBidiControl(r rune) bool {
	return r == '\u200e' || r == '\u200f' || r == '\u061c' ||
		'\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// asciiLower lowers ASCII letters only, so that every index stays what it was.
func asciiLower(s string) string {
	i := 0
	for i < len(s) && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if c := b[i]; 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
