package graphtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// onNode are calls on a post or a comment.
func (g *Graph) onNode(c *call, n *node, edge string) (any, *apiError) {
	if n.gone {
		return nil, gone(n.id)
	}
	if c.page == nil || c.page.ID != n.page {
		return nil, &apiError{code: 190, subcode: 2069032, message: "A Page access token is required"}
	}
	if c.method == http.MethodGet {
		scope := "pages_read_engagement"
		if n.person != nil || edge != "" {
			scope = "pages_read_user_content"
		}
		if bad := g.needs(c, scope); bad != nil {
			return nil, bad
		}
		switch edge {
		case "":
			return g.nodeObject(n), nil
		case "comments":
			return g.comments(c, n)
		}
		return nil, &apiError{code: 2500, message: "Unknown path components"}
	}
	if bad := g.needs(c, "pages_manage_engagement", "MODERATE"); bad != nil {
		return nil, bad
	}
	switch c.method + " " + edge {
	case "POST comments":
		text, picture := c.q.Get("message"), g.photos[c.q.Get("attachment_id")]
		switch {
		case text == "" && picture == nil && c.q.Get("attachment_url") == "":
			return nil, bug(0, "A comment needs a message or an attachment")
		case c.q.Has("attachment_id") && (picture == nil || picture.page != n.page || picture.used):
			return nil, bug(0, "Invalid attachment_id")
		}
		s := Sent{Page: n.page, Recipient: n.id, Text: text}
		url := ""
		if picture != nil {
			picture.used, s.File = true, picture.file
			url = g.host("photo.jpg", "image/jpeg", []byte("photo"))
		}
		made := g.addComment(n.id, nil, text, url)
		made.byAPI, s.ID = true, made.id
		g.sent = append(g.sent, s)
		return object{"id": made.id}, nil
	case "POST ":
		if h := c.q.Get("is_hidden"); h != "" {
			if n.person == nil {
				return nil, &apiError{code: 200, message: "(#200) The Page cannot hide its own comment"}
			}
			g.hide(n, h == "true")
		}
		if text := c.q.Get("message"); text != "" {
			n.text, n.edited = text, g.now()
		}
		return g.success(), nil
	case "DELETE ":
		g.remove(n)
		return g.success(), nil
	case "POST likes":
		n.likes++
		return g.success(), nil
	case "DELETE likes":
		n.likes--
		return g.success(), nil
	}
	return nil, &apiError{code: 2500, message: "Unknown path components"}
}

// photo was uploaded to a Page and is not published.
type photo struct {
	page, file string
	used       bool
}

// uploadPhoto is what a picture in a comment needs first
// (https://developers.facebook.com/docs/graph-api/reference/page/photos).
func (g *Graph) uploadPhoto(c *call, p *Page) (any, *apiError) {
	if bad := g.needs(c, "pages_manage_posts", "CREATE_CONTENT", "MANAGE"); bad != nil {
		return nil, bad
	}
	file := c.q.Get("source")
	if !strings.Contains(file, " of image/") {
		return nil, bug(0, "An image is required")
	}
	if c.q.Get("published") != "false" {
		return object{"id": g.addPost(p.ID, nil, "", g.host("photo.jpg", "image/jpeg", []byte("photo"))).id}, nil
	}
	id := g.id()
	g.photos[id] = &photo{page: p.ID, file: file}
	return object{"id": id}, nil
}

// Likes returns how often the Page likes a post or comment; Hidden reports
// whether it is hidden, Gone whether it is removed.
func (g *Graph) Likes(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[id].likes
}

// Hidden reports whether a comment is hidden.
func (g *Graph) Hidden(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[id].hidden
}

// Gone reports whether a post or comment is removed.
func (g *Graph) Gone(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[id].gone
}

// nodeObject is a node (ref 6, O).
func (g *Graph) nodeObject(n *node) object {
	out := object{"id": n.id, "created_time": graphTime(n.at), "message": n.text, "is_hidden": n.hidden,
		"permalink_url": "https://www.facebook.com/" + n.id}
	if from := g.from(n); from != nil {
		out["from"] = from
	}
	if !n.isComment() {
		out["updated_time"] = graphTime(n.at)
		if n.photo != "" {
			out["attachments"] = object{"data": []any{object{"type": "photo", "media": object{"image": object{"src": n.photo}}}}}
		}
		return out
	}
	out["can_reply_privately"] = n.person != nil && !n.private && g.now().Sub(n.at) <= 7*24*time.Hour
	out["can_hide"] = n.person != nil
	out["object"] = object{"id": n.post.id}
	if n.parent != nil {
		out["parent"] = object{"id": n.parent.id}
	}
	if n.photo != "" {
		out["attachment"] = object{"type": "photo", "media": object{"image": object{"src": n.photo}}}
	}
	return out
}

