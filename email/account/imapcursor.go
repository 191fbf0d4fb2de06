package account

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// cursor is how far a folder has been taken in: the channel's own state. It is
// saved after what it says was committed.
type cursor struct {
	Folder string `json:"folder"`
	// Address and Login are whose folder it is.
	Address  string `json:"address,omitempty"`
	Login    string `json:"login,omitempty"`
	Validity uint32 `json:"uidvalidity"`
	// UID: every mail up to it was taken in, left out on purpose, or stands
	// in Aside.
	UID uint32 `json:"uid"`
	// History: mails up to it were there before us.
	History uint32 `json:"history,omitempty"`
	// Began is when the folder was first read. Mails that the server
	// received before are history also under new numbers.
	Began time.Time `json:"began"`
	// Renumbered says that the UIDs are not those with which it began.
	Renumbered bool `json:"renumbered,omitempty"`
	// Since is the earliest mail, by the server's time of receipt, that is
	// wanted of History. Zero means all.
	Since time.Time `json:"since,omitzero"`
	// CaughtUp is when nothing was left to take in, to the hour.
	CaughtUp time.Time `json:"caught_up,omitzero"`
	// Aside are mails that could not be taken in and did not stop the rest.
	Aside []aside `json:"aside,omitempty"`
	// Pending are mails that were taken in and wait for IMAP.After.
	Pending []uint32 `json:"pending,omitempty"`
}

// aside is a mail that could not be taken in.
type aside struct {
	UID   uint32    `json:"uid"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next"`
}

// Bounds of the cursor's lists.
const (
	// maxAside is how many mails may be set aside. More is no accident of
	// single mails, and the channel waits.
	maxAside = 100
	// maxPending is how many mails may wait for IMAP.After; the oldest beyond it
	// stay where they are.
	maxPending = 10_000
)

// revisit is how far back before the last time that all was taken in a folder
// is looked through again when its numbers have lost their meaning (RFC 9051
// section 2.3.1.1). What was taken in before is known by its content.
const revisit = 14 * 24 * time.Hour

// clockSkew is by how much a server's clock may be behind ours without a mail
// being lost when numbers change. Up to as much older mail may come in as history.
const clockSkew = time.Hour

// loadCursor returns the saved cursor, false if there is none for the folder.
func loadCursor(state []byte, conf Account) (cursor, bool) {
	var c cursor
	if len(state) == 0 || json.Unmarshal(state, &c) != nil || c.Folder != conf.IMAP.Folder || c.Validity == 0 {
		return cursor{}, false
	}
	if c.Address != "" && !strings.EqualFold(c.Address, conf.Address) {
		return cursor{}, false
	}
	if c.Login == "" { // saved before it was kept
		c.Address, c.Login = conf.Address, loginOf(conf)
	}
	return c, true
}

// loginOf says as whom and where a folder is read.
func loginOf(conf Account) string { return conf.Username + " at " + conf.IMAP.address() }

// firstCursor returns where to begin with a folder that was never read. The
// last UID is that of the folder's last mail.
func firstCursor(conf IMAP, st folderState, last uint32, now time.Time) cursor {
	c := cursor{Folder: conf.Folder, Validity: st.validity, History: last, Began: now}
	switch conf.FirstSync {
	case firstAll:
	case firstNone:
		c.UID, c.Since = last, now
	default:
		c.Since, _ = time.Parse(time.RFC3339, conf.FirstSync)
	}
	return c
}

// renumbered returns the cursor after the folder's UIDs have changed: all are
// looked at that can be new.
func (c cursor) renumbered(st folderState, last uint32) cursor {
	next := cursor{Folder: c.Folder, Validity: st.validity, History: last, Began: c.Began, Since: c.Since, Renumbered: true}
	if back := c.CaughtUp.Add(-revisit); !c.CaughtUp.IsZero() && len(c.Aside) == 0 && back.After(c.Since) {
		next.Since = back
	}
	return next
}

// imported reports whether a mail is history.
func (c cursor) imported(m mailInfo) bool {
	return m.uid <= c.History && (!c.Renumbered || m.at.Before(c.Began))
}

// wants reports whether a mail is to be taken in.
func (c cursor) wants(m mailInfo) bool {
	if m.uid > c.History || c.Since.IsZero() || m.at.IsZero() {
		return true
	}
	since := c.Since
	if c.Renumbered {
		since = since.Add(-clockSkew) // it may be a time of ours
	}
	return !m.at.Before(since)
}

// setAside remembers mails to be tried again; false if there are too many.
func (c *cursor) setAside(uids []uint32, now time.Time) bool {
	if len(c.Aside)+len(uids) > maxAside {
		return false
	}
	for _, u := range uids {
		c.Aside = append(c.Aside, aside{UID: u, Next: now.Add(asidePause(0))})
	}
	return true
}

// asidePause is how long a mail set aside is left alone.
func asidePause(tries int) time.Duration {
	return min(time.Minute<<min(tries, 10), 6*time.Hour)
}

// taken notes a mail that was taken in and waits for IMAP.After.
func (c *cursor) taken(uid uint32) {
	if !slices.Contains(c.Pending, uid) {
		c.Pending = append(c.Pending, uid)
	}
	if extra := len(c.Pending) - maxPending; extra > 0 {
		c.Pending = slices.Delete(c.Pending, 0, extra)
	}
}

func (c cursor) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		return nil // a struct of plain values
	}
	return b
}
