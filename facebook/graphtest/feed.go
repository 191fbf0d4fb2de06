package graphtest

import (
	"strings"
	"time"
)

// node is a post or a comment.
type node struct {
	id, page   string
	person     *Person // nil: the Page
	text       string
	at, edited time.Time
	post       *node // of a comment
	parent     *node // of a reply
	photo      string
	hidden     bool
	gone       bool
	likes      int
	private    bool // was answered privately
	byAPI      bool
}

func (n *node) isComment() bool { return n.post != nil }

// top returns the comment at the head of a thread.
func (n *node) top() *node {
	for n.parent != nil {
		n = n.parent
	}
	return n
}

// Post writes on the wall of a Page and returns the post's id (ref 4.2, O).
func (p *Person) Post(page, text string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addPost(page, p, text, "").id
}

// PostPhoto is Post with a picture.
func (p *Person) PostPhoto(page, text string, jpeg []byte) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addPost(page, p, text, p.g.host("photo.jpg", "image/jpeg", jpeg)).id
}

// Post writes a post as the Page and returns its id.
func (p *Page) Post(text string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addPost(p.ID, nil, text, "").id
}

func (g *Graph) addPost(page string, by *Person, text, photo string) *node {
	n := &node{id: page + "_" + g.id(), page: page, person: by, text: text, at: g.now(), photo: photo}
	g.nodes[n.id] = n
	if by != nil {
		g.touch(n)
	}
	v := g.feedValue(n, "add")
	item := "status"
	switch {
	case photo != "":
		item = "photo"
		v["link"] = photo
	case by != nil:
		item = "post"
	}
	v["item"] = item
	g.enqueue(page, "feed", "changes", v)
	if photo != "" && g.opts.Doubts.TwoPhotoEvents {
		second := g.feedValue(n, "add")
		second["item"], second["photos"] = "status", []string{photo}
		g.enqueue(page, "feed", "changes", second)
	}
	return n
}

// touch opens the window for an answer to whoever wrote n (ref 5.1, D).
func (g *Graph) touch(n *node) {
	if t := g.threads[n.page+"/"+n.person.on(n.page)]; t != nil && !t.lastUser.IsZero() {
		t.lastUser = g.now()
	}
}

// Comment comments on a post, or replies to a comment, and returns its id.
func (p *Person) Comment(target, text string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addComment(target, p, text, "").id
}

// CommentPhoto comments with a picture.
func (p *Person) CommentPhoto(target, text string, jpeg []byte) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addComment(target, p, text, p.g.host("photo.jpg", "image/jpeg", jpeg)).id
}

// Comment comments as the Page, as its admin does on Facebook.
func (p *Page) Comment(target, text string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.addComment(target, nil, text, "").id
}

func (g *Graph) addComment(target string, by *Person, text, photo string) *node {
	to := g.nodes[target]
	n := &node{page: to.page, person: by, text: text, at: g.now(), post: to, photo: photo}
	if to.isComment() {
		n.post, n.parent = to.post, to
	}
	n.id = postPart(n.post.id) + "_" + g.id()
	g.nodes[n.id] = n
	if by != nil {
		g.touch(n)
	}
	v := g.feedValue(n, "add")
	v["item"] = "comment"
	if photo != "" {
		v["photo"] = photo
	}
	g.enqueue(n.page, "feed", "changes", v)
	return n
}

func postPart(id string) string {
	_, part, _ := strings.Cut(id, "_")
	return part
}

// EditText changes the text of a post or a comment.
func (g *Graph) EditText(id, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[id]
	n.text, n.edited = text, g.now()
	v := g.feedValue(n, "edited")
	v["message"], v["edited_time"] = text, n.edited.Unix()
	g.enqueue(n.page, "feed", "changes", v)
}

// Remove removes a post or a comment. The event keeps its author (ref 4.3, O).
func (g *Graph) Remove(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(g.nodes[id])
}

func (g *Graph) remove(n *node) {
	n.gone = true
	v := g.feedValue(n, "remove")
	delete(v, "message")
	g.enqueue(n.page, "feed", "changes", v)
}

// Hide hides or shows a post or a comment, as a moderator.
func (g *Graph) Hide(id string, hidden bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hide(g.nodes[id], hidden)
}

func (g *Graph) hide(n *node, hidden bool) {
	n.hidden = hidden
	verb := "unhide"
	if hidden {
		verb = "hide"
	}
	g.enqueue(n.page, "feed", "changes", g.feedValue(n, verb))
}

// LikeNode reacts to a post or a comment (ref 4.2, O).
func (p *Person) LikeNode(id, reaction string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	n := g.nodes[id]
	v := object{"item": "reaction", "verb": "add", "reaction_type": reaction, "from": object{"id": g.num(p.author(n.page)), "name": p.Name},
		"created_time": g.now().Unix()}
	if n.isComment() {
		v["post_id"], v["comment_id"], v["parent_id"] = n.post.id, n.id, n.post.id
	} else {
		v["post_id"], v["parent_id"] = n.id, n.id
	}
	g.enqueue(n.page, "feed", "changes", v)
}

// feedValue is the value of a change (ref 4.1 and 4.2, D and O).
func (g *Graph) feedValue(n *node, verb string) object {
	v := object{"verb": verb, "created_time": n.at.Unix()}
	post := n
	if n.isComment() {
		post = n.post
		v["item"], v["comment_id"] = "comment", n.id
		v["parent_id"] = post.id
		if n.parent != nil {
			v["parent_id"] = n.top().id
			if g.opts.Doubts.MiddleParent {
				v["parent_id"] = n.parent.id
			}
		}
	} else {
		v["item"] = "status"
		if n.person != nil {
			v["item"] = "post"
		}
		v["published"], v["is_hidden"] = 1, n.hidden
	}
	v["post_id"] = post.id
	status := "mobile_status_update"
	if post.person != nil {
		status = "wall_post"
	}
	v["post"] = object{"id": post.id, "status_type": status, "is_published": true, "promotion_status": "inactive",
		"updated_time": graphTime(g.now()), "permalink_url": "https://www.facebook.com/" + post.id}
	if from := g.from(n); from != nil && (!g.opts.Doubts.NoFrom || n.person == nil) {
		v["from"] = from
	}
	if !g.opts.Doubts.NoMessage && n.text != "" {
		v["message"] = n.text
	}
	return v
}

// from is who wrote n, nil if that is not told.
func (g *Graph) from(n *node) object {
	if n.person == nil {
		return object{"id": g.num(n.page), "name": g.pages[n.page].Name}
	}
	if n.person.unnamed {
		return nil
	}
	return object{"id": g.num(n.person.author(n.page)), "name": n.person.Name}
}

// graphTime is a time as nodes have it (ref 1, D).
func graphTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-0700") }
