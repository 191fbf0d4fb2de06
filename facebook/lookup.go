package facebook

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

// caches hold what was looked up: posts, comments, names. What does not exist is
// remembered too.
type caches struct {
	nodes, people *cache
	sent          *cache // what this node knows of its own sends: token and part to id
	profiles      *cache // bounded by bytes
	failing       *cache // items whose files cannot be fetched: since when
}

func (c *caches) open(size int, pictures int64) {
	c.nodes, c.people, c.sent, c.profiles = newCache(size), newCache(size), newCache(size), newCache(int(pictures))
	c.failing = newCache(size)
}

// cache is a bounded map with times. When it is full, the older half goes.
type cache struct {
	size int // of a half: entries, or what they were said to count for
	mu   sync.Mutex
	used int
	m    map[string]cached
	old  map[string]cached
}

type cached struct {
	value any
	until time.Time
	size  int
}

func newCache(size int) *cache { return &cache{size: max(size/2, 1), m: map[string]cached{}} }

func (c *cache) get(now time.Time, key string) (any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.m[key]
	if !ok {
		v, ok = c.old[key]
	}
	if !ok || now.After(v.until) {
		return nil, false
	}
	return v.value, true
}

func (c *cache) put(key string, v any, until time.Time) { c.putSized(key, v, 1, until) }

// putSized is put of something that counts for n. What alone is more than a half
// is not kept.
func (c *cache) putSized(key string, v any, n int, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.size {
		return
	}
	if old, ok := c.m[key]; ok {
		c.used -= old.size
	} else if c.used+n > c.size {
		c.old, c.m, c.used = c.m, map[string]cached{}, 0
	}
	c.m[key] = cached{v, until, n}
	c.used += n
}

// node is a post or a comment, as far as we need it.
type node struct {
	ID        ident    `json:"id"`
	Message   string   `json:"message"`
	From      *author  `json:"from"`
	Created   nodeTime `json:"created_time"`
	Permalink string   `json:"permalink_url"`
	Published *bool    `json:"is_published"`
	IsHidden  *bool    `json:"is_hidden"`
	Parent    *struct {
		ID ident `json:"id"`
	} `json:"parent"`
	Object *struct {
		ID ident `json:"id"`
	} `json:"object"`
	CanReplyPrivately *bool           `json:"can_reply_privately"`
	Attachment        *nodeAttachment `json:"attachment"`
	Attachments       *struct {
		Data []nodeAttachment `json:"data"`
	} `json:"attachments"`
}

type nodeAttachment struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Title string `json:"title"`
	Media struct {
		Image struct {
			Src string `json:"src"`
		} `json:"image"`
		Source string `json:"source"`
	} `json:"media"`
}

// pictures are the addresses of what is attached to n.
func (n *node) pictures() []string {
	list := []nodeAttachment{}
	if n.Attachment != nil {
		list = append(list, *n.Attachment)
	}
	if n.Attachments != nil {
		list = append(list, n.Attachments.Data...)
	}
	var out []string
	for _, a := range list {
		switch {
		case a.Media.Source != "":
			out = append(out, a.Media.Source)
		case a.Media.Image.Src != "" && a.Type != "share":
			out = append(out, a.Media.Image.Src)
		}
	}
	return out
}

// What is asked of posts and comments
// (https://developers.facebook.com/docs/graph-api/reference/comment).
const (
	commentFields = "id,message,from,created_time,parent{id},object{id},attachment,permalink_url,is_hidden,can_reply_privately"
	postFields    = "id,from,message,created_time,permalink_url,is_published,is_hidden,attachments{type,media,url,title}"
)

var errGone = errors.New("facebook: it is removed, or cannot be seen")

// nodesHold is how long posts and comments are remembered: their authors never
// change.
const nodesHold = time.Hour

// lookup reads a post or a comment, from memory if fresh is false. The error is
// errGone if it does not exist any more.
func (p *page) lookup(ctx context.Context, id, fields string, fresh bool) (*node, error) {
	if !plausibleNode(id) {
		return nil, errGone
	}
	key, now := p.id+"/"+id, p.app.now()
	if v, ok := p.app.cache.nodes.get(now, key); ok && !fresh {
		if n, ok := v.(*node); ok {
			return n, nil
		}
		return nil, errGone
	}
	n := &node{}
	err := p.app.read(ctx, p.call(id, poolPages, url.Values{"fields": {fields}}, n))
	if gone(err) {
		p.app.cache.nodes.put(key, nil, now.Add(10*time.Minute))
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	p.remember(id, n)
	return n, nil
}

func (p *page) remember(id string, n *node) {
	p.app.cache.nodes.put(p.id+"/"+id, n, p.app.now().Add(min(nodesHold, p.app.limits().CacheFor)))
}

// plausibleNode reports whether an id may stand in a path.
func plausibleNode(id string) bool {
	if id == "" || len(id) > 200 {
		return false
	}
	for _, r := range id {
		if (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return true
}

// call is a call of the API for this Page.
func (p *page) call(path string, in pool, params url.Values, out any) call {
	return call{path: path, params: params, token: p.token(), page: p.id, pool: in, out: out}
}
