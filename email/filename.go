package email

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileName is the longest file name in bytes.
const maxFileName = 200

// fileName returns the clean name of a part, or "".
func fileName(p *part) string {
	for _, v := range []string{p.dparams.get("filename"), p.params.get("name"), p.params.get("filename"), p.dparams.get("name")} {
		if n := cleanFileName(v); n != "" {
			return n
		}
	}
	return ""
}

// cleanFileName returns a base name without controls, characters that change
// the direction of writing, and the names that mean folders.
func cleanFileName(s string) string {
	s = cleanLine(s)
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c' {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if strings.Trim(s, ". ") == "" {
		return ""
	}
	return capFileName(s)
}

// capFileName shortens a long name and keeps its extension.
func capFileName(s string) string {
	if len(s) <= maxFileName {
		return s
	}
	ext := ""
	if i := strings.LastIndexByte(s, '.'); i > 0 && len(s)-i <= 20 {
		s, ext = s[:i], s[i:]
	}
	s = s[:min(len(s), maxFileName-len(ext))]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + ext
}
