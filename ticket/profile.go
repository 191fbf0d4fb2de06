package ticket

import (
	"context"
	"fmt"
	"slices"

	"github.com/anteroom/anteroom/channel"
)

// Bounds of looking for a picture.
const (
	pictureConversations = 20 // of a contact, the latest
	pictureQuestions     = 5  // to networks
)

// Picture returns the picture that a contact shows of themselves on the networks
// of their latest conversations, where those show it to the channel. It is asked
// for there each time, and never stored: a channel remembers it in memory for a
// while. What erases a contact need not know of it, and one that the contact takes
// away is gone.
//
// Errors: ErrNotFound when there is none that may be seen; a network's own, after
// which it may be there another time.
func (d *Desk) Picture(ctx context.Context, id ContactID) (*channel.Attachment, error) {
	known, err := d.Contacts(ctx, id)
	if err != nil {
		return nil, err
	}
	c := known[id]
	if c == nil {
		return nil, fmt.Errorf("contact %q: %w", id, ErrNotFound)
	}
	convs, _, err := d.store.Conversations(ctx, ConversationFilter{Contact: id}, Page{Limit: pictureConversations})
	if err != nil {
		return nil, fmt.Errorf("ticket: read conversations: %w", err)
	}
	type question struct {
		channel channel.ID
		address string
	}
	var asked []question
	var failed error
	for _, conv := range convs {
		p := d.profiler(conv.Channel)
		if p == nil {
			continue
		}
		for _, who := range conv.Participants {
			q := question{conv.Channel, who.Address}
			if !c.has(p.Info().Scheme, who.Address) || slices.Contains(asked, q) || len(asked) >= pictureQuestions {
				continue
			}
			asked = append(asked, q)
			shown, err := p.Profile(ctx, who.Address)
			switch {
			case err != nil:
				failed = fmt.Errorf("ticket: read profile: %w", err)
			case shown.Picture != nil && shown.Picture.Body != nil:
				return shown.Picture, nil
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, fmt.Errorf("picture of contact %q: %w", id, ErrNotFound)
}

// profiler returns a channel that is on and has profiles, or nil.
func (d *Desk) profiler(id channel.ID) channel.Profiler {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.channels[id]
	if o == nil || o.saved.Settings.Inactive {
		return nil
	}
	p, _ := o.ch.(channel.Profiler)
	return p
}

// has reports whether an address is one of the contact's.
func (c *Contact) has(scheme, address string) bool {
	return slices.ContainsFunc(c.Identities, func(i Identity) bool {
		return i.Scheme == scheme && addressKey(i.Address) == addressKey(address)
	})
}
