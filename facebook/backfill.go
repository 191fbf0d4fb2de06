package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// conversationNode is a conversation as the Graph has it.
type conversationNode struct {
	ID       ident    `json:"id"`
	Updated  nodeTime `json:"updated_time"`
	Messages struct {
		Data []messageNode `json:"data"`
	} `json:"messages"`
}

// messageNode is a message as the Graph has it
// (https://developers.facebook.com/docs/graph-api/reference/page/conversations).
type messageNode struct {
	ID      ident    `json:"id"`
	Created nodeTime `json:"created_time"`
	From    author   `json:"from"`
	To      struct {
		Data []author `json:"data"`
	} `json:"to"`
	Message     string `json:"message"`
	Sticker     string `json:"sticker"`
	Attachments struct {
		Data []struct {
			Mime  string `json:"mime_type"`
			Image *struct {
				URL string `json:"url"`
			} `json:"image_data"`
			Video *struct {
				URL string `json:"url"`
			} `json:"video_data"`
			File string `json:"file_url"`
		} `json:"data"`
	} `json:"attachments"`
}

const messageNodeFields = "id,updated_time,messages.limit(20){id,created_time,from,to,message,sticker,attachments}"

// messageNode reads a node of a backfill as the message that a webhook would have
// told of.
func (p *parsed) messageNode(e *event) {
	var n messageNode
	if json.Unmarshal(e.body, &n) != nil || n.ID == "" {
		p.detail = "it is not in the form of a message"
		return
	}
	m := &messaging{Sender: party{n.From.ID, n.From.Name}, Timestamp: instant{n.Created.Time}, Message: &messageBody{MID: n.ID, Text: n.Message}}
	p.kind = kindMessage
	if string(n.From.ID) == e.page {
		p.kind, m.Message.IsEcho = kindEcho, true
		if len(n.To.Data) > 0 {
			m.Recipient = party{n.To.Data[0].ID, n.To.Data[0].Name}
		}
	}
	add := func(kind, address string) {
		if address != "" {
			b := attachmentBody{Type: kind, URL: address}
			m.Message.Attachments = append(m.Message.Attachments, b)
		}
	}
	add("sticker", n.Sticker)
	for _, a := range n.Attachments.Data {
		switch {
		case a.Image != nil:
			add("image", a.Image.URL)
		case a.Video != nil:
			add("video", a.Video.URL)
		default:
			add("file", a.File)
		}
	}
	p.msg, p.at, p.key = m, n.Created.Time, mKey(n.ID)
}

// feedNode reads a post or comment of a backfill as the change that a webhook
// would have told of.
func (p *parsed) feedNode(e *event) {
	var n struct {
		node

		PostID ident `json:"post_id"`
	}
	if json.Unmarshal(e.body, &n) != nil || n.ID == "" {
		p.detail = "it is not in the form of a post or comment"
		return
	}
	v := &change{Item: "post", Verb: "add", From: n.From, PostID: n.ID, Message: n.Message, CreatedTime: instant{n.Created.Time}, photos: n.pictures()}
	if n.PostID != "" {
		v.Item, v.PostID, v.CommentID, v.ParentID = "comment", n.PostID, n.ID, n.PostID
		if n.Parent != nil {
			v.ParentID = n.Parent.ID
		}
	}
	p.fromChange(v)
}

// Backfill implements channel.Backfiller: the messages, posts and comments since
// then, oldest first within a conversation and a post, as far as Facebook still
// shows them: the last 20 messages of a conversation. Posts and comments that are
// known, be it from Limits.Repair before, are compared with what is kept: edited,
// hidden and removed ones are put right.
func (p *page) Backfill(ctx context.Context, since time.Time, sink channel.Sink) error {
	b := &backfill{page: p, since: since, compare: since, sink: sink, left: p.app.limits().Backfill}
	// The one may be allowed where the other is not.
	var errs []error
	if err := b.conversations(ctx); err != nil {
		errs = append(errs, fmt.Errorf("facebook: backfill of messages: %w", err))
	}
	err := b.readKnown(ctx)
	if err == nil {
		err = b.feed(ctx)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("facebook: backfill of posts and comments: %w", err))
	}
	return errors.Join(errs...)
}

type backfill struct {
	page  *page
	since time.Time
	sink  channel.Sink
	left  int
	// known are the posts and comments written since compare that were not read
	// yet.
	known   map[string]channel.Known
	compare time.Time
}

// paging is how lists go on. The address of the next page holds the token, so
// that only its cursor is used.
type paging struct {
	Cursors struct {
		After string `json:"after"`
	} `json:"cursors"`
	Next string `json:"next"`
}

