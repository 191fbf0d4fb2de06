package facebook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// errNoMedia is wrapped when a file will never be had.
var errNoMedia = errors.New("it cannot be had")

// maxRedirects of one file.
const maxRedirects = 3

// fetch gets a file of a message. No token goes along. The error wraps errNoMedia
// if trying again is of no use.
func (p *page) fetch(ctx context.Context, address, kind string) (channel.Attachment, error) {
	return p.fetchUpTo(ctx, address, kind, p.app.limits().Media)
}

func (p *page) fetchUpTo(ctx context.Context, address, kind string, limit int64) (channel.Attachment, error) {
	var none channel.Attachment
	ctx, cancel := context.WithTimeout(ctx, 4*p.app.limits().Call)
	defer cancel()
	for range maxRedirects {
		u, err := url.Parse(address)
		if err != nil || !p.app.fetchable(u) {
			return none, fmt.Errorf("its host is not Facebook's: %w", errNoMedia)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			return none, fmt.Errorf("bad address: %w", errNoMedia)
		}
		resp, err := p.app.client.Do(req)
		if err != nil {
			return none, errors.New("facebook: fetch attachment: the connection failed") // the address is a secret
		}
		if to := resp.Header.Get("Location"); resp.StatusCode >= 300 && resp.StatusCode < 400 && to != "" {
			resp.Body.Close()
			next, err := u.Parse(to)
			if err != nil {
				return none, fmt.Errorf("bad address: %w", errNoMedia)
			}
			address = next.String()
			continue
		}
		return p.keep(resp, u, kind, limit)
	}
	return none, fmt.Errorf("too many redirects: %w", errNoMedia)
}

// keep reads the file of an answer.
func (p *page) keep(resp *http.Response, u *url.URL, kind string, limit int64) (channel.Attachment, error) {
	defer resp.Body.Close()
	var none channel.Attachment
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return none, fmt.Errorf("facebook: fetch attachment: HTTP status %d", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return none, fmt.Errorf("HTTP status %d: %w", resp.StatusCode, errNoMedia)
	case resp.ContentLength > limit:
		return none, fmt.Errorf("it has more than %d bytes: %w", limit, errNoMedia)
	}
	body, err := p.app.spool(resp.Body, limit)
	if err != nil {
		return none, err
	}
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t = "application/octet-stream"
	}
	return channel.Attachment{Name: fileName(u, kind, t), Type: t, Size: body.Size(), Body: body}, nil
}

// spool keeps what is read: a little in memory, else in a file without a name.
func (a *App) spool(r io.Reader, limit int64) (channel.Body, error) {
	l := a.limits()
	failed := errors.New("facebook: fetch attachment: the connection failed")
	head, err := io.ReadAll(io.LimitReader(r, min(l.MediaMemory, limit)+1))
	if err != nil {
		return nil, failed
	}
	switch n := int64(len(head)); {
	case n > limit:
		return nil, fmt.Errorf("it has more than %d bytes: %w", limit, errNoMedia)
	case n <= l.MediaMemory:
		return channel.Bytes(head), nil
	}
	f, err := os.CreateTemp("", "anteroom-*")
	if err != nil {
		return nil, fmt.Errorf("facebook: keep attachment: %w", err)
	}
	// It lives as long as something refers to it; the runtime closes it.
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("facebook: keep attachment: %w", errors.Join(err, f.Close()))
	}
	n, err := io.Copy(f, io.LimitReader(io.MultiReader(strings.NewReader(string(head)), r), limit+1))
	switch {
	case err != nil:
		return nil, errors.Join(failed, f.Close())
	case n > limit:
		return nil, errors.Join(fmt.Errorf("it has more than %d bytes: %w", limit, errNoMedia), f.Close())
	}
	return &fileBody{f, n}, nil
}

// fileBody is content in a file without a name.
type fileBody struct {
	file *os.File
	size int64
}

func (b *fileBody) Size() int64 { return b.size }

func (b *fileBody) Open() (io.ReadCloser, error) {
	return &fileReader{io.NewSectionReader(b.file, 0, b.size), b}, nil
}

// fileReader keeps the file alive while it is read.
type fileReader struct {
	*io.SectionReader
	body *fileBody
}

func (*fileReader) Close() error { return nil }

// fetchable reports whether a file may be fetched from there.
func (a *App) fetchable(u *url.URL) bool {
	hosts := a.MediaHosts
	if len(hosts) == 0 {
		hosts = DefaultMediaHosts()
	}
	if u.User != nil {
		return false
	}
	for _, h := range hosts {
		if strings.Contains(h, "://") {
			if u.Scheme+"://"+u.Host == strings.TrimSuffix(h, "/") {
				return true
			}
			continue
		}
		host := strings.ToLower(u.Hostname())
		if u.Scheme == "https" && (u.Port() == "" || u.Port() == "443") && (host == h || strings.HasSuffix(host, "."+h)) {
			return true
		}
	}
	return false
}

// fileName is the last part of a path, made clean, with an extension that fits.
func fileName(u *url.URL, kind, mediaType string) string {
	name := path.Base(u.Path)
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, plain(oneLine(name)))
	if runes := []rune(name); len(runes) > 120 {
		name = string(runes[len(runes)-120:])
	}
	if name = strings.Trim(name, ". "); name == "" || name == "_" {
		name = kind
	}
	if path.Ext(name) == "" {
		if ext, err := mime.ExtensionsByType(mediaType); err == nil && len(ext) > 0 {
			name += ext[0]
		}
	}
	return name
}
