package ticket

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// maxAddress is how many bytes an address or id of a received message may have.
// A longer one is left out, since a part of it would name somebody else.
const maxAddress = 1000

// maxCause is how many bytes of a cause that a channel gives are kept.
const maxCause = 200

// bounded returns the item with what its channel gave cut to the limits, and
// each cut noted as a defect. The raw form keeps the whole. The item itself is
// left as it is.
func (l Limits) bounded(it *channel.Item) *channel.Item {
	if len(it.Ignored) > maxCause || len(it.Quarantined) > maxCause {
		i := *it
		i.Ignored, i.Quarantined = channel.Cause(cut(string(it.Ignored), maxCause)), channel.Cause(cut(string(it.Quarantined), maxCause))
		it = &i
	}
	m := it.Message
	if m == nil {
		return it
	}
	c := *m
	var defects []string
	note := func(format string, args ...any) { defects = append(defects, fmt.Sprintf(format, args...)) }
	if len(c.Subject) > l.ReceivedSubject {
		note("the subject has %d bytes, of which the first %d are kept", len(c.Subject), l.ReceivedSubject)
		c.Subject = cut(c.Subject, l.ReceivedSubject)
	}
	party := func(field string, p channel.Party) channel.Party {
		if utf8.RuneCountInString(p.Name) > maxNameLength {
			note("a name in %s is cut to %d characters", field, maxNameLength)
			p.Name = clean(p.Name, maxNameLength)
		}
		if len(p.Address) > maxAddress {
			note("an address in %s has %d bytes and is left out", field, len(p.Address))
			p.Address = ""
		}
		return p
	}
	parties := func(field string, ps []channel.Party) []channel.Party {
		if n := len(ps); n > l.ReceivedParties {
			note("%s names %d parties, of whom the first %d are kept", field, n, l.ReceivedParties)
			ps = ps[:l.ReceivedParties]
		}
		out := ps
		for i, p := range ps {
			if q := party(field, p); q != p {
				if &out[0] == &ps[0] {
					out = slices.Clone(ps)
				}
				out[i] = q
			}
		}
		if len(out) > 0 && &out[0] != &ps[0] {
			out = slices.DeleteFunc(out, func(p channel.Party) bool { return p == channel.Party{} })
		}
		return out
	}
	c.From = party("From", c.From)
	c.ReplyTo, c.To, c.Cc = parties("Reply-To", c.ReplyTo), parties("To", c.To), parties("Cc", c.Cc)
	if len(c.ExternalID) > maxAddress {
		note("its id has %d bytes and is left out", len(c.ExternalID))
		c.ExternalID = ""
	}
	if len(c.Group) > maxAddress {
		c.Group = "" // then nothing is told of it
	}
	if slices.ContainsFunc(c.Evidence.IDs, func(id string) bool { return len(id) > maxAddress }) {
		note("ids that it refers to have more than %d bytes and are left out", maxAddress)
		c.Evidence.IDs = slices.DeleteFunc(slices.Clone(c.Evidence.IDs), func(id string) bool { return len(id) > maxAddress })
	}
	if len(defects) == 0 && c.Group == m.Group {
		return it
	}
	c.Defects = append(slices.Clip(c.Defects), defects[:min(len(defects), maxDefects)]...)
	out := *it
	out.Message = &c
	return &out
}

// maxDefects is how many cuts are noted of one message.
const maxDefects = 20

// cut returns the first bytes of s, at most n, without a broken character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
