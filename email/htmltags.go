package email

import "golang.org/x/net/html/atom"

// voidElement reports whether elements of the tag have no content.
func voidElement(a atom.Atom) bool {
	switch a {
	case atom.Br, atom.Img, atom.Hr, atom.Input, atom.Meta, atom.Link, atom.Area, atom.Base, atom.Col, atom.Embed, atom.Source, atom.Track, atom.Wbr, atom.Param:
		return true
	}
	return false
}

// isContainer reports whether elements of the tag nest, so that the end tag of
// a marked one must be told from those inside it.
func isContainer(a atom.Atom) bool {
	switch a {
	case atom.Div, atom.Span, atom.Blockquote, atom.Table, atom.Td, atom.Tr, atom.Section, atom.Pre, atom.P:
		return true
	}
	return false
}

// isBlock reports whether elements of the tag begin on a line of their own.
func isBlock(a atom.Atom) bool {
	switch a {
	case atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Center, atom.Dt, atom.Dd, atom.Fieldset, atom.Form, atom.Main, atom.Nav, atom.Aside, atom.Figure, atom.Caption, atom.Body, atom.Thead, atom.Tbody:
		return true
	}
	return false
}

// atomOf returns the atom of a tag's name in lower case, or 0. The common ones
// are told apart without hashing.
func atomOf(name string) atom.Atom {
	switch name {
	case "a":
		return atom.A
	case "b":
		return atom.B
	case "br":
		return atom.Br
	case "div":
		return atom.Div
	case "font":
		return atom.Font
	case "img":
		return atom.Img
	case "p":
		return atom.P
	case "span":
		return atom.Span
	case "strong":
		return atom.Strong
	case "table":
		return atom.Table
	case "tbody":
		return atom.Tbody
	case "td":
		return atom.Td
	case "tr":
		return atom.Tr
	}
	return atom.Lookup([]byte(name))
}
