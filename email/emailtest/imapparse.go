package emailtest

import (
	"strconv"
	"strings"
)

// imapArg is an argument of a command: a word, or a list.
type imapArg struct {
	word string
	list []imapArg
	is   bool // a list
}

// imapArgs divides the arguments of a command. Literals have been put in as
// quoted strings before.
func imapArgs(s string) []imapArg {
	args, _ := imapList(s)
	return args
}

func imapList(s string) (args []imapArg, rest string) {
	for s != "" {
		switch s[0] {
		case ' ':
			s = s[1:]
		case ')':
			return args, s[1:]
		case '(':
			var list []imapArg
			list, s = imapList(s[1:])
			args = append(args, imapArg{list: list, is: true})
		case '"':
			var b strings.Builder
			i := 1
			for ; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b.WriteByte(s[i])
			}
			args = append(args, imapArg{word: b.String()})
			s = s[min(i+1, len(s)):]
		default:
			// A section has blanks and parentheses in brackets.
			depth, i := 0, 0
			for ; i < len(s) && (depth > 0 || s[i] != ' ' && s[i] != ')' && s[i] != '('); i++ {
				switch s[i] {
				case '[':
					depth++
				case ']':
					depth--
				}
			}
			args = append(args, imapArg{word: s[:i]})
			s = s[i:]
		}
	}
	return args, ""
}

// imapSet is a set of numbers such as 1:3,7:*.
type imapSet string

// has reports whether n is in the set; last is what the asterisk means.
func (set imapSet) has(n, last uint32) bool {
	number := func(s string) uint32 {
		if s == "*" {
			return last
		}
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0
		}
		return uint32(v)
	}
	for r := range strings.SplitSeq(string(set), ",") {
		a, b, isRange := strings.Cut(r, ":")
		low := number(a)
		high := low
		if isRange {
			high = number(b)
		}
		if low > high {
			low, high = high, low // RFC 9051 section 9, seq-range
		}
		if n >= low && n <= high {
			return true
		}
	}
	return false
}

func imapQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
