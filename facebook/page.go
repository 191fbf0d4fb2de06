package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

var (
	_ channel.Attacher    = (*App)(nil)
	_ channel.Receiver    = (*page)(nil)
	_ channel.Interpreter = (*page)(nil)
	_ channel.Finder      = (*page)(nil)
	_ channel.Doer        = (*page)(nil)
	_ channel.Checker     = (*page)(nil)
	_ channel.Windowed    = (*page)(nil)
	_ channel.Backfiller  = (*page)(nil)
	_ channel.Profiler    = (*page)(nil)
)

// Scheme is the name space of people on Facebook. Their address is the id that
// they have on the Page.
const Scheme = "facebook"

// page is an opened Page.
type page struct {
	app   *App
	acct  channel.Account
	id    string
	env   channel.Env
	rules *compiled

	// Guarded by app.mu.
	sink   channel.Sink
	closed bool
	// commits are the deliveries under way.
	commits sync.WaitGroup

	mu      sync.Mutex
	secrets channel.Credentials
	broken  channel.Status // what is wrong, if State is set
	refused channel.Status // what is wrong with sending
	control control
	missed  time.Time // when events came first that could not be made durable
	// userKnown says that whose token it is need not be asked.
	userKnown bool
	lastSeen  time.Time
	opened    time.Time
}

// Open registers a Page and returns its channel, which does all that a channel
// can, and is an io.Closer. It does not go to the network. A Page without a token
// is opened all the same and needs authorization.
//
// A bad configuration, and a Page that is connected already, is a
// *channel.FieldError.
func (a *App) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	a.prepare()
	if acct.Kind != "" && acct.Kind != Kind {
		return nil, fmt.Errorf("facebook: open account %q: its kind is %q", acct.ID, acct.Kind)
	}
	var conf Page
	if err := json.Unmarshal(acct.Config, &conf); err != nil {
		return nil, fmt.Errorf("facebook: open account %q: read configuration: %w", acct.ID, err)
	}
	if _, err := conf.Account(); err != nil {
		return nil, err
	}
	acct.Kind = Kind
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Report == nil {
		env.Report = func(channel.Status) {}
	}
	if env.Now == nil {
		env.Now = a.now
	}
	p := &page{app: a, acct: acct, id: conf.ID, env: env, rules: conf.Rules.compile(), secrets: acct.Credentials, opened: a.now()}
	if err := a.register(p); err != nil {
		return nil, err
	}
	return p, nil
}

// String names the Page. What it is made of holds the secrets of the app.
func (p *page) String() string { return string(Kind) + " " + p.id }

// Format writes String whatever the verb.
func (p *page) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// verbs are what Do accepts. Reactions are named as the platform names them.
func (*page) verbs() []channel.Verb {
	out := []channel.Verb{channel.VerbLike, channel.VerbUnlike, channel.VerbHide, channel.VerbUnhide, channel.VerbTyping, channel.VerbSeen, channel.VerbWithdraw}
	for _, r := range reactions {
		out = append(out, React(r))
	}
	return out
}

// reactions to a message
// (https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events/message-reactions).
var reactions = []string{"smile", "angry", "sad", "wow", "love", "dislike"}

// React returns the verb for a reaction to a message: smile, angry, sad, wow, love
// or dislike. To like is [channel.VerbLike]; [channel.VerbUnlike] takes any back.
func React(name string) channel.Verb { return channel.Verb("react_" + name) }

// Info implements channel.Channel.
func (p *page) Info() channel.Info {
	return channel.Info{
		ID: p.acct.ID, Kind: Kind, Name: p.acct.Name, Address: p.id, Scheme: Scheme,
		CanReceive: true, CanSend: true, Can: p.verbs(), Fleeting: true, MaxText: maxText,
	}
}

// Receive hands the Page's events to sink until ctx ends, and looks after its
// subscription meanwhile.
func (p *page) Receive(ctx context.Context, sink channel.Sink) error {
	if sink == nil {
		return errors.New("facebook: receive: no sink")
	}
	if !p.app.receiving(p, sink) {
		return errors.New("facebook: receive: the Page is closed")
	}
	p.report()
	p.upkeep(ctx, sink)
	p.app.stopped(p)
	p.commits.Wait()
	return nil
}

// Close gives the Page up; its events are then of nobody.
func (p *page) Close() error {
	p.app.unregister(p)
	return nil
}

func (p *page) currentSink() channel.Sink {
	p.app.mu.RLock()
	defer p.app.mu.RUnlock()
	return p.sink
}

func (p *page) token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.secrets.Get(credToken)
}

// report tells how the Page is.
func (p *page) report() {
	p.mu.Lock()
	s := p.broken
	if s.State != channel.StateNeedsAuthorization && p.refused.State != "" {
		s = p.refused
	}
	s.LastSeen = p.lastSeen
	noToken := p.secrets.Get(credToken) == ""
	p.mu.Unlock()
	switch {
	case noToken:
		s.State, s.Reason = channel.StateNeedsAuthorization, "there is no access token: connect the Page again"
	case s.State == "":
		s.State = channel.StateLive
	}
	p.env.Report(s)
}

