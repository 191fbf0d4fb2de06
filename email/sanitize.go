package email

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// SanitizerVersion rises when [SanitizeHTML] changes what it lets through, so
// that what was kept of an older version can be told.
const SanitizerVersion = 1

// maxStyle is the longest style attribute that is kept, in bytes.
const maxStyle = 4 << 10

// SanitizeOptions are options of [SanitizeHTML]. The zero value is the safest.
type SanitizeOptions struct {
	// RemoteImages lets images load from other servers, which tells their
	// owners that the mail is being read.
	RemoteImages bool
	// ResolveCID returns the URL of the inline image with the given
	// Content-ID, without angle brackets; empty leaves the image out. If it
	// is nil, cid: URLs stay as they are.
	ResolveCID func(contentID string) string
}

// SanitizeHTML returns the HTML of a mail so that it is safe to show in a page:
// an allow-list of elements, attributes and styles; no scripts, forms, frames or
// positions; links only to the web, mail and phone, opened apart; no images from
// other servers unless asked for. It shows the first 2 MB. Serve the result in a
// sandboxed frame all the same.
//
// Safe for concurrent use.
func SanitizeHTML(html string, o SanitizeOptions) string {
	html = dropNUL(html)
	if len(html) > maxSanitize {
		html = html[:maxSanitize]
		for !utf8.ValidString(html) {
			html = html[:len(html)-1]
		}
	}
	return mailPolicy().Sanitize(rewriteHTML(html, o))
}

// mailPolicy is built once and only read.
var mailPolicy = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center", "cite", "code",
		"col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4",
		"h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "section",
		"small", "span", "strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "wbr")
	p.AllowNoAttrs().OnElements("a", "font", "span")
	p.SkipElementsContent("title", "svg", "math", "template", "textarea", "select", "noscript", "head", "applet", "audio", "video", "canvas", "xml")

	p.AllowStandardURLs()
	p.AllowRelativeURLs(true) // relative ones of the mail itself are gone by now
	p.AllowURLSchemes("http", "https", "mailto", "tel", "cid")
	p.AllowURLSchemeWithCustomPolicy("data", isImageData)
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").OnElements("img")
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)

	p.AllowAttrs("dir").Matching(regexp.MustCompile(`(?i)^(ltr|rtl|auto)$`)).Globally()
	p.AllowAttrs("lang").Matching(regexp.MustCompile(`^[A-Za-z0-9-]{1,20}$`)).Globally()
	p.AllowAttrs("title", "alt").OnElements("a", "img", "abbr", "span", "td", "div")
	length := regexp.MustCompile(`^\d{1,4}%?$`)
	p.AllowAttrs("width", "height").Matching(length).OnElements("img", "table", "td", "th", "tr", "col", "hr")
	p.AllowAttrs("border", "cellpadding", "cellspacing", "colspan", "rowspan", "size", "start").Matching(length).OnElements("img", "table", "td", "th", "font", "hr", "ol")
	p.AllowAttrs("align", "valign").Matching(regexp.MustCompile(`(?i)^[a-z]{1,10}$`)).OnElements("table", "tr", "td", "th", "tbody", "thead", "p", "div", "img", "h1", "h2", "h3", "hr", "col")
	colour := regexp.MustCompile(`^(#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,30})$`)
	p.AllowAttrs("bgcolor", "color").Matching(colour).OnElements("table", "tr", "td", "th", "font", "div")
	p.AllowAttrs("face").Matching(regexp.MustCompile(`^[A-Za-z0-9 ,'-]{1,100}$`)).OnElements("font")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`(?i)^(cite|disc|circle|square|[1ai])$`)).OnElements("blockquote", "ul", "ol", "li")
	p.AllowStyles("color", "background-color", "font-family", "font-size", "font-style", "font-weight", "line-height", "text-align", "text-decoration",
		"text-indent", "text-transform", "vertical-align", "white-space", "word-break", "letter-spacing", "direction", "width", "height", "max-width", "max-height", "min-width",
		"margin", "margin-top", "margin-right", "margin-bottom", "margin-left", "padding", "padding-top", "padding-right", "padding-bottom", "padding-left",
		"border", "border-top", "border-right", "border-bottom", "border-left", "border-color", "border-style", "border-width", "border-collapse", "border-radius", "display").
		MatchingHandler(safeStyle).Globally()
	return p
})

// styleValue is all that a style's value may be made of.
var styleValue = regexp.MustCompile(`^[A-Za-z0-9 #%.,'"!()+/-]{1,300}$`)

// safeStyle refuses whatever could load something or leave its place.
func safeStyle(v string) bool {
	v = strings.ToLower(v)
	if !styleValue.MatchString(v) {
		return false
	}
	for _, bad := range []string{"url", "expression", "image", "attr(", "var(", "calc(", "fixed", "absolute", "sticky", "-moz", "behavior", "/*"} {
		if strings.Contains(v, bad) {
			return false
		}
	}
	return true
}

// isImageData allows pictures that stand in the mail itself.
func isImageData(u *url.URL) bool {
	typ, data, ok := strings.Cut(u.Opaque, ";base64,")
	if !ok {
		return false
	}
	switch strings.ToLower(typ) {
	case "image/png", "image/gif", "image/jpeg", "image/jpg", "image/webp":
	default:
		return false
	}
	_, err := base64.StdEncoding.DecodeString(data)
	return err == nil
}

// rewriteHTML does what a policy cannot: it resolves images and drops what must
// not load. The policy comes after it, so that nothing here must be perfect.
func rewriteHTML(s string, o SanitizeOptions) string {
	z := html.NewTokenizer(strings.NewReader(s))
	var b strings.Builder
	b.Grow(len(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.CommentToken, html.DoctypeToken:
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			t.Attr = rewriteAttributes(t, o)
			b.WriteString(t.String())
		default:
			b.Write(z.Raw())
		}
	}
}

func rewriteAttributes(t html.Token, o SanitizeOptions) []html.Attribute {
	out := t.Attr[:0]
	for _, a := range t.Attr {
		switch {
		case len(a.Val) > maxStyle && a.Key != "src" && a.Key != "href":
			continue
		case a.Key == "href" && t.DataAtom == atom.A:
			if !hasScheme(a.Val, "http", "https", "mailto", "tel") {
				continue
			}
		case a.Key == "src" && t.DataAtom == atom.Img:
			if a.Val = imageURL(a.Val, o); a.Val == "" {
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

// imageURL returns what an image may be loaded from, or "".
func imageURL(src string, o SanitizeOptions) string {
	src = strings.TrimSpace(src)
	switch {
	case hasScheme(src, "cid"):
		if o.ResolveCID == nil {
			return src
		}
		id := src[len("cid:"):]
		if u, err := url.PathUnescape(id); err == nil {
			id = u
		}
		return o.ResolveCID(strings.Trim(id, "<> "))
	case hasScheme(src, "http", "https"):
		if o.RemoteImages {
			return src
		}
	case hasScheme(src, "data"):
		return src
	case strings.HasPrefix(src, "//") && o.RemoteImages:
		return "https:" + src
	}
	return ""
}

// hasScheme reports whether a URL has one of the schemes.
func hasScheme(s string, schemes ...string) bool {
	scheme, _, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok {
		return false
	}
	for _, want := range schemes {
		if strings.EqualFold(scheme, want) {
			return true
		}
	}
	return false
}
