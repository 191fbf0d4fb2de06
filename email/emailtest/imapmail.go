package emailtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// list lists the folders of a name, or all if the pattern has a wildcard, and of
// these the ones with a special use if that is asked for (RFC 6154 section 2).
func (c *imapSession) list(args []imapArg) error {
	special := false
	if len(args) > 0 && args[0].is {
		special = slices.ContainsFunc(args[0].list, func(a imapArg) bool { return strings.EqualFold(a.word, "SPECIAL-USE") })
		args = args[1:]
	}
	name := "*"
	if len(args) > 1 {
		name = args[1].word
	}
	c.s.mu.Lock()
	var lines []string
	for _, f := range c.s.folders {
		if special && f.use == "" || !strings.ContainsAny(name, "*%") && f.name != name {
			continue
		}
		lines = append(lines, fmt.Sprintf(`* LIST (\HasNoChildren %s) "/" %s`, f.use, imapQuote(f.name)))
	}
	c.s.mu.Unlock()
	for _, line := range lines {
		if err := c.write(strings.Replace(line, " )", ")", 1)); err != nil {
			return err
		}
	}
	return c.ok("done")
}

func (c *imapSession) create(list []imapArg) error {
	c.s.mu.Lock()
	exists := len(list) == 0 || c.s.folder(list[0].word) != nil
	if !exists {
		c.s.folders = append(c.s.folders, &imapFolder{name: list[0].word, validity: uint32(1000 + len(c.s.folders)), next: 1})
	}
	c.s.mu.Unlock()
	if exists {
		return c.no("[ALREADYEXISTS] it is there")
	}
	return c.ok("done")
}

func (c *imapSession) selectFolder(list []imapArg, readOnly bool) error {
	var f *imapFolder
	var lines []string
	c.s.mu.Lock()
	if len(list) > 0 {
		f = c.s.folder(list[0].word)
	}
	c.open, c.readOnly = f, readOnly
	if f != nil {
		c.view = f.mails
		lines = []string{
			`* FLAGS (\Seen \Deleted \Flagged \Answered \Draft)`,
			fmt.Sprintf("* %d EXISTS", len(f.mails)), "* 0 RECENT",
			fmt.Sprintf("* OK [UIDVALIDITY %d] valid", f.validity), fmt.Sprintf("* OK [UIDNEXT %d] next", f.next),
		}
	}
	c.s.mu.Unlock()
	if f == nil {
		return c.no("[NONEXISTENT] no such folder")
	}
	for _, line := range lines {
		if err := c.write(line); err != nil {
			return err
		}
	}
	if readOnly {
		return c.ok("[READ-ONLY] open")
	}
	return c.ok("[READ-WRITE] open")
}

// append takes "folder [(flags)] [date] content".
func (c *imapSession) append(list []imapArg) error {
	if len(list) < 2 {
		return c.write(c.tag + " BAD a folder and a mail")
	}
	flags := map[string]bool{}
	for _, a := range list[1 : len(list)-1] {
		for _, f := range a.list {
			flags[f.word] = true
		}
	}
	c.s.mu.Lock()
	f := c.s.folder(list[0].word)
	var code string
	if f != nil {
		uid := f.add([]byte(list[len(list)-1].word), time.Now(), flags)
		code = fmt.Sprintf("[APPENDUID %d %d] done", f.validity, uid)
		c.s.tell(f)
	}
	c.s.mu.Unlock()
	if f == nil {
		return c.no("[TRYCREATE] no such folder")
	}
	if err := c.fault(AtStored, c.tag+" "); errors.Is(err, errAnswered) {
		return nil
	} else if err != nil {
		return err
	}
	return c.ok(code)
}

// matching returns the mails of the open folder that a set of UIDs names.
func (c *imapSession) matching(set string) []*imapMail {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.open == nil || len(c.open.mails) == 0 {
		return nil
	}
	last := c.open.mails[len(c.open.mails)-1].uid
	var out []*imapMail
	for _, m := range c.open.mails {
		if imapSet(set).has(m.uid, last) {
			out = append(out, m)
		}
	}
	return out
}

func (c *imapSession) byUID(name string, list []imapArg) error {
	if len(list) == 0 {
		return c.write(c.tag + " BAD no arguments")
	}
	if name == "SEARCH" {
		return c.search(list)
	}
	mails := c.matching(list[0].word)
	c.s.mu.Lock()
	readOnly := c.readOnly
	c.s.mu.Unlock()
	if name != "FETCH" && name != "COPY" && readOnly {
		return c.no("the folder is open for reading only")
	}
	switch {
	case name == "FETCH" && len(list) > 1:
		return c.fetch(mails, list[1:])
	case name == "STORE" && len(list) > 2:
		c.s.mu.Lock()
		for _, m := range mails {
			for _, f := range append(list[2].list, imapArg{word: list[2].word}) {
				if f.word != "" {
					m.flags[f.word] = !strings.HasPrefix(list[1].word, "-")
					if !m.flags[f.word] {
						delete(m.flags, f.word)
					}
				}
			}
		}
		c.s.mu.Unlock()
		return c.done()
	case (name == "COPY" || name == "MOVE") && len(list) > 1:
		return c.transfer(mails, list[1].word, name == "MOVE")
	case name == "EXPUNGE":
		c.s.mu.Lock()
		c.open.remove(func(m *imapMail) bool { return m.flags[`\Deleted`] && slices.Contains(mails, m) })
		c.s.mu.Unlock()
		return c.done()
	}
	return c.write(c.tag + " BAD unknown command")
}