// seen notes that Facebook was heard.
func (p *page) seen() {
	p.mu.Lock()
	p.lastSeen = p.app.now()
	p.mu.Unlock()
	p.report()
}

// trouble takes an error of the API into the Page's status; nil clears it.
func (p *page) trouble(err error) {
	var s channel.Status
	if ge, ok := errors.AsType[*Error](err); ok && ge.Class() == ClassAuthorization {
		s = channel.Status{State: channel.StateNeedsAuthorization, Reason: ge.reason()}
	} else if err != nil {
		s = channel.Status{State: channel.StateDegraded, Reason: oneLine(err.Error()), NextTry: p.app.now().Add(p.app.limits().Upkeep)}
	}
	p.set(&p.broken, s)
}

// set changes a part of the Page's status.
func (p *page) set(part *channel.Status, s channel.Status) {
	p.mu.Lock()
	changed := part.State != s.State || part.Reason != s.Reason
	*part = s
	p.mu.Unlock()
	if changed {
		p.report()
	}
}

// denied takes into the status that the Page may not send. Only a send that
// succeeds ends it: what the upkeep calls needs other permissions.
func (p *page) denied(se *channel.SendError) {
	switch {
	case se.Authorization:
		p.set(&p.refused, channel.Status{State: channel.StateNeedsAuthorization, Reason: oneLine(se.Reason)})
	case se.Code == codeRestricted || se.Code == codeBlocked:
		p.set(&p.refused, channel.Status{State: channel.StateDegraded, Reason: oneLine(se.Reason), NextTry: p.app.now().Add(se.After)})
	}
}

// allowed takes into the status that the Page may send.
func (p *page) allowed() { p.set(&p.refused, channel.Status{}) }

// arrival is the item of an event that came in. What needs nothing from the
// network is understood at once.
func (p *page) arrival(e *event) *channel.Item {
	in := e.parse()
	p.observe(e, in)
	it := &channel.Item{Channel: p.acct.ID, Keys: []channel.Key{"raw:" + in.key}, At: in.at}
	if it.At.IsZero() {
		it.At = p.app.now()
	}
	switch in.kind {
	case kindRead, kindDelivery, kindReaction:
		p.receipt(it, in)
	case kindControl:
		it.Ignored, it.Detail = causeControl, "another app or the inbox has, or gave, control of the conversation"
	default:
		it.Raw = channel.Bytes(e.rawBody())
	}
	return it
}

// Causes of what is ignored, besides those of package channel.
const (
	causeControl channel.Cause = "thread_control"
	causeGone    channel.Cause = "gone" // removed before it could be read
	causeDraft   channel.Cause = "unpublished"
)

// receipt says what a watermark or a reaction means.
func (p *page) receipt(it *channel.Item, in *parsed) {
	m := in.msg
	it.Keys = []channel.Key{in.key} // as it is not interpreted later
	who := string(m.Sender.ID)
	up := &channel.Update{Conversation: messageConversation(who), Wait: p.app.limits().Wait}
	switch in.kind {
	case kindReaction:
		up.Kind, up.IDs, up.Item = channel.UpdateReaction, ids(m.Reaction.MID), mKey(m.Reaction.MID)
		up.From = channel.Party{Address: who}
		if m.Reaction.Action != "unreact" {
			if up.Text = plain(m.Reaction.Reaction); up.Text == "" || up.Text == "other" {
				up.Text = plain(m.Reaction.Emoji)
			}
		}
		if who == p.id { // ours, on the customer's message: no act of theirs
			up.Conversation = ""
		}
	case kindRead:
		up.Kind, up.Before = channel.UpdateRead, m.Read.Watermark.Time
	case kindDelivery:
		up.Kind, up.Before, up.IDs = channel.UpdateDelivered, m.Delivery.Watermark.Time, ids(m.Delivery.MIDs...)
	}
	if in.kind != kindReaction && m.Timestamp.IsZero() {
		it.At = up.Before
	}
	if it.At.IsZero() {
		it.At = p.app.now()
	}
	it.Update = up
}

func mKey(mid ident) channel.Key { return channel.Key("m:" + string(mid)) }

// maxIDs bounds the ids of one receipt.
const maxIDs = 50

func ids(list ...ident) []string {
	var out []string
	for _, id := range list {
		if id != "" && !slices.Contains(out, string(id)) && len(out) < maxIDs {
			out = append(out, string(id))
		}
	}
	return out
}

// The keys of conversations.

func messageConversation(psid string) string { return "m:" + psid }

func commentConversation(psid, comment string) string { return "c:" + psid + ":" + comment }

func postConversation(psid, post string) string { return "p:" + psid + ":" + post }

// thread is a conversation's key, read.
type thread struct {
	kind   string // m, c or p
	person string
	object string // the comment or post
}

func readConversation(key string) (thread, bool) {
	parts := strings.Split(key, ":")
	switch {
	case len(parts) == 2 && parts[0] == "m" && parts[1] != "":
		return thread{kind: "m", person: parts[1]}, true
	case len(parts) == 3 && (parts[0] == "c" || parts[0] == "p") && parts[2] != "":
		return thread{kind: parts[0], person: parts[1], object: parts[2]}, true
	}
	return thread{}, false
}
