package facebook

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// activity takes in what happened to a post or a comment.
func (p *page) activity(ctx context.Context, it *channel.Item, in *parsed) error {
	v := in.feed
	id := v.PostID
	if in.kind == kindComment {
		id = v.CommentID
	}
	verb := verbs[v.Verb]
	if verb != Added {
		it.Update = &channel.Update{IDs: ids(id), Item: nodeKey(in.kind, string(id)), Wait: p.app.limits().Wait}
		switch verb {
		case Edited:
			it.Update.Kind, it.Update.Text = channel.UpdateEdit, plain(v.Message)
			if v.Message == "" {
				return p.editedText(ctx, it, in, string(id))
			}
		case Removed:
			it.Update.Kind = channel.UpdateRemove
		case Hidden:
			it.Update.Kind = channel.UpdateHide
		default:
			it.Update.Kind = channel.UpdateUnhide
		}
		return nil
	}
	if unpublished(v) && in.kind == kindPost {
		it.Ignored, it.Detail = causeDraft, "a post that is not published"
		return nil
	}
	w, err := p.whole(ctx, in, string(id))
	if errors.Is(err, errGone) {
		it.Ignored, it.Detail = causeGone, "it was removed before it could be read"
		return nil
	}
	if err != nil {
		return err
	}
	if in.kind == kindPost {
		return p.post(ctx, it, w)
	}
	return p.comment(ctx, it, w)
}

func unpublished(v *change) bool {
	s := strings.Trim(string(v.Published), `"`)
	return s == "0" || s == "false" || v.Post != nil && v.Post.Published != nil && !bool(*v.Post.Published)
}

// editedText reads the text of what was edited where the event has none.
func (p *page) editedText(ctx context.Context, it *channel.Item, in *parsed, id string) error {
	fields := postFields
	if in.kind == kindComment {
		fields = commentFields
	}
	n, err := p.lookup(ctx, id, fields, true)
	if errors.Is(err, errGone) {
		it.Update, it.Ignored, it.Detail = nil, causeGone, "it was removed before it could be read"
		return nil
	}
	if err != nil {
		return err
	}
	it.Update.Text = plain(n.Message)
	return nil
}

// whole is a post or comment, with what the event left out.
type whole struct {
	id, post, parent string
	from             author // without an id: somebody who cannot be told
	text             string
	pictures         []string
	permalink        string
}

// whole completes an event from the Graph where it says too little.
func (p *page) whole(ctx context.Context, in *parsed, id string) (*whole, error) {
	v := in.feed
	w := &whole{id: id, post: string(v.PostID), parent: string(v.ParentID), text: plain(v.Message), pictures: v.photos}
	if v.From != nil {
		w.from = *v.From
	}
	if v.Photo != "" {
		w.pictures = append(w.pictures, v.Photo)
	}
	if v.Item == "photo" && v.Link != "" {
		w.pictures = append(w.pictures, v.Link)
	} else if (v.Item == "share" || v.Item == "link") && v.Link != "" {
		w.text = strings.TrimSpace(w.text + "\n" + plain(oneLine(v.Link)))
	}
	if v.Post != nil {
		w.permalink = v.Post.Permalink
	}
	if w.from.ID != "" && (w.text != "" || len(w.pictures) > 0) {
		return w, nil
	}
	fields := postFields
	if in.kind == kindComment {
		fields = commentFields
	}
	n, err := p.lookup(ctx, id, fields, true)
	if errors.Is(err, errGone) && (w.text != "" || len(w.pictures) > 0) {
		return w, nil // what was told is taken in
	}
	if err != nil {
		if ge, ok := errors.AsType[*Error](err); ok && ge.Class() == ClassFinal && w.from.ID != "" {
			return w, nil // it can never be read; what was told must do
		}
		return nil, err
	}
	if w.from.ID == "" && n.From != nil {
		w.from = *n.From
	}
	if w.text == "" {
		w.text = plain(n.Message)
	}
	if len(w.pictures) == 0 {
		w.pictures = n.pictures()
	}
	if w.parent == "" && n.Parent != nil {
		w.parent = string(n.Parent.ID)
	}
	return w, nil
}

// by says who an author is.
func (p *page) by(id ident) By {
	switch {
	case string(id) == p.id:
		return ByPage
	case p.rules.staff[string(id)]:
		return ByStaff
	}
	return ByCustomer
}

// person is the party of an author. Somebody who cannot be told is somebody else
// each time.
func (p *page) person(ctx context.Context, a author, id string) channel.Party {
	if a.ID == "" || strings.Contains(string(a.ID), ":") {
		return channel.Party{Address: "unknown-" + id, Name: plain(oneLine(a.Name))}
	}
	return channel.Party{Address: string(a.ID), Name: p.name(ctx, string(a.ID), oneLine(a.Name))}
}