// pages reads a list page by page, until each says so or there is no next. An
// empty page may have one.
func (b *backfill) pages(ctx context.Context, path string, in pool, q url.Values, each func(json.RawMessage) (more bool, err error)) error {
	p := b.page
	limit := 50
	for after := ""; ; {
		if in == poolMessenger {
			if err := p.app.pace.wait(ctx, p.app.now(), p.id, p.app.limits().Pace); err != nil {
				return err
			}
		}
		var list struct {
			Data   []json.RawMessage `json:"data"`
			Paging paging            `json:"paging"`
		}
		q.Set("limit", strconv.Itoa(limit))
		if after != "" {
			q.Set("after", after)
		}
		c := p.call(path, in, q, &list)
		c.background = true
		err := p.app.read(ctx, c)
		if ge, ok := err.(*Error); ok && ge.Class() == ClassUnknown && limit > 1 && ge.Status >= 500 { //nolint:errorlint // read returns it as it is
			limit /= 2 // "please reduce the amount of data"
			continue
		}
		if err != nil {
			return err
		}
		for _, d := range list.Data {
			more, err := each(d)
			if err != nil || !more {
				return err
			}
		}
		if list.Paging.Next == "" || list.Paging.Cursors.After == "" {
			return nil
		}
		if b.left -= max(len(list.Data), 1); b.left <= 0 {
			p.env.Log.Warn("facebook: backfill ends at its bound", "bound", p.app.limits().Backfill)
			return nil
		}
		after = list.Paging.Cursors.After
	}
}

func (b *backfill) conversations(ctx context.Context) error {
	q := url.Values{"platform": {"messenger"}, "fields": {messageNodeFields}}
	return b.pages(ctx, b.page.id+"/conversations", poolMessenger, q, func(d json.RawMessage) (bool, error) {
		var c struct {
			Updated  nodeTime `json:"updated_time"`
			Messages struct {
				Data []json.RawMessage `json:"data"`
			} `json:"messages"`
		}
		if json.Unmarshal(d, &c) != nil {
			return true, nil //nolint:nilerr // what is no conversation is passed over
		}
		if !c.Updated.IsZero() && c.Updated.Before(b.since) {
			return false, nil // the newest come first
		}
		return true, b.take(ctx, fromMessage, c.Messages.Data)
	})
}

// take delivers nodes, oldest first.
func (b *backfill) take(ctx context.Context, source string, nodes []json.RawMessage) error {
	var items []*channel.Item
	for _, n := range nodes {
		e := &event{page: b.page.id, source: source, body: n}
		in := e.parse()
		if in.kind == kindUnknown || in.at.Before(b.since) {
			continue
		}
		items = append(items, &channel.Item{Channel: b.page.acct.ID, Keys: []channel.Key{"raw:" + in.key}, At: in.at, Imported: true, Raw: channel.Bytes(e.rawBody())})
	}
	if len(items) == 0 {
		return nil
	}
	slices.SortStableFunc(items, func(x, y *channel.Item) int { return x.At.Compare(y.At) })
	return b.page.app.acceptAll(ctx, b.sink, items)
}

// feed reads the posts, whose order is no promise, and the comments of those that
// may have new ones: all that are listed.
func (b *backfill) feed(ctx context.Context) error {
	var posts []string
	read := b.page.app.now() // what is edited from now on, is newer
	q := url.Values{"fields": {postFields + ",updated_time"}}
	err := b.pages(ctx, b.page.id+"/feed", poolPages, q, func(d json.RawMessage) (bool, error) {
		var n struct {
			node

			Updated nodeTime `json:"updated_time"`
		}
		if json.Unmarshal(d, &n) != nil || n.ID == "" || n.Published != nil && !*n.Published {
			return true, nil //nolint:nilerr // what is no post is passed over
		}
		posts = append(posts, string(n.ID))
		if err := b.repair(ctx, d, read); err != nil {
			return false, err
		}
		return true, b.take(ctx, fromNode, []json.RawMessage{d})
	})
	if err != nil {
		return err
	}
	for _, id := range posts {
		switch err := b.comments(ctx, id); {
		case b.page.unreadable(err): // this post's comments, now and later
			b.page.env.Log.Info("facebook: the comments of a post cannot be read", "post", id, slog.Any("error", err))
		case err != nil:
			return err
		case b.left > 0: // else it may not have been read to its end
			if err := b.removed(ctx, id); err != nil {
				return err
			}
		}
	}
	if b.left <= 0 {
		return nil
	}
	return b.removedPosts(ctx)
}

func (b *backfill) comments(ctx context.Context, post string) error {
	q := url.Values{"filter": {"stream"}, "order": {"chronological"}, "fields": {commentFields}, "since": {strconv.FormatInt(b.compare.Unix(), 10)}}
	read := b.page.app.now()
	return b.pages(ctx, post+"/comments", poolPages, q, func(d json.RawMessage) (bool, error) {
		if err := b.repair(ctx, d, read); err != nil {
			return false, err
		}
		// The post that it stands under is told by where it was read.
		var m map[string]json.RawMessage
		if json.Unmarshal(d, &m) != nil {
			return true, nil //nolint:nilerr // what is no comment is passed over
		}
		m["post_id"] = json.RawMessage(strconv.Quote(post))
		with, err := json.Marshal(m)
		if err != nil {
			return false, err
		}
		return true, b.take(ctx, fromNode, []json.RawMessage{with})
	})
}
