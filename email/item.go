package email

import (
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Own are the addresses that belong to a channel or its portal.
type Own struct {
	Addresses []string
	Domains   []string // domains of which every address is ours
}

// Context is what [Item] must know besides the mail.
type Context struct {
	Channel, Via channel.ID
	ViaInferred  bool
	Envelope     channel.Envelope
	Own          Own
	// Key is the provider's primary key (folder, UIDVALIDITY and UID, say),
	// empty where there is none.
	Key      channel.Key
	At       time.Time
	Imported bool
}

// Item turns a mail into the item to accept. It never fails.
func Item(raw channel.Body, m *Mail, c Context) *channel.Item {
	return &channel.Item{Channel: c.Channel, Raw: raw, Message: &channel.Message{}}
}
