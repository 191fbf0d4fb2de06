package facebook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// call is one call of the Graph API.
type call struct {
	method string
	path   string // below the version
	params url.Values
	// file, if set, is sent as the part "filedata", or what filePart says, and
	// params as further parts.
	file     *channel.Attachment
	filePart string
	// token is a Page's or a person's; empty means the app's own.
	token string
	// anonymous calls carry no token at all.
	anonymous bool
	// page and pool say which of Facebook's budgets it uses.
	page string
	pool pool
	// says is set for what writes a message or a comment.
	says bool
	// background calls give way when the budget is nearly used up.
	background bool
	out        any
}

// errNotConnected says that nothing was sent.
var errNotConnected = errors.New("facebook: not connected")

// do makes a call. Errors: *Error for what the API says, else one of the
// connection, which wraps errNotConnected if nothing was sent. Text of errors
// holds no parameters.
func (a *App) do(ctx context.Context, c call) error {
	a.prepare()
	if err := a.usage.admit(ctx, a.now(), c); err != nil {
		if _, told := errors.AsType[*Error](err); !told { // it was not waited for
			err = fmt.Errorf("facebook: %s: %w: %w", c.name(), err, errNotConnected)
		}
		return err
	}
	limit := a.limits().Call
	if c.file != nil {
		limit *= 4
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := a.request(ctx, c)
	if err != nil {
		return fmt.Errorf("facebook: %w: %w", err, errNotConnected)
	}
	var conn connecting
	resp, err := a.client.Do(req.WithContext(conn.watch(ctx)))
	if err != nil {
		return a.lost(c, &conn, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, a.limits().Response+1))
	a.usage.learn(a.now(), c, resp.Header)
	if err != nil {
		return a.lost(c, &conn, err)
	}
	if int64(len(body)) > a.limits().Response {
		return fmt.Errorf("facebook: the answer to %s has more than %d bytes", c.name(), a.limits().Response)
	}
	if ge := readError(resp.StatusCode, body, a.secretsOf(c)); ge != nil {
		a.usage.throttled(a.now(), c, ge)
		return ge
	}
	if c.out == nil {
		return nil
	}
	if err := json.Unmarshal(body, c.out); err != nil {
		return &Error{Status: resp.StatusCode, Message: "the answer is not in the expected form"}
	}
	return nil
}

// connecting watches whether a call got a connection: without one nothing left,
// whatever the error.
type connecting struct{ asked, got atomic.Bool }

func (c *connecting) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.got.Store(true) },
	})
}

// failed is false where the transport does not tell.
func (c *connecting) failed() bool { return c.asked.Load() && !c.got.Load() }

// lost is the error of a connection. That of net/http tells the whole URL.
func (a *App) lost(c call, conn *connecting, err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	var op *net.OpError
	var refused interface{ NotConnected() bool }
	if conn.failed() || errors.As(err, &op) && op.Op == "dial" || errors.As(err, &refused) && refused.NotConnected() {
		return fmt.Errorf("facebook: %s: %w: %w", c.name(), err, errNotConnected)
	}
	return fmt.Errorf("facebook: %s: %w", c.name(), err)
}

// name says which call it is, without ids.
func (c call) name() string {
	_, edge, ok := strings.Cut(c.path, "/")
	if !ok {
		edge = "object"
	}
	return "call " + c.method + " " + edge
}

