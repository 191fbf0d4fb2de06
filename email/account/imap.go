package account

import (
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// IMAP says how an account receives by itself.
type IMAP struct {
	Server
	// Folder is the one that is read. Empty means INBOX. A special use by RFC
	// 6154, such as \Junk, names the folder that the server has for it. What
	// is sent, drafted, thrown away or a view of everything is never read.
	Folder string `json:"folder,omitempty"`
	// After says what happens to a mail once it is taken in: "leave" (the
	// default), "seen", "move:FOLDER" or "delete".
	After string `json:"after,omitempty"`
	// FirstSync says how much of what is there already is taken in as
	// history, for which nothing automatic is sent: "none" (the default),
	// "all", or a time in RFC 3339, by the server's date of receipt. It counts
	// once, when the folder is first read.
	FirstSync string `json:"first_sync,omitempty"`
	// Sent says who puts a copy of what is sent into the account's Sent folder:
	// "append", we do, unless it is there already; "server", the provider does
	// by itself; "none", nobody. "auto", the default, is "server" for the
	// providers of which that is known, and "append" for others.
	Sent string `json:"sent,omitempty"`
	// SentFolder is that folder: a name, or a special use. Empty means the one
	// with the special use \Sent, or else with one of the usual names.
	SentFolder string `json:"sent_folder,omitempty"`
}

// Values of IMAP.Sent.
const (
	sentAuto   = "auto"
	sentAppend = "append"
	sentServer = "server"
	sentNone   = "none"
)

// Values of IMAP.After and IMAP.FirstSync.
const (
	afterLeave  = "leave"
	afterSeen   = "seen"
	afterMove   = "move:" // and a folder
	afterDelete = "delete"
	firstNone   = "none"
	firstAll    = "all"
)

// Server is embedded and would otherwise lend its method.
func (i IMAP) withDefaults() IMAP {
	i.Server = i.Server.withDefaults(imapService())
	i.Folder = strings.TrimSpace(i.Folder)
	if i.Folder == "" || strings.EqualFold(i.Folder, "INBOX") {
		i.Folder = "INBOX" // RFC 9051 section 5.1: in any letter case
	}
	if i.After == "" {
		i.After = afterLeave
	}
	if i.FirstSync == "" {
		i.FirstSync = firstNone
	}
	i.SentFolder = strings.TrimSpace(i.SentFolder)
	if i.Sent == "" {
		i.Sent = sentAuto
	}
	return i
}

// files says who puts copies into the Sent folder: "auto" is decided.
func (i IMAP) files() string {
	switch {
	case i.Sent != sentAuto:
		return i.Sent
	case filesItself(i.Host):
		return sentServer
	}
	return sentAppend
}

func (i IMAP) validate(field string) error {
	if err := i.Server.validate(field, imapService()); err != nil {
		return err
	}
	if !isFolderName(i.Folder) {
		return channel.BadField(field+".folder", "must be one line of at most %d bytes", maxFolderName)
	}
	switch i.Sent {
	case sentAuto, sentAppend, sentServer, sentNone:
	default:
		return channel.BadField(field+".sent", "must be auto, append, server or none")
	}
	if !isFolderName(i.SentFolder) {
		return channel.BadField(field+".sent_folder", "must be one line of at most %d bytes", maxFolderName)
	}
	if i.SentFolder != "" && sameFolder(i.SentFolder, i.Folder) {
		return channel.BadField(field+".sent_folder", "is the folder that is read")
	}
	target, moves := strings.CutPrefix(i.After, afterMove)
	switch {
	case i.After == afterLeave, i.After == afterSeen, i.After == afterDelete:
	case !moves:
		return channel.BadField(field+".after", "must be leave, seen, move:FOLDER or delete")
	case strings.TrimSpace(target) == "" || !isFolderName(target):
		return channel.BadField(field+".after", "move: must be followed by the name of a folder")
	case sameFolder(target, i.Folder):
		return channel.BadField(field+".after", "would move mails to the folder they are in")
	}
	if i.FirstSync != firstNone && i.FirstSync != firstAll {
		if _, err := time.Parse(time.RFC3339, i.FirstSync); err != nil {
			return channel.BadField(field+".first_sync", "must be none, all, or a time like 2026-11-01T00:00:00Z")
		}
	}
	return nil
}

// sameFolder compares names of folders, of which only INBOX is the same in all
// letters (RFC 9051 section 5.1).
func sameFolder(a, b string) bool {
	return a == b || strings.EqualFold(a, "INBOX") && strings.EqualFold(b, "INBOX")
}

const maxFolderName = 1000

func isFolderName(s string) bool {
	return len(s) <= maxFolderName && !strings.ContainsAny(s, "\x00\r\n")
}

// Receiving sets the pace and the bounds of receiving by IMAP. Zero fields mean
// the default.
type Receiving struct {
	// Poll is how often the folder is looked at where the server has no
	// IDLE, give or take a fifth. Default 1 min.
	Poll time.Duration
	// Idle is how long one IDLE lasts. The folder is then looked at whatever
	// the server said, and a connection that has died is noticed. Default 5 min.
	Idle time.Duration
	// Command bounds each command's answer, Fetch those that may take long:
	// SEARCH, FETCH, and changes to many mails. Defaults 30 s and 5 min.
	Command, Fetch time.Duration
	// Commit bounds one call of the sink and one saving of the cursor.
	// Default 1 min.
	Commit time.Duration
	// RetryMin and RetryMax bound the pause after a failure, which doubles
	// each time and varies by a quarter. Defaults 1 s and 5 min.
	RetryMin, RetryMax time.Duration
	// Refused is the pause after credentials have been refused three times:
	// servers lock accounts that try too often. Default 1 h.
	Refused time.Duration
	// Mail is the largest mail that is taken in whole, in bytes; of a larger
	// one the header fields that matter, with a note. Default 50 MiB.
	Mail int64
	// SpoolDir holds large mails while they arrive, for sinks that do not
	// keep them themselves. Empty means the system's temporary folder.
	SpoolDir string
}

func (r Receiving) withDefaults() Receiving {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&r.Poll, time.Minute)
	set(&r.Idle, 5*time.Minute)
	set(&r.Command, 30*time.Second)
	set(&r.Fetch, 5*time.Minute)
	set(&r.Commit, time.Minute)
	set(&r.RetryMin, time.Second)
	set(&r.RetryMax, 5*time.Minute)
	set(&r.Refused, time.Hour)
	if r.Mail <= 0 {
		r.Mail = 50 << 20
	}
	return r
}
