package pgstore

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/anteroom/anteroom/ticket"
)

const (
	// maxWord bounds the bytes of a word in the index, which takes up to 2046.
	// Longer ones are found by their beginning.
	maxWord = 1000
	// maxWords bounds the words of one message in the index, and maxVector the
	// bytes that they take in all scopes, of which it takes 1 MiB.
	maxWords  = 8000
	maxVector = 1_000_000
)

// index returns the words of a folded text, each once.
func index(text string) []string {
	words := strings.Fields(clean(text))
	for i, w := range words {
		words[i] = cut(w)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	size := 0
	for i, w := range words {
		if size += len(scopes) * (len(w) + maxMark); i == maxWords || size > maxVector {
			return words[:i]
		}
	}
	return words
}

// cut cuts a long word at a character.
func cut(w string) string {
	if len(w) <= maxWord {
		return w
	}
	n := maxWord
	for !utf8.RuneStart(w[n]) {
		n--
	}
	return w[:n]
}

// Scopes of the index of words: all tickets of a portal, or those whose ids begin
// with the same characters. See migrations/0001_init.sql.
type scope struct {
	mark  byte
	chars int // of the ticket's id
}

var scopes = [...]scope{ever: {'a', 0}, weeks: {'b', 4}, days: {'c', 5}}

// The scopes by how far they reach.
const (
	ever = iota
	weeks
	days
)

// maxMark is how many bytes stand before a word at the most: the scope's mark, the
// portal's number, five characters of an id, and two between them.
const maxMark = 1 + 19 + 5*utf8.UTFMax + 2

// token returns a word as it is in the index for one scope.
func (s scope) token(portal, id, word string) string {
	if s.chars == 0 {
		return string(s.mark) + portal + " " + word
	}
	return string(s.mark) + portal + "." + prefix(id, s.chars) + " " + word
}

// prefix returns the first characters of an id.
func prefix(id string, chars int) string {
	for i := range id {
		if chars == 0 {
			return id[:i]
		}
		chars--
	}
	return id
}

// between stands between lexemes: no word holds it.
const between = "\n"

// vector returns the lexemes of words for a message of a ticket, or of none. In
// this form the server makes a tsvector of them in half the time that it takes to
// read one.
func vector(portal int64, id string, words []string) string {
	name := strconv.FormatInt(portal, 10)
	var b strings.Builder
	for _, s := range scopes {
		// No search looks for ids like the latter by their beginning.
		if s.chars > 0 && (id == "" || strings.Contains(prefix(id, s.chars), between)) {
			continue
		}
		for _, w := range words {
			if b.Len() > 0 {
				b.WriteString(between)
			}
			b.WriteString(s.token(name, id, w))
		}
	}
	return b.String()
}

// quote writes a lexeme as tsquery reads it.
func quote(b *strings.Builder, lexeme string) {
	b.WriteByte('\'')
	for i := range len(lexeme) {
		if c := lexeme[i]; c == '\'' || c == '\\' {
			b.WriteByte(c)
		}
		b.WriteByte(lexeme[i])
	}
	b.WriteByte('\'')
}

// match returns the tsquery for words, each of which must begin a word in the
// scope of one of ids.
func (s scope) match(portal int64, ids, words []string) string {
	name := strconv.FormatInt(portal, 10)
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(" & ")
		}
		b.WriteByte('(')
		for j, id := range ids {
			if j > 0 {
				b.WriteString(" | ")
			}
			quote(&b, s.token(name, id, w))
			b.WriteString(":*")
		}
		b.WriteByte(')')
	}
	return b.String()
}

// terms returns the words to look for. They are folded once more: they may come
// from anywhere, and what is left of them has neither quotes nor operators.
func terms(given []string) []string {
	return index(strings.Join(ticket.Terms(strings.Join(given, " ")), " "))
}

// window returns the two newest scopes at or below a ticket's id, by the ids with
// which they begin: the newest tickets are all there. ok is false if ids are not
// such that this can be told.
func (s scope) window(top string) (ids []string, ok bool) {
	p := prefix(top, s.chars)
	if len(p) != s.chars {
		return nil, false
	}
	n, err := strconv.ParseUint(p, 16, 32)
	if err != nil || strings.ToLower(p) != p || p[0] == '+' {
		return nil, false
	}
	if n == 0 {
		return []string{p}, true
	}
	before := strconv.FormatUint(n-1, 16)
	return []string{p, strings.Repeat("0", s.chars-len(before)) + before}, true
}
