package email

import "strings"

// transferEncoding returns the encoding that a Content-Transfer-Encoding names,
// as [channel.Window] knows it, and whether it was understood. Common
// misspellings are.
func transferEncoding(value string) (string, bool) {
	v := strings.ToLower(strings.TrimSpace(value))
	if i := strings.IndexAny(v, " \t;("); i > 0 {
		v = v[:i]
	}
	v = strings.Trim(v, `"'`)
	switch v {
	case "base64", "base-64", "b", "base64encoded":
		return "base64", true
	case "quoted-printable", "quotedprintable", "quoted_printable", "quoted", "q", "qp":
		return "quoted-printable", true
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits", "none", "identity", "us-ascii", "utf-8", "utf8":
		return "", true
	}
	return "", false
}
