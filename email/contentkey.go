package email

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// key computes the key that two copies of one mail share: the author, date,
// subject, id and the decoded bodies, without what a mail gathers on its way. A
// mail with neither id nor date is known by all its bytes, since two equal
// mails of a machine are two.
func (r *reading) key() {
	if r.root == nil {
		return
	}
	if r.m.MessageID == "" && r.top.get("Date") == "" {
		r.rawKey()
		return
	}
	h := sha256.New()
	put := func(s string) { fmt.Fprintf(h, "%d:%s\n", len(s), s) }
	for i, p := range r.m.From {
		if i < 10 {
			put(strings.ToLower(p.Address))
		}
	}
	if r.m.Date.IsZero() {
		put(strings.Join(strings.Fields(r.top.get("Date")), " "))
	} else {
		put(r.m.Date.UTC().Format("20060102150405"))
	}
	put(strings.Join(strings.Fields(r.m.Subject), " "))
	put(r.m.MessageID)
	r.walk(func(p *part) { h.Write(p.leaf.same[:]) })
	r.m.ContentKey = channel.Key("content:" + hex.EncodeToString(h.Sum(nil)))
}

// rawKey hashes the whole mail, reading it again.
func (r *reading) rawKey() {
	f, err := r.raw.Open()
	if err != nil {
		return
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return
	}
	r.m.ContentKey = channel.Key("raw:" + hex.EncodeToString(h.Sum(nil)))
}