func (a *App) request(ctx context.Context, c call) (*http.Request, error) {
	base := strings.TrimSuffix(a.Graph, "/")
	if base == "" {
		base = "https://graph.facebook.com"
	}
	u := base + "/" + a.version() + "/" + c.path
	q := url.Values{}
	token := c.token
	switch {
	case c.anonymous:
	case token == "":
		token = a.ID + "|" + a.secret()
	default:
		q.Set("appsecret_proof", proof(a.secret(), token))
	}
	var body io.Reader
	var size int64
	kind := ""
	switch {
	case c.file != nil:
		var err error
		if body, size, kind, err = upload(c); err != nil {
			return nil, err
		}
	case c.method == http.MethodPost:
		form := c.params.Encode()
		body, size, kind = strings.NewReader(form), int64(len(form)), "application/x-www-form-urlencoded"
	default:
		maps.Copy(q, c.params)
	}
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, u, body)
	if err != nil {
		return nil, errors.New("bad address of the Graph API")
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
		req.ContentLength = size
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

func (a *App) version() string {
	if a.Version == "" {
		return DefaultVersion
	}
	return a.Version
}

// upload is a form with a file, of known length, since the file may be large and
// its bytes are read while they are sent.
func upload(c call) (io.Reader, int64, string, error) {
	boundary := rand.Text() + rand.Text()
	var head bytes.Buffer
	for k, v := range c.params {
		fmt.Fprintf(&head, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", boundary, k, v[0])
	}
	h := textproto.MIMEHeader{}
	h.Set("Content-Type", mediaType(c.file.Type))
	fmt.Fprintf(&head, "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n",
		boundary, cmp.Or(c.filePart, "filedata"), quoteName(c.file.Name), h.Get("Content-Type"))
	tail := "\r\n--" + boundary + "--\r\n"
	file, err := c.file.Body.Open()
	if err != nil {
		return nil, 0, "", fmt.Errorf("read attachment: %w", err)
	}
	size := int64(head.Len()) + c.file.Body.Size() + int64(len(tail))
	body := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&head, file, strings.NewReader(tail)), file}
	return body, size, "multipart/form-data; boundary=" + boundary, nil
}

// mediaType is a type fit for a header.
func mediaType(t string) string {
	if t == "" || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
		return "application/octet-stream"
	}
	return t
}

// quoteName is a file name fit for a quoted parameter.
func quoteName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "file"
	}
	return s
}

// maxErrorText bounds what is kept of Facebook's words.
const maxErrorText = 300

// secretsOf are the secrets of a call, which Facebook's words may repeat: it names
// the token that it calls malformed.
func (a *App) secretsOf(c call) []string {
	out := append([]string{c.token}, a.Secrets...)
	for _, name := range []string{"input_token", "fb_exchange_token", "code", "verify_token"} {
		out = append(out, c.params.Get(name))
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// readError reads the error of an answer, be it inside a 200, and leaves secrets
// out. It is nil if there is none.
func readError(status int, body []byte, secrets []string) *Error {
	var in struct {
		Error *struct {
			Message   string   `json:"message"`
			Code      ident    `json:"code"`
			Subcode   ident    `json:"error_subcode"`
			Transient flexBool `json:"is_transient"`
			TraceID   string   `json:"fbtrace_id"`
		} `json:"error"`
	}
	bad := json.Unmarshal(body, &in) != nil
	if in.Error == nil {
		if status >= 200 && status < 300 && !bad {
			return nil
		}
		return &Error{Status: status}
	}
	e := &Error{Status: status, Code: number(in.Error.Code), Subcode: number(in.Error.Subcode), Transient: bool(in.Error.Transient), TraceID: short(in.Error.TraceID)}
	words := in.Error.Message
	for _, secret := range secrets {
		words = strings.ReplaceAll(words, secret, "…")
	}
	msg := []rune(oneLine(plain(words)))
	e.Message = string(msg[:min(len(msg), maxErrorText)])
	return e
}

func number(i ident) int {
	var n int
	if _, err := fmt.Sscan(string(i), &n); err != nil {
		return 0
	}
	return n
}

// pause between the tries of one call that only reads.
const readPause = 500 * time.Millisecond

// read makes a call that changes nothing, once more if the connection fails.
func (a *App) read(ctx context.Context, c call) error {
	c.method = http.MethodGet
	err := a.do(ctx, c)
	if _, told := errors.AsType[*Error](err); err == nil || told || ctx.Err() != nil {
		return err
	}
	if err := sleep(ctx, readPause); err != nil {
		return err
	}
	return a.do(ctx, c)
}
