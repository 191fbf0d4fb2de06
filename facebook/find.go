package facebook

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// findSkew is how far Facebook's clock may be behind ours.
const findSkew = 2 * time.Minute

// Find implements channel.Finder. It knows a part by the echo of its metadata if
// that came to this node, and else by its text among what the Page wrote lately,
// if there is exactly one that fits. It never says that something was not sent:
// what is not there may still come.
func (p *page) Find(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	if err := ctx.Err(); err != nil {
		return channel.Receipt{}, channel.FoundUnknown, err
	}
	s, err := p.sending(&channel.Outbound{
		ID: out.ID, Conversation: out.Conversation, To: out.To, Text: out.Text, Attachments: out.Attachments, Token: out.Token,
		References: out.References, How: out.How, Taken: out.Taken, LastAct: p.app.now(), // whether it could be sent now is not asked
	})
	if err != nil {
		return channel.Receipt{}, channel.FoundUnknown, nil //nolint:nilerr // what cannot be sent was not looked for
	}
	var missing []part
	for _, part := range s.parts {
		if id, ok := p.app.cache.sent.get(p.app.now(), metadata(out.Token, part.n)); ok && out.Token != "" {
			id, _ := id.(string)
			s.sent(part, id)
			continue
		}
		missing = append(missing, part)
	}
	if len(missing) == 0 {
		return s.receipt, channel.FoundYes, nil
	}
	seen, err := s.lately(ctx, out.Date.Add(-findSkew))
	if err != nil {
		return s.receipt, channel.FoundUnknown, err
	}
	found := channel.FoundYes
	for _, part := range missing {
		id := ""
		for _, m := range seen {
			if part.text != "" && sameWords(m.text, part.text) && !p.anothers(m.id, metadata(out.Token, part.n)) {
				if id != "" {
					id = ""
					break
				}
				id = m.id
			}
		}
		if id == "" {
			found = channel.FoundUnknown
			continue
		}
		s.sent(part, id)
	}
	return s.receipt, found, nil
}

// notedAs keeps which part of ours, by its metadata, something is that the Page
// wrote; it is empty for what was written elsewhere.
func (p *page) notedAs(id, metadata string) {
	until := p.app.now().Add(p.app.limits().CacheFor)
	if metadata != "" {
		p.app.cache.sent.put(metadata, id, until)
	}
	p.app.cache.sent.put("id:"+id, metadata, until)
}

// anothers reports whether something that the Page wrote is known to be another
// message, which says the same words.
func (p *page) anothers(id, metadata string) bool {
	known, ok := p.app.cache.sent.get(p.app.now(), "id:"+id)
	return ok && known != metadata
}

func sameWords(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}

// written is something that the Page wrote.
type written struct{ id, text string }

// lately reads what the Page wrote into the conversation since then, as far as
// Facebook shows it.
func (s *sending) lately(ctx context.Context, since time.Time) ([]written, error) {
	p := s.page
	var out []written
	if s.target != "" && !s.private {
		var list struct {
			Data []node `json:"data"`
		}
		q := url.Values{"filter": {"stream"}, "order": {"reverse_chronological"}, "limit": {"50"}, "fields": {"id,from,message,created_time"}}
		if err := p.app.read(ctx, p.call(s.target+"/comments", poolPages, q, &list)); err != nil {
			return nil, err
		}
		for _, n := range list.Data {
			if n.From != nil && string(n.From.ID) == p.id && !n.Created.Before(since) {
				out = append(out, written{string(n.ID), n.Message})
			}
		}
		return out, nil
	}
	if err := p.app.pace.wait(ctx, p.app.now(), p.id, p.app.limits().Pace); err != nil {
		return nil, err
	}
	var list struct {
		Data []conversationNode `json:"data"`
	}
	q := url.Values{"platform": {"messenger"}, "user_id": {s.thread.person}, "fields": {"id,messages.limit(20){id,created_time,from,message}"}}
	if err := p.app.read(ctx, p.call(p.id+"/conversations", poolMessenger, q, &list)); err != nil {
		return nil, err
	}
	for _, c := range list.Data {
		for _, m := range c.Messages.Data {
			if string(m.From.ID) == p.id && !m.Created.Before(since) {
				out = append(out, written{string(m.ID), m.Message})
			}
		}
	}
	return out, nil
}
