package ticket

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// known lists what is kept of a channel's messages; see channel.Env. The
// conversations come by their last change, so that those where nothing was written
// since then are not looked at.
func (d *Desk) known(ctx context.Context, id channel.ID, since time.Time, of func(conversation string) bool) iter.Seq2[channel.Known, error] {
	return func(yield func(channel.Known, error) bool) {
		var after Next
		for {
			convs, next, err := d.store.Conversations(ctx, ConversationFilter{Channel: id, Order: LatestUpdate}, Page{Limit: 200, After: after})
			if err != nil {
				yield(channel.Known{}, fmt.Errorf("ticket: read conversations: %w", err))
				return
			}
			for _, c := range convs {
				if c.UpdatedAt.Before(since) {
					return
				}
				if c.Key != "" && of(c.Key) && !d.knownIn(ctx, c, since, yield) {
					return
				}
			}
			if next == "" {
				return
			}
			after = next
		}
	}
}

// maxKnown is how many messages of one conversation are compared.
const maxKnown = 500

// knownIn yields the messages of a conversation. It reports false when no more are
// wanted.
func (d *Desk) knownIn(ctx context.Context, c *Conversation, since time.Time, yield func(channel.Known, error) bool) bool {
	ms, _, err := d.store.Messages(ctx, MessageFilter{Conversation: c.ID, NewestFirst: true}, Page{Limit: maxKnown})
	if err != nil {
		return yield(channel.Known{}, fmt.Errorf("ticket: read messages: %w", err))
	}
	for _, m := range ms {
		if len(m.ExternalIDs) != 1 || m.At.Before(since) || !m.RedactedAt.IsZero() {
			continue // what left in several parts is none of them
		}
		k := channel.Known{Conversation: c.Key, ExternalID: m.ExternalIDs[0], Text: m.Text, Hidden: m.Hidden, At: m.At}
		if !yield(k, nil) {
			return false
		}
	}
	return true
}
