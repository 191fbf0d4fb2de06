package ticket

import (
	"slices"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Threading finds the conversation of a message by proof, strongest first:
//
//  1. the key that the network gives (a person, a comment thread);
//  2. a token of ours, in the ids it refers to or in the address it came to;
//  3. the provider's own thread id, within the channel;
//  4. an id it refers to, or its own id referred to before, among people who
//     took part: the index holds (id, participant), so that somebody else who
//     knows or guesses an id finds nothing.
//
// A subject never joins anything.

// StrangerPolicy decides about mail that carries a token of ours but comes from
// somebody who is no participant, such as a colleague to whom it was forwarded.
type StrangerPolicy string

// Policies for strangers.
const (
	// JoinUnverified, the default, joins the conversation, marks message and
	// participant as unverified, and sends them nothing until an agent names
	// them as a recipient.
	JoinUnverified StrangerPolicy = ""
	// OwnConversation gives strangers a conversation of their own.
	OwnConversation StrangerPolicy = "own_conversation"
)

// addressKey is the form in which addresses are compared: lower case, and for
// mail addresses without +tag.
func addressKey(a string) string {
	a = strings.ToLower(strings.TrimSpace(a))
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return a
	}
	local, domain := a[:at], a[at:]
	if i := strings.IndexByte(local, '+'); i > 0 {
		local = local[:i]
	}
	return local + domain
}

func contactKey(scheme, address string) Key {
	return NewKey("contact", scheme, strings.ToLower(strings.TrimSpace(address)))
}

func externalKey(ch channel.ID, id string) Key { return NewKey("external", string(ch), id) }

func conversationKey(ch channel.ID, key string) Key { return NewKey("conversation", string(ch), key) }

func threadKey(ch channel.ID, id string) Key { return NewKey("thread", string(ch), id) }

// refKey stands for a conversation in which the mail with this id was written
// or referred to, and in which the address takes part.
func refKey(ch channel.ID, id, address string) Key {
	return NewKey("ref", string(ch), id, addressKey(address))
}

