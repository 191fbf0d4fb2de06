package email

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
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
	b := make([]byte, 0, 512)
	put := func(s string) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
		b = append(b, '\n')
	}
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
	r.walk(func(p *part) { b = append(b, p.leaf.same[:]...) })
	sum := sha256.Sum256(b)
	r.m.ContentKey = channel.Key("content:" + hex.EncodeToString(sum[:]))
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
