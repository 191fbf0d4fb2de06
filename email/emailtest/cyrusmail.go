package emailtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Put delivers a mail into a folder, as received at a time. Clients that wait are
// told within a second.
func (c *Cyrus) Put(t testing.TB, folder string, raw []byte, received time.Time) {
	t.Helper()
	if err := c.put(folder, raw, received.Format(imapDate), ""); err != nil {
		t.Fatalf("emailtest: deliver: %v", err)
	}
}

const imapDate = `_2-Jan-2006 15:04:05 -0700`

func (c *Cyrus) put(folder string, raw []byte, date, flags string) error {
	_, err := c.ask(fmt.Sprintf("APPEND %s (%s) %s", imapQuote(folder), flags, imapQuote(date)), raw)
	return err
}

// Count returns how many mails lie in a folder.
func (c *Cyrus) Count(t testing.TB, folder string) int { return c.count(t, folder, "ALL") }

// Seen returns how many mails of a folder have the flag \Seen.
func (c *Cyrus) Seen(t testing.TB, folder string) int { return c.count(t, folder, "SEEN") }

func (c *Cyrus) count(t testing.TB, folder, which string) int {
	t.Helper()
	_, err := c.ask("EXAMINE "+imapQuote(folder), nil)
	var found []imapReply
	if err == nil {
		found, err = c.ask("SEARCH "+which, nil)
	}
	if err != nil {
		t.Fatalf("emailtest: count: %v", err)
	}
	n := 0
	for _, r := range found {
		if numbers, ok := strings.CutPrefix(r.line, "* SEARCH"); ok {
			n += len(strings.Fields(numbers))
		}
	}
	return n
}

// Renumber moves all mail to a new mailbox of the same name, as a migration does:
// folders have a new UIDVALIDITY, and mails new UIDs. Connections end. The folder
// is for likeness with other servers.
func (c *Cyrus) Renumber(string) {
	// A UIDVALIDITY is a time in seconds.
	before, err := c.validity()
	for err == nil {
		if err = c.rebuild(); err != nil {
			return
		}
		var now string
		if now, err = c.validity(); err == nil && now != before {
			break
		}
	}
	c.Disconnect()
}

func (c *Cyrus) validity() (string, error) {
	replies, err := c.ask("STATUS INBOX (UIDVALIDITY)", nil)
	if err != nil || len(replies) == 0 {
		return "", fmt.Errorf("emailtest: no UIDVALIDITY: %w", err)
	}
	return replies[0].line, nil
}

// rebuild copies all mails away, deletes the mailbox, and puts them into a new one.
func (c *Cyrus) rebuild() error {
	type kept struct{ folder, flags, date, raw string }
	var all []kept
	folders := []string{"INBOX", "Archive", "Sent", "Junk"}
	for _, folder := range folders {
		if _, err := c.ask("EXAMINE "+imapQuote(folder), nil); err != nil {
			return err
		}
		replies, err := c.ask("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])", nil)
		if err != nil {
			return err
		}
		for _, r := range replies {
			_, flags, _ := strings.Cut(r.line, "FLAGS (")
			flags, _, _ = strings.Cut(flags, ")")
			flags = strings.ReplaceAll(flags, `\Recent`, "")
			_, date, _ := strings.Cut(r.line, `INTERNALDATE "`)
			date, _, _ = strings.Cut(date, `"`)
			if len(r.literals) == 1 {
				all = append(all, kept{folder, strings.TrimSpace(flags), date, r.literals[0]})
			}
		}
	}
	admin, err := c.dialogue("admin")
	if err != nil {
		return err
	}
	defer admin.close()
	mailbox := imapQuote("user/" + c.user)
	for _, command := range []string{"SETACL " + mailbox + " admin lrswipkxtecda", "DELETE " + mailbox, "CREATE " + mailbox} {
		if _, err := admin.do(command, nil); err != nil {
			return err
		}
	}
	for _, folder := range folders[1:] {
		use := ""
		if folder != "Archive" {
			use = fmt.Sprintf(` (USE (\%s))`, folder)
		}
		if _, err := c.ask("CREATE "+folder+use, nil); err != nil {
			return err
		}
	}
	for _, m := range all {
		if err := c.put(m.folder, []byte(m.raw), m.date, m.flags); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cyrus) dialogue(name string) (*imapDialogue, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return openDialogue(ctx, c.addr, c.ClientTLS(), name)
}

// ask runs a command as the user.
func (c *Cyrus) ask(command string, literal []byte) ([]imapReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for fresh := false; ; fresh = true {
		if c.session == nil {
			var err error
			if c.session, err = c.dialogue(c.user); err != nil {
				return nil, err
			}
			fresh = true
		}
		replies, err := c.session.do(command, literal)
		if err == nil || fresh {
			return replies, err
		}
		// The server was restarted, or the mailbox made anew.
		c.hangUp()
	}
}

// hangUp ends the session. c.mu is held.
func (c *Cyrus) hangUp() {
	if c.session != nil {
		c.session.close()
		c.session = nil
	}
}
