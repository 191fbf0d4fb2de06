package email

import "strings"

// maxID is the longest message id in bytes that is kept.
const maxID = 998

// parseIDs reads a list of message ids leniently (RFC 5322 section 3.6.4):
// commas, missing brackets, comments and words between them. Ids are opaque.
func parseIDs(s string) []string {
	var ids []string
	for rest := s; ; {
		i := strings.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		j := strings.IndexAny(rest, "<>")
		if j < 0 {
			break
		}
		if rest[j] == '>' {
			ids = appendID(ids, rest[:j])
			rest = rest[j+1:]
		}
	}
	if len(ids) > 0 {
		return ids
	}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' || r == '<' || r == '>' }) {
		if strings.Contains(w, "@") {
			ids = appendID(ids, w)
		}
	}
	return ids
}

func appendID(ids []string, id string) []string {
	id = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, id)
	if id == "" || len(id) > maxID {
		return ids
	}
	return append(ids, id)
}

// firstID returns the id of a field that holds one, without brackets, or "".
func firstID(s string) string {
	if ids := parseIDs(s); len(ids) > 0 {
		return ids[0]
	}
	s = strings.Trim(strings.TrimSpace(s), "<>")
	if strings.ContainsAny(s, " \t<>") {
		return ""
	}
	if ids := appendID(nil, s); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// boundIDs keeps the first and the last ids of a long list.
func boundIDs(ids []string) (kept []string, cut bool) {
	if len(ids) <= MaxIDs {
		return ids, false
	}
	return append(ids[:1:1], ids[len(ids)-MaxIDs+1:]...), true
}
