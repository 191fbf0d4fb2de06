package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// profile is a person as the Graph shows them
// (https://developers.facebook.com/documentation/business-messaging/messenger-platform/identity/user-profile).
type profile struct {
	Name    string `json:"name"`
	First   string `json:"first_name"`
	Last    string `json:"last_name"`
	Picture string `json:"profile_pic"`
}

// maxName is how much of a name is kept, in code points.
const maxName = 200

func (n *profile) name() string {
	name := n.Name
	if name == "" && n.First+n.Last != "" {
		name = n.First + " " + n.Last
	}
	return personName(name)
}

// personName makes a name one line of bounded length.
func personName(s string) string {
	r := []rune(plain(oneLine(s)))
	return string(r[:min(len(r), maxName)])
}

// readProfile asks for somebody's profile. Who has none, or keeps it from the
// app, has an empty one.
func (p *page) readProfile(ctx context.Context, psid string) (*profile, error) {
	n := &profile{}
	c := p.call(psid, poolMessenger, url.Values{"fields": {"name,first_name,last_name,profile_pic"}}, n)
	c.background = true
	err := p.app.read(ctx, c)
	if ge, ok := errors.AsType[*Error](err); ok && ge.Class() == ClassFinal {
		return &profile{}, nil
	}
	return n, err
}

// refusedHolds is how long a profile is not asked for after the Page's
// authorization did not suffice.
const refusedHolds = 10 * time.Minute

const (
	// nameTime bounds asking for a name, since messages can do without.
	nameTime = 5 * time.Second
	// troubleHolds is how long a name is not asked for after that failed.
	troubleHolds = time.Minute
)

// name is what somebody is called: what an event said, else their profile, where
// the app may see it, else what Messenger calls them. Not to know it is no error.
func (p *page) name(ctx context.Context, id, told string) string {
	key, now := p.id+"/"+id, p.app.now()
	hold := now.Add(p.app.limits().CacheFor)
	if told != "" {
		p.app.cache.people.put(key, personName(told), hold)
		return personName(told)
	}
	if v, ok := p.app.cache.people.get(now, key); ok {
		s, _ := v.(string)
		return s
	}
	if !plausibleID(id) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	n, err := p.readProfile(ctx, id)
	switch {
	case err != nil && final(err):
		p.app.cache.people.put(key, "", now.Add(refusedHolds))
		return ""
	case err != nil: // perhaps next time
		p.app.cache.people.put(key, "", now.Add(troubleHolds))
		return ""
	}
	name := n.name()
	if name == "" {
		name = p.participant(ctx, id)
	}
	p.app.cache.people.put(key, name, hold)
	return name
}

// participant is what the list of conversations calls somebody. It is asked for
// when it is this Page's turn to read conversations only: no message waits for a
// name.
func (p *page) participant(ctx context.Context, psid string) string {
	if !p.app.pace.try(p.app.now(), p.id, p.app.limits().Pace) {
		return ""
	}
	var list struct {
		Data []struct {
			Participants struct {
				Data []author `json:"data"`
			} `json:"participants"`
		} `json:"data"`
	}
	c := p.call(p.id+"/conversations", poolMessenger, url.Values{"platform": {"messenger"}, "user_id": {psid}, "fields": {"participants"}, "limit": {"1"}}, &list)
	c.background = true
	if p.app.read(ctx, c) != nil {
		return ""
	}
	for _, conv := range list.Data {
		for _, who := range conv.Participants.Data {
			if string(who.ID) == psid {
				return personName(who.Name)
			}
		}
	}
	return ""
}

// Profile implements channel.Profiler: the name and picture that Facebook shows
// the Page of somebody who wrote to it. That needs the feature Business Asset User
// Profile Access; who has no profile, or hides it, or is known from comments only,
// has an empty one. The picture is an image of one of the usual types, whatever
// its address said. It is kept in memory only, for Limits.CacheFor.
//
// Errors are those of the API and the connection, and mean that it may be asked
// for again.
func (p *page) Profile(ctx context.Context, address string) (channel.Profile, error) {
	var none channel.Profile
	if !plausibleID(address) || address == p.id || p.token() == "" {
		return none, nil
	}
	key := p.id + "/" + address
	if v, ok := p.app.cache.profiles.get(p.app.now(), key); ok {
		out, _ := v.(channel.Profile)
		return out, nil
	}
	select { // a list of customers asks for many at once
	case p.app.profiling <- struct{}{}:
		defer func() { <-p.app.profiling }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if v, ok := p.app.cache.profiles.get(p.app.now(), key); ok {
		out, _ := v.(channel.Profile)
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.app.limits().Call)
	defer cancel()
	out, hold, err := p.askProfile(ctx, address)
	if err != nil {
		return none, err
	}
	p.app.cache.profiles.putSized(key, out, profileOverhead+pictureSize(out), p.app.now().Add(hold))
	return out, nil
}

// Bounds of looking at profiles.
const (
	maxProfiling    = 4    // at a time, of all Pages
	profileOverhead = 1024 // what an entry of the cache counts for, besides its picture
)

func pictureSize(p channel.Profile) int {
	if p.Picture == nil {
		return 0
	}
	return int(p.Picture.Size)
}

// askProfile asks Facebook, and says for how long its answer holds.
func (p *page) askProfile(ctx context.Context, psid string) (channel.Profile, time.Duration, error) {
	var out channel.Profile
	hold := p.app.limits().CacheFor
	n, err := p.readProfile(ctx, psid)
	switch {
	case err != nil && final(err):
		return out, min(hold, refusedHolds), nil // the Page's status speaks of it
	case err != nil:
		return out, 0, err
	}
	out.Name = n.name()
	if n.Picture == "" {
		return out, hold, nil
	}
	// Its address holds for a while only, so that it is fetched at once.
	at, err := p.fetchUpTo(ctx, n.Picture, "picture", p.app.limits().Picture)
	switch {
	case errors.Is(err, errNoMedia):
		return out, hold, nil
	case err != nil:
		return out, 0, err
	}
	if at.Type = imageType(at.Body); at.Type != "" {
		out.Picture = &at
	}
	return out, hold, nil
}

// imageType is the type of an image by its first bytes: one that is shown to
// agents is not what an address or header says it is. It is empty for what is no
// picture.
func imageType(body channel.Body) string {
	r, err := body.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	head := make([]byte, 512)
	n := 0
	for n < len(head) {
		m, err := r.Read(head[n:])
		if n += m; err != nil {
			break
		}
	}
	switch t := http.DetectContentType(head[:n]); t {
	case "image/jpeg", "image/png", "image/gif", "image/webp":
		return t
	}
	return ""
}
