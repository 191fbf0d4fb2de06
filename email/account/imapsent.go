package account

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// maxHits bounds how many mails are looked at that a search calls fit.
const maxHits = 20

// holds reports whether a folder has a mail with this Message-ID, received since
// the day before a time. A search looks for parts of a field, so that what it
// finds is read again.
func (c *imapConn) holds(folder, id string, since time.Time) (bool, *failure) {
	if _, err := c.examine(folder); err != nil {
		return false, c.folderFailure(folder, err)
	}
	value := "<" + id + ">"
	if !isASCII(id) {
		value, _, _ = cutAddress(id) // no charset need be agreed upon
	}
	criteria := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: value}}}
	if !since.IsZero() {
		criteria.Since = since.AddDate(0, 0, -1) // the server's day may be another
	}
	uids, err := c.search(criteria)
	if err != nil || len(uids) == 0 {
		return false, c.failedIf(stageMail, err)
	}
	found := false
	section := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Message-ID"}}
	err = c.sections(uids[max(0, len(uids)-maxHits):], section, func(_ uint32, b []byte) {
		_, v, _ := strings.Cut(string(bytes.TrimSpace(b)), ":")
		found = found || strings.Trim(strings.Join(strings.Fields(v), ""), "<>") == id
	})
	return found, c.failedIf(stageMail, err)
}

func (c *imapConn) failedIf(at stage, err error) *failure {
	if err == nil {
		return nil
	}
	return c.failed(at, err)
}

// append puts a mail into a folder, as one that was read. Once its last byte has
// left, only the server's answer tells whether it is there.
func (c *imapConn) append(folder string, m submission) *failure {
	at := stageData
	err := c.guard(c.pace.Fetch, maxIdle, func() error {
		cmd := c.client.Append(folder, m.size, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
		w := &dotWriter{w: bufio.NewWriterSize(cmd, blockSize), start: true, plain: true}
		cause := m.write(w)
		if cause == nil {
			cause = w.finish()
		}
		if cause == nil && w.written != m.size {
			cause = fmt.Errorf("the mail has %d bytes now and had %d a moment ago", w.written, m.size)
		}
		if cause != nil {
			// The library would end the command, and what is missing might
			// be just as long as that end.
			closeNow(c.raw)
			_ = cmd.Close()
			if _, err := cmd.Wait(); err != nil {
				if _, said := errors.AsType[*imap.Error](err); said {
					return err // it was refused before
				}
			}
			return cause
		}
		at = stageFinal
		if err := cmd.Close(); err != nil {
			return err
		}
		_, err := cmd.Wait()
		return err
	})
	if err == nil {
		return nil
	}
	f := c.failed(stageData, err)
	if at == stageFinal {
		f.stage = stageFinal
		f.text += "; the copy may be there"
	}
	if e, ok := errors.AsType[*imap.Error](err); ok {
		f.stage = stageData // an answer, though not the one that was hoped for
		f.code = "sent_folder"
		f.text = "the server does not take a copy into the folder " + oneLine(folder, nil) + ": " + oneLine(e.Text, c.secrets)
	}
	return f
}
