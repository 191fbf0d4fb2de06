package ticket

import (
	"errors"
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// named reports whether a text names one of the person's addresses, in whatever
// form of writing; see namesAddress.
func (s *tracer) named(text string) bool {
	return slices.ContainsFunc(readings(text), func(reading string) bool {
		return slices.ContainsFunc(s.found.Identities, func(i Identity) bool { return namesAddress(reading, addressKey(i.Address)) })
	})
}

// namedIn is named for what r gives, part by part. Of what is compressed or in
// base64 it sees nothing.
func (s *tracer) namedIn(r io.Reader) (bool, error) {
	// Parts overlap by more than an address is long, in whatever way it is written,
	// with what stands beside it. What is cut at an edge is whole in the part beside.
	const part, overlap, cut = 256 << 10, 8 << 10, "x"
	text, begin := make([]byte, 0, part+overlap), ""
	for {
		n, err := io.ReadFull(r, text[len(text):cap(text)])
		text = text[:len(text)+n]
		end := cut
		if err != nil {
			end = ""
		}
		if s.named(begin + string(text) + end) {
			return true, nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("ticket: read what is held: %w", err)
		}
		text, begin = text[:copy(text, text[len(text)-overlap:])], cut
	}
}

// namesAddress reports whether a text, in lower case, names an address, given as
// addressKey has it: as a whole, with any tag. That of an@c.example is not in
// lan@c.example, nor in an@c.example.org.
//
// RFC 5322 section 3.2.3 lets an address hold much of what separates it from what
// stands beside it in running text and in URLs: an@c.example may be somebody else in
// ?an@c.example, |an@c.example and *an@c.example*. It hardly ever is; so what is no
// letter, digit or one of . _ - + @ between such ends an address.
func namesAddress(text, address string) bool {
	local, domain := address, ""
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		local, domain = address[:at], address[at:]
	}
	if address == "" {
		return false
	}
	find := domain
	if domain == "" {
		find = local
	}
	for from := 0; ; {
		at := strings.Index(text[from:], find)
		if at < 0 {
			return false
		}
		at += from
		from = at + 1
		if goesOn(text[at+len(find):], domain != "") {
			continue
		}
		if domain == "" && !begunBefore(text[:at]) || domain != "" && endsWithLocal(text[:at], local) {
			return true
		}
	}
}

// maxTag is how far before its @ an address is looked for: more than RFC 5321
// section 4.5.3.1.1 allows.
const maxTag = 256

// endsWithLocal reports whether a text ends with the part of an address before
// its @, with or without a tag.
func endsWithLocal(text, local string) bool {
	for end := len(text); ; {
		if before, ok := strings.CutSuffix(text[:end], local); ok && !begunBefore(before) {
			return true
		}
		// Back to the plus sign before, if all from there on may be a tag.
		end = strings.LastIndexFunc(text[:end], func(c rune) bool { return c == '+' || !inWord(c) && !strings.ContainsRune("._-=", c) })
		if end < len(text)-maxTag || end < 0 || text[end] != '+' {
			return false
		}
	}
}

// begunBefore reports whether an address that follows a text has begun in it.
func begunBefore(text string) bool {
	rest := strings.TrimRight(text, "._-+@")
	c, _ := utf8.DecodeLastRuneInString(rest)
	return joins(c) && !strings.HasSuffix(text, "..") // an ellipsis: no address has two full stops
}

// goesOn reports whether an address goes on in a text: a full stop may also end
// the sentence, and a hyphen or underscore be no part of it. What has an @ has no
// second one, so that it ends there, as in the URL of a mailbox.
func goesOn(text string, mail bool) bool {
	joints := "-_@"
	if mail {
		joints = "-_"
	}
	rest, stop := strings.CutPrefix(text, ".")
	c, _ := utf8.DecodeRuneInString(strings.TrimLeft(rest, joints))
	return joins(c) || stop && inWord(c) // as in a domain of another script
}

// joins reports whether c, beside an address, makes it part of a longer word. Some
// scripts have no blanks between words, or hang what English has before a word on its end.
func joins(c rune) bool {
	return inWord(c) && c != 'ー' && !unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// inWord reports whether c is a letter, its mark, or a digit. What is no UTF-8 may
// be a quotation mark of another character set.
func inWord(c rune) bool {
	return c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsMark(c) || unicode.IsDigit(c))
}

// escapedTimes is how often a text may have been escaped: a URL in JSON in JSON.
const escapedTimes = 3

// readings returns what a text may say, in lower case: as it stands, and with the
// escapes of URLs, JSON, HTML and quoted-printable undone.
func readings(text string) []string {
	all := []string{strings.ToLower(text)}
	if !strings.ContainsAny(text, `%=\&`) {
		return all
	}
	for _, form := range []string{text, unquoted(text)} {
		if form != text {
			all = append(all, strings.ToLower(form))
		}
		if strings.Contains(form, "%40") {
			// A form writes a blank as a plus sign, and then a plus sign and an @ by escapes.
			all = append(all, strings.ToLower(unescaped(strings.NewReplacer("+", " ", "@", "x").Replace(form))))
		}
		for range escapedTimes {
			plain := unescaped(html.UnescapeString(form))
			if plain == form {
				break
			}
			form = plain
			all = append(all, strings.ToLower(form))
		}
	}
	return all
}

// unquoted undoes quoted-printable (RFC 2045 section 6.7), whose digits are
// capitals: ?to=adam@c.example is none.
func unquoted(text string) string {
	return replaced(text, "=", func(_ byte, after string) (string, int) {
		soft := strings.TrimLeft(after, " \t")
		for _, end := range []string{"\r\n", "\n"} {
			if strings.HasPrefix(soft, end) {
				return "", len(after) - len(soft) + len(end)
			}
		}
		if after[:min(2, len(after))] != strings.ToUpper(after[:min(2, len(after))]) {
			return "", -1
		}
		return hexByte(after)
	})
}

// unescaped undoes the escapes of URLs (RFC 3986 section 2.1) and JSON (RFC 8259
// section 7), once.
func unescaped(text string) string {
	return replaced(text, `%\`, func(mark byte, after string) (string, int) {
		switch {
		case mark == '%':
			return hexByte(after)
		case after == "":
			return "", -1
		case after[0] == 'u' && len(after) > 4:
			v, err := strconv.ParseUint(after[1:5], 16, 16)
			if err != nil {
				return "", -1
			}
			return string(rune(v)), 5
		case strings.IndexByte("bfnrt", after[0]) >= 0:
			return " ", 1
		case strings.IndexByte(`"\/`, after[0]) >= 0:
			return after[:1], 1
		}
		return "", -1
	})
}

func hexByte(digits string) (string, int) {
	if len(digits) < 2 {
		return "", -1
	}
	v, err := strconv.ParseUint(digits[:2], 16, 8)
	if err != nil {
		return "", -1
	}
	return string([]byte{byte(v)}), 2
}

// replaced returns a text in which read has said, of each of the marks and what
// comes after it, what stands for it and how many more bytes that takes: less than 0
// for a mark that stays.
func replaced(text, marks string, read func(mark byte, after string) (plain string, n int)) string {
	at := strings.IndexAny(text, marks)
	if at < 0 {
		return text
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexAny(text, marks) {
		plain, n := read(text[at], text[at+1:])
		if n < 0 {
			plain, n = text[at:at+1], 0
		}
		b.WriteString(text[:at])
		b.WriteString(plain)
		text = text[at+1+n:]
	}
	b.WriteString(text)
	return b.String()
}