// post takes in a post on the Page.
func (p *page) post(ctx context.Context, it *channel.Item, w *whole) error {
	by := p.by(w.from.ID)
	p.remember(w.post, &node{ID: ident(w.post), From: known1(w.from), Message: w.text, Permalink: w.permalink})
	verdict := p.rules.decide(Activity{What: Post, Verb: Added, By: by, Text: w.text})
	it.Detail = verdict.Reason
	if verdict.Outcome == Ignore {
		it.Ignored = channel.CauseRule
		return nil
	}
	who := p.person(ctx, w.from, w.id)
	msg := &channel.Message{ExternalID: w.id, Text: w.text, Context: p.context(w.from, "", w.permalink), Group: lastPart(w.id)}
	msg.From, msg.To, msg.Conversation = who, []channel.Party{p.party()}, postConversation(who.Address, w.id)
	if by != ByCustomer {
		msg.Direction, msg.OwnTicket, msg.To = channel.Out, true, []channel.Party{who}
	}
	it.Message = msg
	return p.addPictures(ctx, it, msg, w)
}

func known1(a author) *author {
	if a.ID == "" {
		return nil
	}
	return &a
}

func (p *page) addPictures(ctx context.Context, it *channel.Item, msg *channel.Message, w *whole) error {
	for _, address := range w.pictures {
		if err := p.addFile(ctx, it, msg, address, "image"); err != nil {
			return err
		}
	}
	return nil
}

// context describes the post that something stands under.
func (p *page) context(by author, text, permalink string) string {
	s := "Post"
	if string(by.ID) == p.id {
		s = "The Page's post"
	} else if by.Name != "" {
		s = "Post by " + plain(oneLine(by.Name))
	}
	if text = oneLine(text); text != "" {
		if r := []rune(text); len(r) > 200 {
			text = string(r[:200]) + "…"
		}
		s += ": " + text
	}
	if permalink != "" {
		s += " " + plain(oneLine(permalink))
	}
	return s
}

// place is where a comment stands.
type place struct {
	post   *node // nil: it is gone
	postBy By
	top    string // the comment at the head of its thread; its own id if that is it
	topOf  *node  // nil if it is gone, or is the comment itself
	parent *node  // what it replies to, if that is another comment than top
}

// maxNesting bounds how far up a thread is followed. Facebook shows two levels.
const maxNesting = 5

// locate finds where a comment stands.
func (p *page) locate(ctx context.Context, w *whole) (*place, error) {
	at := &place{top: w.id}
	var err error
	if at.post, err = p.lookup(ctx, w.post, postFields, false); err != nil && !p.unreadable(err) {
		return nil, err
	}
	if at.post != nil && at.post.From != nil {
		at.postBy = p.by(at.post.From.ID)
	}
	if w.parent == "" || sameNode(w.parent, w.post) || sameNode(w.parent, w.id) {
		return at, nil
	}
	next := w.parent
	for range maxNesting {
		n, err := p.lookup(ctx, next, commentFields, false)
		if err != nil && !p.unreadable(err) {
			return nil, err
		}
		at.top, at.topOf = next, n
		if next == w.parent {
			at.parent = n
		}
		if n == nil || n.Parent == nil || n.Parent.ID == "" || sameNode(string(n.Parent.ID), w.post) {
			break
		}
		next = string(n.Parent.ID)
	}
	return at, nil
}

// unreadable reports whether a node can never be read, which makes us know less
// and is no reason to wait.
func (*page) unreadable(err error) bool {
	if errors.Is(err, errGone) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class() == ClassFinal
}

// sameNode compares ids, the part of the Page aside, which differs for photos and
// albums.
func sameNode(a, b string) bool {
	return a == b || (!strings.Contains(a, "_") || !strings.Contains(b, "_")) && lastPart(a) == lastPart(b)
}

// lastPart is an id without what stands before it. Of a post that is the same in
// all the forms of its id.
func lastPart(id string) string { return id[strings.LastIndexByte(id, '_')+1:] }

// ownGrace is how long a comment of the Page waits at most while an answer of ours
// is on its way under the same post. Who is answered in a thread of several people
// is told by no event, so that it may be any of them; and a send that was cut off
// is looked for within this time.
const ownGrace = 90 * time.Second