// feed lists a Page's posts and visitors' (ref 7, D). Their order is no promise.
func (g *Graph) feed(c *call, p *Page) (any, *apiError) {
	for _, scope := range []string{"pages_read_engagement", "pages_read_user_content"} {
		if bad := g.needs(c, scope, "CREATE_CONTENT", "MANAGE", "MODERATE"); bad != nil {
			return nil, bad
		}
	}
	var list []*node
	for _, n := range g.nodes {
		if n.page == p.ID && !n.isComment() && !n.gone && g.since(c, n) {
			list = append(list, n)
		}
	}
	return paged(c, list, func(a, b *node) int { return strings.Compare(b.id, a.id) }, g.nodeObject)
}

func (g *Graph) since(c *call, n *node) bool {
	s, err := strconv.ParseInt(c.q.Get("since"), 10, 64)
	return err != nil || n.at.Unix() >= s
}

// comments lists those of a post, or the replies of a comment (ref 6, D).
func (g *Graph) comments(c *call, n *node) (any, *apiError) {
	var list []*node
	for _, m := range g.nodes {
		under := m.post == n && (m.parent == nil || c.q.Get("filter") == "stream")
		if n.isComment() {
			under = m.parent == n
		}
		if under && !m.gone && g.since(c, m) {
			list = append(list, m)
		}
	}
	order := func(a, b *node) int { return a.at.Compare(b.at)*2 + strings.Compare(a.id, b.id) }
	if c.q.Get("order") == "reverse_chronological" {
		return paged(c, list, func(a, b *node) int { return order(b, a) }, g.nodeObject)
	}
	return paged(c, list, order, g.nodeObject)
}

// paged is a page of a list, by a cursor (ref 7, D): at most 100, and one page is
// empty and has a next all the same.
func paged[T any](c *call, list []T, order func(a, b T) int, show func(T) object) (any, *apiError) {
	limit := 25
	if s := c.q.Get("limit"); s != "" {
		limit, _ = strconv.Atoi(s)
	}
	if limit < 1 || limit > 100 {
		return nil, bug(0, "(#100) Please reduce the limit")
	}
	slices.SortFunc(list, order)
	from, empty := 0, false
	if s := c.q.Get("after"); s != "" {
		s, empty = strings.CutSuffix(s, "e")
		from, _ = strconv.Atoi(strings.TrimPrefix(s, "c"))
	}
	from = min(from, len(list))
	data := []object{}
	end := from
	if !empty {
		end = min(from+limit, len(list))
	}
	for _, v := range list[from:end] {
		data = append(data, show(v))
	}
	cursor := "c" + strconv.Itoa(end)
	if end < len(list) && !empty {
		cursor += "e" // the next page is empty
	}
	paging := object{"cursors": object{"before": "c" + strconv.Itoa(from), "after": cursor}}
	if end < len(list) {
		paging["next"] = c.base + "/next?access_token=secret&after=" + cursor
	}
	return object{"data": data, "paging": paging}, nil
}

// Written is a message, post or comment that Facebook shows.
type Written struct {
	ID, Text string
	ByPage   bool // or by an app in its name
	Gone     bool // removed or unsent
	Edited   bool
	At       time.Time
}

// History lists all that was written on a Page: messages, posts and comments.
func (g *Graph) History(page string) (messages, feed []Written) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.threads {
		for _, m := range t.messages {
			if t.page == page {
				messages = append(messages, Written{ID: m.mid, Text: m.text, ByPage: m.fromPage, Gone: m.unsent, At: m.at})
			}
		}
	}
	for _, n := range g.nodes {
		if n.page == page {
			feed = append(feed, Written{ID: n.id, Text: n.text, ByPage: n.person == nil, Gone: n.gone, Edited: !n.edited.IsZero(), At: n.at})
		}
	}
	return messages, feed
}