func (c *imapSession) transfer(mails []*imapMail, to string, move bool) error {
	c.s.mu.Lock()
	target := c.s.folder(to)
	if target != nil {
		for _, m := range mails {
			target.add(m.raw, m.at, m.flags)
		}
		if move {
			c.open.remove(func(m *imapMail) bool { return slices.Contains(mails, m) })
		}
		c.s.tell(target)
	}
	c.s.mu.Unlock()
	if target == nil {
		return c.no("[TRYCREATE] no such folder")
	}
	if !move {
		if err := c.fault(AtCopied, c.tag+" "); errors.Is(err, errAnswered) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return c.done()
}

// search knows UID, SINCE, ALL, HEADER Message-ID, LARGER and SMALLER, together.
func (c *imapSession) search(list []imapArg) error {
	extended := false
	set, since, header, value := "1:*", time.Time{}, "", ""
	larger, smaller := -1, math.MaxInt
	for i := 0; i < len(list); i++ {
		switch strings.ToUpper(list[i].word) {
		case "RETURN":
			extended = true
			i++
		case "UID":
			i++
			set = list[min(i, len(list)-1)].word
		case "SINCE":
			i++
			since, _ = time.Parse("2-Jan-2006", list[min(i, len(list)-1)].word)
		case "HEADER":
			header, value = list[min(i+1, len(list)-1)].word, list[min(i+2, len(list)-1)].word
			i += 2
		case "LARGER":
			i++
			larger, _ = strconv.Atoi(list[min(i, len(list)-1)].word)
		case "SMALLER":
			i++
			smaller, _ = strconv.Atoi(list[min(i, len(list)-1)].word)
		}
	}
	var found []string
	for _, m := range c.matching(set) {
		if m.at.UTC().Before(since) || header != "" && !bytes.Contains(imapHeader(m.raw, []string{header}), []byte(value)) ||
			len(m.raw) <= larger || len(m.raw) >= smaller {
			continue
		}
		found = append(found, strconv.FormatUint(uint64(m.uid), 10))
	}
	line := strings.TrimSpace("* SEARCH " + strings.Join(found, " "))
	if extended {
		line = fmt.Sprintf(`* ESEARCH (TAG %q) UID`, c.tag)
		if len(found) > 0 {
			line += " ALL " + strings.Join(found, ",")
		}
	}
	if err := c.write(line); err != nil {
		return err
	}
	return c.done()
}

func imapSection() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^BODY(\.PEEK)?\[([A-Z.]*)( \(([^)]*)\))?\](<(\d+)\.(\d+)>)?$`)
}

// fetch answers UID, FLAGS, INTERNALDATE, RFC822.SIZE and BODY[] of the whole
// or of the header.
func (c *imapSession) fetch(mails []*imapMail, list []imapArg) error {
	items := list
	if list[0].is {
		items = list[0].list
	}
	section := imapSection()
	for _, m := range mails {
		i := slices.Index(c.view, m)
		if i < 0 {
			if err := c.news(); err != nil {
				return err
			}
			if i = slices.Index(c.view, m); i < 0 {
				continue
			}
		}
		c.s.mu.Lock()
		var flags []string
		for f := range m.flags {
			flags = append(flags, f)
		}
		c.s.mu.Unlock()
		out := fmt.Appendf(nil, "* %d FETCH (UID %d", i+1, m.uid)
		var content []byte
		for _, item := range items {
			switch name := strings.ToUpper(item.word); name {
			case "FLAGS":
				out = fmt.Appendf(out, " FLAGS (%s)", strings.Join(flags, " "))
			case "INTERNALDATE":
				out = fmt.Appendf(out, ` INTERNALDATE "%s"`, m.at.Format("_2-Jan-2006 15:04:05 -0700"))
			case "RFC822.SIZE":
				out = fmt.Appendf(out, " RFC822.SIZE %d", len(m.raw))
			default:
				s := section.FindStringSubmatch(item.word)
				if s == nil {
					continue
				}
				if s[1] == "" {
					c.s.mu.Lock()
					if !c.readOnly {
						m.flags[`\Seen`] = true
					}
					c.s.mu.Unlock()
				}
				label := "BODY[" + s[2] + s[3] + "]"
				switch strings.ToUpper(s[2]) {
				case "":
					content = m.raw
				case "HEADER":
					content = imapHeader(m.raw, nil)
				case "HEADER.FIELDS":
					content = imapHeader(m.raw, strings.Fields(strings.ReplaceAll(s[4], `"`, "")))
				}
				if s[5] != "" {
					offset, _ := strconv.Atoi(s[6])
					n, _ := strconv.Atoi(s[7])
					content = content[min(offset, len(content)):]
					content = content[:min(n, len(content))]
					label += "<" + s[6] + ">"
				}
				out = fmt.Appendf(out, " %s {%d}\r\n", label, len(content))
				if err := c.literal(m.uid, out, content); err != nil {
					return err
				}
				out = nil
			}
		}
		if err := c.send(append(out, ")\r\n"...)); err != nil {
			return err
		}
	}
	return c.ok("done")
}

// literal sends content, unless the script has it break off within.
func (c *imapSession) literal(uid uint32, before, content []byte) error {
	f, hit := c.s.strike(AtLiteral, "", uid)
	if !hit {
		return c.send(append(before, content...))
	}
	cut := min(f.Bytes, len(content))
	if err := c.send(append(before, content[:cut]...)); err != nil {
		return err
	}
	if err := c.play(f, ""); err != nil {
		return err
	}
	return c.send(content[cut:])
}

// imapHeader returns a mail's header block, or some fields of it, with the
// blank line at the end.
func imapHeader(raw []byte, names []string) []byte {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var out []byte
	keep := true
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			keep = names == nil || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, string(name)) })
		}
		if keep {
			out = append(append(out, line...), "\r\n"...)
		}
	}
	return append(out, "\r\n"...)
}