func attachmentID(m MessageID, n int) string { return string(m) + "." + strconv.Itoa(n) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// maxRefParties bounds how many people can continue a thread by an id of a
// message alone.
const maxRefParties = 10

// refParties are the addresses that can answer a message: all in it.
func refParties(m *channel.Message) []string {
	if m.ExternalID == "" || m.Conversation != "" {
		return nil
	}
	var out []string
	for _, p := range uniqueParties([]channel.Party{m.From}, m.ReplyTo, m.To, m.Cc) {
		out = append(out, p.Address)
		if len(out) == maxRefParties {
			break
		}
	}
	return out
}

// refs are the ids that m refers to, as far as they can prove anything: without
// a sender they cannot.
func refs(m *channel.Message) []string {
	if m.From.Address == "" {
		return nil
	}
	return m.Evidence.IDs[:min(len(m.Evidence.IDs), keepReferences)]
}

// threadingKeys are the keys by which the conversation of m is looked for.
func threadingKeys(ch channel.ID, m *channel.Message) []Key {
	var keys []Key
	if m.Conversation != "" {
		return append(keys, conversationKey(ch, m.Conversation))
	}
	if m.Evidence.ThreadID != "" {
		keys = append(keys, threadKey(ch, m.Evidence.ThreadID))
	}
	for _, id := range refs(m) {
		keys = append(keys, refKey(ch, id, m.From.Address))
	}
	return keys
}

// thread finds the conversation. known says that evidence was found at all,
// verified that the sender takes part in the conversation.
func (u *unit) thread(a *arrival, rules intakeRules, why *trace) (conv *Conversation, known, verified bool) {
	it, m := a.item, a.item.Message
	find := func(key Key) *Conversation {
		if ref, ok := u.snap.Refs[key]; ok && ref.Kind == RefConversation {
			return u.snap.Conversations[ConversationID(ref.ID)]
		}
		return nil
	}
	if m.Conversation != "" {
		if c := find(conversationKey(it.Channel, m.Conversation)); c != nil {
			why.add("thread", "joined", "the network's conversation")
			return c, true, true
		}
		why.add("thread", "new", "the network's conversation is new")
		return nil, false, true
	}
	for _, id := range a.verified {
		msg := u.snap.Messages[id]
		if msg == nil {
			continue
		}
		c := u.snap.Conversations[msg.Conversation]
		if c == nil {
			continue
		}
		if takesPart(c, m.From.Address) || m.Direction == channel.Out {
			why.add("thread", "joined", "answers a message of ours, by its token")
			return c, true, true
		}
		if rules.strangers == OwnConversation {
			why.add("thread", "not joined", "carries a token of ours, but its sender takes no part in that conversation")
			break
		}
		why.add("thread", "joined unverified", "carries a token of ours; its sender takes no part in that conversation")
		return c, true, false
	}
	if id := m.Evidence.ThreadID; id != "" {
		if c := find(threadKey(it.Channel, id)); c != nil {
			if takesPart(c, m.From.Address) || m.Direction == channel.Out {
				why.add("thread", "joined", "the provider's thread")
				return c, true, true
			}
			if rules.strangers == JoinUnverified {
				why.add("thread", "joined unverified", "the provider's thread; its sender takes no part in that conversation")
				return c, true, false
			}
		}
	}
	for _, id := range refs(m) {
		if c := find(refKey(it.Channel, id, m.From.Address)); c != nil {
			why.add("thread", "joined", "refers to a mail of the conversation, and its sender takes part")
			return c, true, true
		}
	}
	if m.ExternalID != "" && m.From.Address != "" {
		if c := find(refKey(it.Channel, m.ExternalID, m.From.Address)); c != nil {
			why.add("thread", "joined", "was referred to earlier by the same sender")
			return c, true, true
		}
	}
	detail := "no evidence of a known conversation"
	if len(m.Evidence.IDs) == 0 && len(m.Evidence.Tokens) == 0 {
		detail = "refers to nothing"
	}
	why.add("thread", "new", detail)
	return nil, false, true
}

func takesPart(c *Conversation, address string) bool {
	k := addressKey(address)
	return slices.ContainsFunc(c.Participants, func(p Participant) bool {
		return !p.Unverified && addressKey(p.Address) == k
	})
}

// join adds the message to the conversation: participants and references.
func (u *unit) join(c *Conversation, m *channel.Message, msg *Message, rules intakeRules) {
	c.MessageCount++
	add := func(p channel.Party, unverified bool) {
		if p.Address == "" || rules.ours(p.Address) || len(c.Participants) >= rules.limits.Participant {
			return
		}
		k := addressKey(p.Address)
		if slices.ContainsFunc(c.Participants, func(q Participant) bool { return addressKey(q.Address) == k }) {
			return
		}
		c.Participants = append(c.Participants, Participant{Party: p, Unverified: unverified})
	}
	if m.Conversation != "" {
		add(m.From, false)
	} else {
		// Whom an unverified sender names is no more verified than they are.
		for _, p := range uniqueParties([]channel.Party{m.From}, m.ReplyTo, m.To, m.Cc) {
			add(p, msg.Unverified)
		}
	}
	for i := len(m.Evidence.IDs) - 1; i >= 0 && len(c.References) == 0; i-- {
		c.References = append(c.References, m.Evidence.IDs[i])
	}
	if m.ExternalID != "" && m.Conversation == "" {
		c.References = appendReference(c.References, m.ExternalID)
	}
}

// keepReferences is how many ids of a thread are kept besides the first.
const keepReferences = 20

func appendReference(refs []string, id string) []string {
	if id == "" || slices.Contains(refs, id) {
		return refs
	}
	refs = append(refs, id)
	if len(refs) > keepReferences+1 {
		refs = append(refs[:1:1], refs[len(refs)-keepReferences:]...)
	}
	return refs
}

// remember claims the keys by which later messages find this conversation, and
// updates this message. Ids that it refers to are claimed too, for its sender:
// what comes out of order still finds its thread.
func (u *unit) remember(a *arrival, c *Conversation, msg *Message, rules intakeRules) {
	it, m := a.item, a.item.Message
	if m.Conversation != "" {
		u.claim(conversationKey(it.Channel, m.Conversation), RefConversation, string(c.ID))
	}
	if m.ExternalID != "" && (m.Conversation != "" || m.Direction == channel.Out) {
		u.claim(externalKey(it.Channel, m.ExternalID), RefMessage, string(msg.ID))
	}
	if msg.Unverified || m.Conversation != "" {
		return
	}
	if id := m.Evidence.ThreadID; id != "" && c.Channel == it.Channel {
		u.claim(threadKey(it.Channel, id), RefConversation, string(c.ID))
	}
	for _, address := range refParties(m) {
		if !rules.ours(address) {
			u.claim(refKey(it.Channel, m.ExternalID, address), RefConversation, string(c.ID))
		}
	}
	if m.Direction == channel.Out {
		return
	}
	for _, id := range refs(m) {
		u.claim(refKey(it.Channel, id, m.From.Address), RefConversation, string(c.ID))
	}
}

// ours reports whether an address is one of the portal's own.
func (r intakeRules) ours(address string) bool { return r.view.ours(address) }

func (v *deskView) ours(address string) bool {
	k := addressKey(address)
	for _, c := range v.channels {
		if addressKey(c.info.Address) == k {
			return true
		}
		for _, a := range c.info.Aliases {
			if addressKey(a) == k {
				return true
			}
		}
		if at := strings.LastIndexByte(k, '@'); at >= 0 {
			for _, dom := range c.info.Domains {
				if strings.EqualFold(k[at+1:], dom) {
					return true
				}
			}
		}
	}
	return false
}

// baseSubject removes what mailers put in front of a subject.
func baseSubject(s string) string {
	s = strings.TrimSpace(s)
	for {
		head, rest, ok := strings.Cut(s, ":")
		if !ok || len(head) > 5 || !slices.Contains(replyPrefixes, strings.ToLower(strings.TrimSpace(head))) {
			return Fold(s)
		}
		s = strings.TrimSpace(rest)
	}
}

var replyPrefixes = []string{
	"re", "fw", "fwd", "aw", "wg", "sv", "vs", "tr", "rv", "res", "enc", "antw", "odp", "rif", "r", "i", "tl", "trl", "回复", "转发", "答复",
}
