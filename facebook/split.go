package facebook

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// splitText cuts a text into parts of at most limit UTF-16 units, at the end of a
// line if there is one in the second half, else between words, else anywhere but
// within what readers take for one character.
func splitText(s string, limit int) []string {
	var out []string
	for s != "" {
		units, end, line, word := 0, len(s), 0, 0
		for i, r := range s {
			n := utf16.RuneLen(r)
			if units+n > limit {
				end = i
				break
			}
			units += n
			if r == '\n' && units > limit/2 {
				line = i
			}
			if unicode.IsSpace(r) && i > 0 {
				word = i
			}
		}
		if end < len(s) {
			next, _ := utf8.DecodeRuneInString(s[end:])
			switch {
			case unicode.IsSpace(next):
			case line > 0:
				end = line
			case word > 0:
				end = word
			default:
				end = betweenClusters(s, end)
			}
		}
		if t := strings.TrimSpace(s[:end]); t != "" {
			out = append(out, t)
		}
		s = strings.TrimSpace(s[end:])
	}
	return out
}

// maxCluster bounds how many bytes a cut moves back. What is longer is no
// character that anybody writes.
const maxCluster = 256

// betweenClusters moves a cut back to where a grapheme cluster ends
// (https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundary_Rules).
func betweenClusters(s string, end int) int {
	for at := end; at > 0 && at > end-maxCluster; {
		if !joined(s, at) {
			return at
		}
		_, n := utf8.DecodeLastRuneInString(s[:at])
		at -= n
	}
	return end
}

// joined reports whether what stands before and after a place is one cluster.
func joined(s string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	switch {
	case extends(after), before == zeroWidthJoiner: // GB9, GB9a, GB11
		return true
	case regional(before) && regional(after): // GB12, GB13: flags are pairs
		n := 0
		for rest := s[:at]; rest != ""; n++ {
			r, size := utf8.DecodeLastRuneInString(rest)
			if !regional(r) {
				break
			}
			rest = rest[:len(rest)-size]
		}
		return n%2 == 1
	case unicode.Is(unicode.Hangul, before) && hangulTail(after), hangulLead(before) && unicode.Is(unicode.Hangul, after): // GB6 to GB8
		return true
	}
	return linker(before) && unicode.IsLetter(after) // GB9c
}

const zeroWidthJoiner = '\u200d'

// extends reports whether r belongs to what stands before it.
func extends(r rune) bool {
	return unicode.IsMark(r) || r == zeroWidthJoiner || r == '\u200c' ||
		r >= 0x1f3fb && r <= 0x1f3ff || // tones of skin
		r >= 0xe0020 && r <= 0xe007f || // tags, of the flags of regions
		r == 0xff9e || r == 0xff9f || // voiced marks of half width
		r == 0x0e33 || r == 0x0eb3 // vowels of Thai and Lao that stand for two
}

func regional(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

func hangulLead(r rune) bool { return r >= 0x1100 && r <= 0x115f || r >= 0xa960 && r <= 0xa97c }

func hangulTail(r rune) bool { return r >= 0x1160 && r <= 0x11ff || r >= 0xd7b0 && r <= 0xd7fb }

// linker reports whether r is a sign that joins two consonants of an Indic script.
func linker(r rune) bool {
	switch r {
	case 0x094d, 0x09cd, 0x0acd, 0x0b4d, 0x0c4d, 0x0d4d:
		return true
	}
	return false
}
