package facebook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// News of what was edited, hidden or removed are told once; those of an outage are
// lost. A backfill therefore compares what it reads of posts and comments with what
// is known of them. Messages are left alone: whether the Graph shows them as edited
// is not documented.

// readKnown reads what the engine keeps of the posts and comments written since then, by
// id.
func (b *backfill) readKnown(ctx context.Context) error {
	b.known = map[string]channel.Known{}
	limits := b.page.app.limits()
	if b.page.env.Known == nil || limits.Repair < 0 {
		return nil
	}
	b.compare = b.since.Add(-limits.Repair)
	public := func(key string) bool { return strings.HasPrefix(key, "c:") || strings.HasPrefix(key, "p:") }
	for k, err := range b.page.env.Known(ctx, b.compare, public) {
		if err != nil {
			return fmt.Errorf("facebook: read what is known: %w", err)
		}
		if !plausibleNode(k.ExternalID) {
			continue
		}
		if b.known[k.ExternalID] = k; len(b.known) >= limits.Backfill {
			break
		}
	}
	return nil
}

// repair compares a post or comment, as it was read, with what is known of it.
func (b *backfill) repair(ctx context.Context, d json.RawMessage, read time.Time) error {
	var n node
	if json.Unmarshal(d, &n) != nil {
		return nil //nolint:nilerr // what cannot be read is not compared
	}
	id := string(n.ID)
	k, ok := b.known[id]
	if !ok {
		return nil
	}
	delete(b.known, id) // what is left was not read
	var items []*channel.Item
	if text := plain(n.Message); text != "" && !sameWords(k.Text, text) && !strings.HasPrefix(k.Text, text+"\n") { // a link was added to it
		sum := sha256.Sum256([]byte(text))
		items = append(items, b.news(id, "edit:"+hex.EncodeToString(sum[:8]), read, &channel.Update{Kind: channel.UpdateEdit, Text: text}))
	}
	switch {
	case n.IsHidden == nil:
	case *n.IsHidden && !k.Hidden:
		items = append(items, b.news(id, "hide", read, &channel.Update{Kind: channel.UpdateHide}))
	case !*n.IsHidden && k.Hidden:
		items = append(items, b.news(id, "unhide", read, &channel.Update{Kind: channel.UpdateUnhide}))
	}
	if len(items) == 0 {
		return nil
	}
	return accept(ctx, b.sink, items...)
}

// news are an item about something that is known. The same may happen again, so
// that its key has the time.
func (b *backfill) news(id, what string, read time.Time, up *channel.Update) *channel.Item {
	up.IDs = []string{id}
	return &channel.Item{Channel: b.page.acct.ID, Keys: []channel.Key{channel.Key("repair:" + id + ":" + what + ":" + strconv.FormatInt(read.UnixMilli(), 10))},
		At: read, Imported: true, Update: up}
}

// removed looks for what is known of a post and was not listed under it. That
// alone says nothing: what Facebook says to be gone when asked for it is.
func (b *backfill) removed(ctx context.Context, post string) error {
	under := lastPart(post) + "_"
	var ids []string
	for id := range b.known {
		if strings.HasPrefix(id, under) {
			ids = append(ids, id)
		}
	}
	return b.removeGone(ctx, ids, kindComment)
}

func (b *backfill) removeGone(ctx context.Context, ids []string, k kind) error {
	slices.Sort(ids)
	for _, id := range ids {
		delete(b.known, id)
		if b.left--; b.left <= 0 {
			return nil
		}
		c := b.page.call(id, poolPages, url.Values{"fields": {"id"}}, nil)
		c.background = true
		err := b.page.app.read(ctx, c)
		switch {
		case gone(err):
			it := &channel.Item{Channel: b.page.acct.ID, Keys: []channel.Key{nodeKey(k, id) + channel.Key(":"+string(Removed))}, At: b.page.app.now(), Imported: true,
				Update: &channel.Update{Kind: channel.UpdateRemove, IDs: []string{id}}}
			if err := accept(ctx, b.sink, it); err != nil {
				return err
			}
		case err != nil && !final(err):
			return err
		}
	}
	return nil
}

// removedPosts looks for the posts that are known and were not listed.
func (b *backfill) removedPosts(ctx context.Context) error {
	var ids []string
	for id, k := range b.known {
		if t, ok := readConversation(k.Conversation); ok && t.kind == "p" && t.object == id {
			ids = append(ids, id)
		}
	}
	return b.removeGone(ctx, ids, kindPost)
}
