package channeltest

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Sent is a message that arrived at its customers.
type Sent struct {
	Box        string // the address of the channel that sent it
	ExternalID string
	// Recipients got it: fewer than the message names when some were refused,
	// deferred or taken before.
	Recipients []string
	Out        channel.Outbound // a copy
	mail       bool
}

// Answer returns the message that [Network.Reply] writes, to be changed before
// it is written.
func (s Sent) Answer(text string) channel.Message {
	msg := channel.Message{Text: text, From: channel.Party{Address: s.Out.Conversation}, Conversation: s.Out.Conversation}
	if len(s.Out.To) > 0 {
		msg.From = s.Out.To[0]
	}
	if s.mail {
		msg.Conversation = ""
		msg.Subject = s.Out.Subject
		if !strings.HasPrefix(strings.ToLower(msg.Subject), "re:") {
			msg.Subject = "Re: " + msg.Subject
		}
		ids := []string{s.ExternalID}
		for _, id := range slices.Backward(s.Out.References) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		msg.Evidence = channel.Evidence{IDs: ids, ThreadID: s.Out.ThreadID}
		if s.Out.Token != "" {
			msg.Evidence.Tokens = []string{s.Out.Token}
		}
	}
	return msg
}

// Echo returns the message as the network shows it to the channel that sent it,
// from the Sent folder or as an echo. A message that was written on our side by
// other means is one with another ExternalID and without Evidence.Self.
func (s Sent) Echo() channel.Message {
	msg := channel.Message{
		Direction: channel.Out, From: s.Out.From, To: slices.Clone(s.Out.To), Cc: slices.Clone(s.Out.Cc),
		Subject: s.Out.Subject, Text: s.Out.Text, HTML: s.Out.HTML, ExternalID: s.ExternalID,
		Conversation: s.Out.Conversation,
	}
	if msg.From.Address == "" {
		msg.From.Address = s.Box
	}
	if s.mail {
		msg.Evidence.Self = s.Out.Token
		msg.Evidence.IDs = slices.Clone(s.Out.References)
		slices.Reverse(msg.Evidence.IDs)
	}
	return msg
}

// News returns an item that tells something about the message: a bounce, a
// delay, that it was read. Deliver it with [Network.Deliver].
func (s Sent) News(kind channel.UpdateKind, recipients ...channel.RecipientStatus) *channel.Item {
	u := &channel.Update{Kind: kind, IDs: []string{s.ExternalID}, Recipients: recipients}
	if s.Out.Token != "" {
		u.Tokens = []string{s.Out.Token}
	}
	var key strings.Builder
	key.WriteString("news:" + string(kind) + ":" + s.ExternalID)
	for _, r := range recipients {
		key.WriteString(":" + r.Address)
	}
	return &channel.Item{Keys: []channel.Key{channel.Key(key.String())}, Update: u, Raw: channel.Bytes(key.String())}
}
