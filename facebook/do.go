package facebook

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Do implements channel.Doer: in Messenger reactions, typing and seen; of
// comments and posts like, hide and withdraw. The error is a *channel.SendError.
func (p *page) Do(ctx context.Context, act channel.Action) error {
	if err := ctx.Err(); err != nil {
		return sendError(err, false)
	}
	t, ok := readConversation(act.Conversation)
	if !ok || !slices.Contains(p.verbs(), act.Verb) {
		return refuse("not_able", "it is nothing that can be done on Facebook", "")
	}
	c, ok := p.action(t, act)
	if !ok {
		return refuse("not_able", "it cannot be done to this", "")
	}
	if err := p.app.do(ctx, c); err != nil {
		return sendError(err, true)
	}
	return nil
}

func (p *page) action(t thread, act channel.Action) (call, bool) {
	if t.kind == "m" {
		return p.senderAction(t, act)
	}
	id := act.Message
	if !plausibleNode(id) {
		return call{}, false
	}
	c := p.call(id, poolPages, nil, nil)
	switch act.Verb {
	case channel.VerbLike:
		c.method, c.path = http.MethodPost, id+"/likes"
	case channel.VerbUnlike:
		c.method, c.path = http.MethodDelete, id+"/likes"
	case channel.VerbHide:
		c.method, c.params = http.MethodPost, url.Values{"is_hidden": {"true"}}
	case channel.VerbUnhide:
		c.method, c.params = http.MethodPost, url.Values{"is_hidden": {"false"}}
	case channel.VerbWithdraw:
		c.method = http.MethodDelete
	default:
		return c, false
	}
	return c, true
}

func (p *page) senderAction(t thread, act channel.Action) (call, bool) {
	params := url.Values{"recipient": {encode(map[string]string{"id": t.person})}}
	react := func(what, reaction string) bool {
		payload := map[string]string{"message_id": act.Message}
		if reaction != "" {
			payload["reaction"] = reaction
		}
		params.Set("sender_action", what)
		params.Set("payload", encode(payload))
		return act.Message != ""
	}
	ok := true
	switch name, reacts := strings.CutPrefix(string(act.Verb), "react_"); {
	case reacts:
		ok = react("react", name)
	case act.Verb == channel.VerbLike:
		ok = react("react", "like")
	case act.Verb == channel.VerbUnlike:
		ok = react("unreact", "")
	case act.Verb == channel.VerbTyping:
		params.Set("sender_action", "typing_on")
	case act.Verb == channel.VerbSeen:
		params.Set("sender_action", "mark_seen")
	default:
		ok = false // messages cannot be hidden or withdrawn
	}
	c := p.call(p.id+"/messages", poolMessenger, params, nil)
	c.method = http.MethodPost
	return c, ok
}
