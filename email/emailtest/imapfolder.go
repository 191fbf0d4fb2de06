package emailtest

import (
	"maps"
	"slices"
	"time"
)

// imapFolder is guarded by IMAP.mu.
type imapFolder struct {
	name, use      string
	validity, next uint32
	mails          []*imapMail // by UID
}

// imapMail is one mail. Raw does not change; the rest is guarded by IMAP.mu.
type imapMail struct {
	uid   uint32
	flags map[string]bool
	at    time.Time
	raw   []byte
}

func (f *imapFolder) add(raw []byte, at time.Time, flags map[string]bool) uint32 {
	m := &imapMail{uid: f.next, flags: map[string]bool{}, at: at, raw: raw}
	maps.Copy(m.flags, flags)
	f.next++
	f.mails = append(f.mails, m)
	return m.uid
}

func (f *imapFolder) insert(m *imapMail) {
	i, _ := slices.BinarySearchFunc(f.mails, m.uid, func(x *imapMail, uid uint32) int { return int(int64(x.uid) - int64(uid)) })
	f.mails = slices.Insert(slices.Clone(f.mails), i, m)
}

func (f *imapFolder) remove(which func(*imapMail) bool) {
	f.mails = slices.DeleteFunc(slices.Clone(f.mails), which)
}
