package email

import (
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// body writes the parts, beginning with the Content-Type of the mail.
func (c *composition) body() error {
	if len(c.attach) == 0 {
		return c.content()
	}
	b := c.openMultipart("multipart/mixed")
	c.delimiter(b)
	if err := c.content(); err != nil {
		return err
	}
	for _, a := range c.attach {
		c.delimiter(b)
		if err := c.file(a); err != nil {
			return err
		}
	}
	c.end(b)
	return nil
}

// content writes the text, or the text and the HTML.
func (c *composition) content() error {
	if c.html == "" {
		return c.textPart("text/plain", c.text)
	}
	b := c.openMultipart("multipart/alternative")
	c.delimiter(b)
	if err := c.textPart("text/plain", c.text); err != nil {
		return err
	}
	c.delimiter(b)
	if err := c.htmlPart(); err != nil {
		return err
	}
	c.end(b)
	return nil
}

// htmlPart writes the HTML, with the images that it shows (RFC 2387).
func (c *composition) htmlPart() error {
	if len(c.inline) == 0 {
		return c.textPart("text/html", c.html)
	}
	b := c.openMultipart("multipart/related; type=\"text/html\"")
	c.delimiter(b)
	if err := c.textPart("text/html", c.html); err != nil {
		return err
	}
	for _, a := range c.inline {
		c.delimiter(b)
		if err := c.file(a); err != nil {
			return err
		}
	}
	c.end(b)
	return nil
}

// openMultipart writes the header of a multipart and returns its boundary.
func (c *composition) openMultipart(typ string) string {
	b := c.boundary()
	fmt.Fprintf(c.w, "Content-Type: %s;\r\n boundary=%q\r\n\r\n", typ, b)
	return b
}

func (c *composition) delimiter(b string) { fmt.Fprintf(c.w, "--%s\r\n", b) }
func (c *composition) end(b string)       { fmt.Fprintf(c.w, "--%s--\r\n", b) }

// textPart writes a text in UTF-8.
func (c *composition) textPart(typ, text string) error {
	fmt.Fprintf(c.w, "Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", typ)
	q := quotedprintable.NewWriter(c.w)
	_, err := io.WriteString(q, text)
	if err == nil {
		err = q.Close()
	}
	if err != nil {
		return fmt.Errorf("email: compose: write text: %w", err)
	}
	c.w.WriteString("\r\n")
	return nil
}

// file writes an attachment as it is read.
func (c *composition) file(a channel.Attachment) error {
	var h headerWriter
	name := cleanFileName(a.Name)
	typ := mediaType(a.Type)
	if name != "" && isASCII(name) {
		h.line("Content-Type", typ+parameter("name", name))
	} else {
		h.line("Content-Type", typ)
	}
	h.line("Content-Transfer-Encoding", "base64")
	disp := "attachment"
	if a.Inline {
		disp = "inline"
	}
	if name != "" {
		disp += parameter("filename", name)
	}
	h.line("Content-Disposition", disp)
	if a.ContentID != "" {
		h.ids("Content-ID", []string{a.ContentID})
	}
	c.w.WriteString(h.b.String() + "\r\n")

	r, err := a.Body.Open()
	if err != nil {
		return fmt.Errorf("email: compose: open attachment: %w", err)
	}
	defer r.Close()
	lines := &lineWriter{w: c.w}
	enc := base64.NewEncoder(base64.StdEncoding, lines)
	if _, err := io.Copy(enc, r); err != nil {
		return fmt.Errorf("email: compose: copy attachment: %w", err)
	}
	if err := enc.Close(); err != nil {
		return fmt.Errorf("email: compose: write attachment: %w", err)
	}
	if lines.col > 0 {
		c.w.WriteString("\r\n")
	}
	return nil
}

// mediaType returns a type that can be written. Enclosed messages and multiparts
// must not be base64 (RFC 2046 section 5.2.1), so they go as bytes.
func mediaType(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	main, sub, ok := strings.Cut(s, "/")
	if !ok || !isMIMEToken(main) || !isMIMEToken(sub) || main == "multipart" || main == "message" {
		return "application/octet-stream"
	}
	return s
}

func isMIMEToken(s string) bool {
	if s == "" || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		if !isLetterDigit(s[i]) && strings.IndexByte("!#$&-^_.+", s[i]) < 0 {
			return false
		}
	}
	return true
}

// lineWriter breaks base64 into lines of 76 characters (RFC 2045 section 6.8).
type lineWriter struct {
	w   io.Writer
	col int
}

func (l *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(76-l.col, len(p))
		if _, err := l.w.Write(p[:k]); err != nil {
			return 0, err
		}
		l.col += k
		p = p[k:]
		if l.col == 76 {
			if _, err := io.WriteString(l.w, "\r\n"); err != nil {
				return 0, err
			}
			l.col = 0
		}
	}
	return n, nil
}

// signatureHTML returns the HTML of a signature.
func signatureHTML(sig, text string) string {
	if strings.TrimSpace(sig) == "" {
		sig = strings.ReplaceAll(html.EscapeString(text), "\n", "<br>\n")
	}
	return `<div class="gmail_signature_prefix">-- </div>` + "\n" + `<div class="gmail_signature">` + sig + "</div>\n"
}

// withSignature puts a signature at the end of HTML, inside its body.
func withSignature(doc, sig string) string {
	i := strings.LastIndex(asciiLower(doc), "</body")
	if i < 0 {
		return doc + "\n" + sig
	}
	return doc[:i] + sig + doc[i:]
}
