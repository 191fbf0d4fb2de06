//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/anteroom/anteroom/email/emailtest"
)

// otherClient is a person's mail program on the same mailbox.
type otherClient struct {
	dovecot *emailtest.Dovecot
	rnd     *rand.Rand
	arrived func() int

	mu                                  sync.Mutex // held while it is connected
	marked, moved, back, deleted, early int
}

// run tidies the mailbox until ctx ends.
func (o *otherClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		o.mu.Lock()
		_ = o.tidy() // the server may be down
		o.mu.Unlock()
		linger(ctx, 200*time.Millisecond)
	}
}

// tidy does one thing of each kind. It moves and deletes what has arrived, since of what it
// takes away before nobody could tell, and of the extra mails any.
func (o *otherClient) tidy() error {
	c, err := imapclient.DialTLS(o.dovecot.Addr(), &imapclient.Options{TLSConfig: o.dovecot.ClientTLS()})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login("help@shop.example", "geheim").Wait(); err != nil {
		return err
	}
	arrived := o.arrived()
	here, total, err := o.window(c, arrived)
	if err != nil {
		return err
	}
	var move, remove imap.UIDSet
	for _, m := range here {
		switch {
		case m.n < arrived && o.rnd.IntN(3) == 0:
			move.AddNum(m.uid)
			o.moved++
		case m.n < arrived || extra(m.n):
			remove.AddNum(m.uid)
			o.deleted++
			if m.n >= arrived {
				o.early++
			}
		}
	}
	// Any mail is marked as read, whether it has arrived or not.
	var mark imap.SeqSet
	for range 3 {
		mark.AddNum(uint32(1 + o.rnd.IntN(total)))
	}
	if err := c.Store(mark, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close(); err != nil {
		return err
	}
	o.marked += 3
	if len(move) > 0 {
		if _, err := c.Move(move, "Archive").Wait(); err != nil {
			return err
		}
	}
	if len(remove) > 0 {
		if err := c.Store(remove, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
			return err
		}
		if err := c.UIDExpunge(remove).Close(); err != nil {
			return err
		}
	}
	return o.bringBack(c)
}

// bringBack moves one mail from the archive to the inbox, where it has a new number.
func (o *otherClient) bringBack(c *imapclient.Client) error {
	st, err := c.Select("Archive", nil).Wait()
	if err != nil || st.NumMessages == 0 {
		return err
	}
	if _, err := c.Move(imap.SeqSetNum(1+uint32(o.rnd.IntN(int(st.NumMessages)))), "INBOX").Wait(); err != nil {
		return err
	}
	o.back++
	return nil
}

type numbered struct {
	uid imap.UID
	n   int
}

// window opens the inbox and returns a few mails of it, and how many there are.
func (o *otherClient) window(c *imapclient.Client, arrived int) ([]numbered, int, error) {
	st, err := c.Select("INBOX", nil).Wait()
	if err != nil || st.NumMessages == 0 {
		return nil, 1, err
	}
	total := int(st.NumMessages)
	// Among the first ones, which are the oldest, most have arrived.
	at := 1 + o.rnd.IntN(max(1, min(total, arrived+100)))
	var set imap.SeqSet
	set.AddRange(uint32(at), uint32(min(total, at+3)))
	subject := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true}
	found, err := c.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{subject}}).Collect()
	if err != nil {
		return nil, 1, err
	}
	var out []numbered
	for _, m := range found {
		_, number, _ := strings.Cut(string(m.FindBodySection(subject)), "letter ")
		if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil {
			out = append(out, numbered{m.UID, n})
		}
	}
	return out, total, nil
}
