package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/anteroom/anteroom/ticket"
)

const (
	maxIDLength    = 400  // bytes of an id in a path
	maxQueryLength = 1000 // bytes of a query parameter
	maxDepth       = 32   // of nested JSON
	maxPage        = 1000 // of a list; the store gives at most 500
)

// decode reads the body of a request into v, a pointer to a struct. An error
// names the field. A null counts as left out.
func decode(r *http.Request, v any) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return &apiError{status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "send application/json", Field: "Content-Type"}
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return badField("body", "could not be read to its end")
	}
	return decodeJSON("", body, v)
}

// decodeJSON decodes an object strictly; field is what the caller calls it,
// empty for the whole body.
func decodeJSON(field string, data []byte, v any) error {
	whole := cmp.Or(field, "body")
	name := func(f string) string {
		if f != "" && field != "" {
			return field + "." + f
		}
		return cmp.Or(f, whole)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return badField(whole, "must be a JSON object")
	}
	if err := checkDepth(data); err != nil {
		return badField(whole, "%s", err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return badField(whole, "is not JSON: %s", oneLine(err))
	}
	for k, part := range parts {
		if !utf8.Valid(part) || !utf8.ValidString(k) {
			return badField(name(oneLineString(k)), "must be valid UTF-8")
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		return nil
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badField(name(te.Field), "must be %s, not a JSON %s", kindName(te), te.Value)
	}
	if f, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if plain, qerr := strconv.Unquote(f); qerr == nil {
			f = plain
		}
		return badField(name(oneLineString(f)), "there is no such field")
	}
	return badField(whole, "is not JSON: %s", oneLine(err))
}

// checkDepth bounds nesting and refuses what follows the object.
func checkDepth(data []byte) error {
	depth, inString, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func kindName(te *json.UnmarshalTypeError) string {
	switch k := te.Type.Kind().String(); k {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "struct", "map":
		return "an object"
	default:
		return "a whole number in range"
	}
}

func oneLine(err error) string { return oneLineString(err.Error()) }

// oneLineString makes a caller's text fit to be shown in an error.
func oneLineString(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}

// checkQuery refuses hostile query parameters, whoever reads them.
func checkQuery(r *http.Request) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badField("query", "is malformed")
	}
	for k, vs := range q {
		for _, v := range vs {
			if len(v) > maxQueryLength || !utf8.ValidString(v) || strings.ContainsFunc(v, func(c rune) bool { return c < 0x20 || c == 0x7f }) {
				return badField(oneLineString(k), "must be one line of UTF-8 of at most %d bytes", maxQueryLength)
			}
		}
	}
	return nil
}

// page reads limit and cursor.
func page(r *http.Request) (ticket.Page, error) {
	p := ticket.Page{After: ticket.Next(r.URL.Query().Get("cursor"))}
	limit, err := pageLimit(r)
	p.Limit = limit
	return p, err
}

func pageLimit(r *http.Request) (int, error) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPage {
		return 0, badField("limit", "must be from 1 to %d", maxPage)
	}
	return n, nil
}

// parseTime reads an optional time.
func parseTime(field, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.Year() > 9000 {
		return time.Time{}, badField(field, "must be a time in RFC 3339, such as 2026-01-31T09:00:00Z")
	}
	return t.UTC(), nil
}

// maxUndo is the longest undo window.
const maxUndo = 24 * time.Hour

// parseDuration reads a duration such as "10s".
func parseDuration(field, s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxUndo {
		return 0, badField(field, `must be a duration from "0s" to "24h", such as "10s"`)
	}
	return d, nil
}