// comment takes in a comment.
func (p *page) comment(ctx context.Context, it *channel.Item, w *whole) error {
	p.remember(w.id, &node{ID: ident(w.id), From: known1(w.from), Message: w.text, Parent: parentOf(w)})
	at, err := p.locate(ctx, w)
	if err != nil {
		return err
	}
	by := p.by(w.from.ID)
	act := Activity{What: Comment, Verb: Added, By: by, PostBy: at.postBy, Nested: at.top != w.id, Text: w.text}
	own := at.post != nil && at.post.From != nil && w.from.ID != "" && at.post.From.ID == w.from.ID
	act.InOwnPost = own && by == ByCustomer
	if at.topOf != nil && at.topOf.From != nil && p.by(at.topOf.From.ID) == ByCustomer {
		act.Thread = at.topOf.Message
	}
	verdict := p.rules.decide(act)
	it.Detail = verdict.Reason
	if verdict.Outcome == Ignore {
		it.Ignored = channel.CauseRule
		return nil
	}
	msg := &channel.Message{ExternalID: w.id, Text: w.text, Group: lastPart(w.post)}
	if at.post != nil && at.post.From != nil {
		msg.Context = p.context(*at.post.From, at.post.Message, at.post.Permalink)
	}
	if by == ByCustomer {
		msg.From, msg.To = p.person(ctx, w.from, w.id), []channel.Party{p.party()}
		msg.Conversation = p.conversation(at, w, msg.From.Address)
	} else {
		to := p.answered(ctx, at)
		msg.Direction, msg.From, msg.To = channel.Out, p.person(ctx, w.from, w.id), []channel.Party{to}
		msg.Conversation = p.conversation(at, w, to.Address)
		it.Update = &channel.Update{Kind: channel.UpdateEcho, IDs: []string{w.id}, Conversation: msg.Conversation, Text: w.text, Wait: p.app.limits().Wait, Grace: ownGrace}
		msg.OwnTicket = verdict.Outcome == MakeTicket
	}
	if verdict.Outcome == Join {
		it.Ignored, msg.NoTicket = channel.CauseRule, true
		if it.Update != nil {
			it.Update.Item = p.beginning(at, w, msg.Conversation)
		}
	}
	it.Message = msg
	return p.addPictures(ctx, it, msg, w)
}

func parentOf(w *whole) *struct {
	ID ident `json:"id"`
} {
	if w.parent == "" || sameNode(w.parent, w.post) {
		return nil
	}
	return &struct {
		ID ident `json:"id"`
	}{ident(w.parent)}
}

// beginning is the key of the post or comment that begins the conversation in
// which the Page answers, if the rules make a ticket of that: it may come later.
func (p *page) beginning(at *place, w *whole, conversation string) channel.Key {
	t, _ := readConversation(conversation)
	begins, a, k := at.topOf, Activity{What: Comment, PostBy: at.postBy}, kindComment
	id := at.top
	switch {
	case t.kind == "p":
		begins, a, k, id = at.post, Activity{What: Post}, kindPost, w.post
	case at.parent != nil && at.parent.From != nil && string(at.parent.From.ID) == t.person && begins != nil && begins.From != nil &&
		begins.From.ID != at.parent.From.ID:
		// Somebody else's reply in the thread, with a conversation of its own.
		if p.by(begins.From.ID) == ByCustomer {
			a.Thread = begins.Message
		}
		begins, id, a.Nested = at.parent, w.parent, true
	}
	if begins == nil || begins.From == nil {
		return ""
	}
	a.Verb, a.By, a.Text = Added, p.by(begins.From.ID), begins.Message
	if a.By != ByCustomer || p.rules.decide(a).Outcome != MakeTicket {
		return ""
	}
	return nodeKey(k, id)
}

// conversation is that of a person at a place: their post's if it stands under
// it, else that of the thread.
func (p *page) conversation(at *place, w *whole, who string) string {
	if at.post != nil && at.post.From != nil && string(at.post.From.ID) == who && who != p.id {
		return postConversation(who, w.post)
	}
	return commentConversation(who, at.top)
}

// answered is whom the Page answers by a comment: whoever wrote what it replies
// to, or else the head of the thread, or the post.
func (p *page) answered(ctx context.Context, at *place) channel.Party {
	for _, n := range []*node{at.parent, at.topOf, at.post} {
		switch {
		case n == nil, n.From != nil && string(n.From.ID) == p.id:
		case n.From != nil && n.From.ID != "":
			return p.person(ctx, *n.From, string(n.ID))
		case n != at.post: // by somebody who cannot be told, and by nobody further up
			return p.person(ctx, author{}, string(n.ID))
		}
	}
	return p.party()
}

// feedLikeWait is how long a reaction is kept for its post or comment: most are to
// posts that never come in.
const feedLikeWait = time.Minute

// feedLike takes in a reaction to a post or a comment.
func (p *page) feedLike(it *channel.Item, in *parsed) {
	v := in.feed
	id, k := v.CommentID, kindComment
	if id == "" {
		id, k = v.PostID, kindPost
	}
	up := &channel.Update{Kind: channel.UpdateReaction, IDs: ids(id), Item: nodeKey(k, string(id)), Wait: min(feedLikeWait, p.app.limits().Wait)}
	if v.From != nil {
		up.From = channel.Party{Address: string(v.From.ID), Name: plain(oneLine(v.From.Name))}
	}
	if verbs[v.Verb] != Removed {
		if up.Text = plain(v.Reaction); up.Text == "" {
			up.Text = "like"
		}
	}
	it.Update = up
}
