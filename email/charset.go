package email

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	mailcharset "github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/unicode/norm"
)

// decodeCharset turns b into valid UTF-8 without NUL. It returns a defect if the
// charset was unknown or b was not in it.
//
// An empty charset means that none was named: the bytes are then taken for
// UTF-8, ISO-2022 or windows-1252, by what they look like. Bytes that UTF-8 does
// not allow are read as windows-1252.
func decodeCharset(b []byte, charset string) (text, defect string) {
	label := charsetLabel(charset)
	switch label {
	case "", "us-ascii", "ascii", "utf-8":
		return decodeUTF8(b, label)
	case "utf-7":
		return dropNUL(decodeUTF7(b)), ""
	}
	if r := charsetReader(label, bytes.NewReader(b)); r != nil {
		out, err := io.ReadAll(r)
		if err == nil {
			if label == "windows-1258" {
				// Its accents are combining marks; people search for letters.
				out = norm.NFC.Bytes(out)
			}
			return dropNUL(strings.TrimPrefix(string(out), "\ufeff")), ""
		}
	}
	text, _ = decodeUTF8(b, "")
	return text, "unknown charset " + quoteShort(charset) + ": read as UTF-8 or windows-1252"
}

// decodeUTF8 reads b as UTF-8, and each byte that is not as windows-1252.
func decodeUTF8(b []byte, label string) (text, defect string) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if label != "utf-8" && looksISO2022JP(b) {
		if r := charsetReader("iso-2022-jp", bytes.NewReader(b)); r != nil {
			if out, err := io.ReadAll(r); err == nil {
				return dropNUL(string(out)), ""
			}
		}
	}
	if utf8.Valid(b) {
		return dropNUL(string(b)), ""
	}
	var s strings.Builder
	s.Grow(len(b) + len(b)/4)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
			n = 1
		}
		s.WriteRune(r)
		b = b[n:]
	}
	if label == "" {
		label = "no charset"
	}
	return dropNUL(s.String()), "text is not valid (" + label + "): invalid bytes were read as windows-1252"
}

// charsetLabel returns a charset's name in the form that the tables below know.
func charsetLabel(charset string) string {
	s := strings.ToLower(strings.Trim(strings.TrimSpace(charset), `"';`))
	if i := strings.IndexAny(s, " ;,"); i > 0 {
		s = s[:i]
	}
	switch s {
	case "utf8", "utf_8", "utf-8mb4", "utf8mb4", "unicode-1-1-utf-8", "x-utf-8", "unicode":
		return "utf-8"
	case "utf7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7":
		return "utf-7"
	case "ansi_x3.4-1968", "iso646-us", "us_ascii", "usascii", "default", "default_charset", "unknown-8bit", "x-unknown", "unknown", "_autodetect", "_autodetect_all":
		return ""
	case "cp932", "ms932", "windows-31j", "sjis", "x-sjis", "shift-jis":
		return "shift_jis"
	case "cp936", "ms936", "x-gbk", "gb_2312-80", "gb2312-80":
		return "gbk"
	case "cp949", "ms949", "ks_c_5601-1987", "euckr":
		return "euc-kr"
	case "cp950":
		return "big5"
	case "cp-850", "cp850", "ibm850":
		return "ibm850"
	case "cp1258", "win-1258", "x-cp1258", "windows1258":
		return "windows-1258"
	case "cp1252", "win-1252", "windows1252", "ansi", "latin1", "iso8859-1", "iso_8859-1", "iso-8859-1":
		return "windows-1252"
	case "koi8r", "koi8_r", "koi":
		return "koi8-r"
	}
	if n, ok := strings.CutPrefix(s, "cp-"); ok {
		return "cp" + n
	}
	return s
}

// charsetReader returns a reader that decodes the charset, or nil. The names of
// the web come first, since they read each charset as its superset in use.
func charsetReader(label string, r io.Reader) io.Reader {
	if enc, err := htmlindex.Get(label); err == nil {
		if name, _ := htmlindex.Name(enc); name == "replacement" {
			return nil
		}
		return enc.NewDecoder().Reader(r)
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil && enc != nil {
		return enc.NewDecoder().Reader(r)
	}
	if enc, err := mailcharset.Reader(label, r); err == nil {
		return enc
	}
	return nil
}

// looksISO2022JP reports whether b is 7-bit text with the escapes of ISO-2022-JP.
func looksISO2022JP(b []byte) bool {
	i := bytes.Index(b, []byte("\x1b$"))
	if i < 0 || i+2 >= len(b) || b[i+2] != 'B' && b[i+2] != '@' {
		return false
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// decodeUTF7 decodes RFC 2152. It is never used on HTML, where it would let
// markup appear that no filter saw.
func decodeUTF7(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); {
		if b[i] != '+' {
			if b[i] < 0x80 {
				s.WriteByte(b[i])
			} else {
				s.WriteRune(charmap.Windows1252.DecodeByte(b[i]))
			}
			i++
			continue
		}
		end := i + 1
		for end < len(b) && base64Index(b[end]) >= 0 {
			end++
		}
		if end == i+1 {
			s.WriteByte('+')
		} else {
			s.WriteString(string(utf16.Decode(utf7Units(b[i+1 : end]))))
		}
		if end < len(b) && b[end] == '-' {
			end++
		}
		i = end
	}
	return strings.ToValidUTF8(s.String(), "\ufffd")
}

// utf7Units reads the UTF-16 units of a shifted run.
func utf7Units(b []byte) []uint16 {
	var units []uint16
	acc, n := uint32(0), 0
	for _, c := range b {
		acc = acc<<6 | uint32(base64Index(c))
		n += 6
		if n >= 16 {
			n -= 16
			units = append(units, uint16(acc>>n))
			acc &= 1<<n - 1
		}
	}
	return units
}

func base64Index(c byte) int {
	return strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c)
}

// dropNUL makes s valid UTF-8 without NUL.
func dropNUL(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

// quoteShort quotes text of a stranger for a defect.
func quoteShort(s string) string {
	s = cleanLine(s)
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "..."
	}
	return `"` + s + `"`
}
