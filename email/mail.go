package email

import (
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Mail is a mail as it was understood. All text in it is valid UTF-8 without
// NUL; line ends are LF. It holds no reference to the reader it came from:
// attachments are windows into the raw mail.
type Mail struct {
	// Header holds all fields of the mail in their order.
	Header Header

	MessageID  string   // without angle brackets; empty if there is none
	InReplyTo  []string // ids without angle brackets
	References []string // ids without angle brackets, oldest first
	// Date is what the sender claims. Zero if it is missing or unreadable.
	Date time.Time

	From, Sender, ReplyTo, To, Cc []channel.Party

	Subject string
	// Text is the whole text. It is made from HTML where the mail has no
	// plain text.
	Text string
	// HTML is the whole HTML as it came, decoded to UTF-8 and not sanitised.
	// See [SanitizeHTML].
	HTML string

	// NewText is what is new in Text, quotes removed, and equal to Text
	// where nothing can be told apart. NewTextUnsigned lacks the signature
	// too, which is in Signature.
	NewText, NewTextUnsigned, Signature string

	// Attachments are files, inline images and enclosed messages, in order.
	Attachments []Attachment

	// Automatic says whether a machine wrote the mail.
	Automatic channel.Automatic
	// Quiet is a reason for no automatic reply although the mail is not
	// known to be automatic; one of the Quiet constants, or empty.
	Quiet string

	Bounce       *Bounce       // a delivery status notification
	Disposition  *Disposition  // a read receipt (RFC 8098)
	Report       *Report       // a complaint (RFC 5965)
	Forwarded    *Forwarded    // it was forwarded, as far as it shows
	Confirmation *Confirmation // a provider asks to confirm a forwarding
	// MachineReport is "dmarc" or "tlsrpt" for an aggregate report that was
	// sent by a machine for a machine, else empty.
	MachineReport string

	// ReturnPath is the address of the first Return-Path field. It is
	// meaningful only if HasReturnPath; empty then means the null path.
	ReturnPath    string
	HasReturnPath bool
	// Received counts the Received fields.
	Received int
	// ContentKey is the same for two copies of one mail that took different
	// ways. See [Item].
	ContentKey channel.Key

	// Defects says what was wrong with the mail and how it was read all the
	// same, at most [MaxDefects] entries.
	Defects []string
}

// Attachment is a file that came with a mail.
type Attachment struct {
	channel.Attachment
	// SHA256 of the decoded bytes, in hex.
	SHA256 string
}

// Values of [Mail].Quiet and of the message that [Item] makes.
const (
	QuietNoReply     = "no_reply_address"      // the sender's address is one that nobody reads
	QuietBadSender   = "bad_sender_address"    // no address that could be answered
	QuietSubject     = "out_of_office_subject" // the subject begins like an out-of-office reply
	QuietManyHops    = "many_hops"             // more than 50 Received fields
	QuietOwnAddress  = "own_address"           // the sender is one of our own addresses
	QuietNotToUs     = "not_addressed_to_us"   // our address is in no recipient field
	QuietMarkedQuiet = "loop_header"           // our own loop header came back
)

// Bounce is what a mail system says about the delivery of a message.
type Bounce struct {
	// Kind is "failed", "delayed", "delivered" or "relayed": the worst that
	// happened to any recipient.
	Kind       string            `json:"kind"`
	Recipients []BounceRecipient `json:"recipients"`
	// OriginalMessageID is the Message-ID of the message that the report is
	// about, without angle brackets; empty if the report does not say.
	OriginalMessageID string `json:"original_message_id"`
	// EnvelopeID is the Original-Envelope-Id (RFC 3461 ENVID), if any.
	EnvelopeID string `json:"-"`
	// Anchors are ids ending in ".r" before the at sign that the returned
	// message refers to; see [Compose].
	Anchors []string `json:"-"`
	// Standard says that the report has the form of RFC 3464.
	Standard bool `json:"-"`
}

// BounceRecipient is what happened to one recipient.
type BounceRecipient struct {
	channel.RecipientStatus
	Action string `json:"-"` // as Bounce.Kind
}

// Disposition is a message disposition notification (RFC 8098).
type Disposition struct {
	Recipient         string
	Type              string // "displayed", "deleted", "dispatched", "processed" ...
	OriginalMessageID string
}

// Report is an abuse report (RFC 5965).
type Report struct {
	Type              string `json:"type"` // the Feedback-Type: "abuse", "fraud", "not-spam" ...
	OriginalMessageID string `json:"original_message_id"`
	// Anchors are as in [Bounce].
	Anchors []string `json:"-"`
	// Recipient is the address that complains; reporters often hide it.
	Recipient string `json:"-"`
}

// Values of Forwarded.How.
const (
	ForwardRedirect = "redirect" // sent on as it was, by a machine
	ForwardInline   = "inline"   // quoted in the text
	ForwardAttached = "attached" // enclosed as message/rfc822
)

// Forwarded says that a mail was forwarded, and what was. All of it is the
// sender's claim.
type Forwarded struct {
	How     string        `json:"how"`
	From    channel.Party `json:"from"`    // who wrote the forwarded mail; the address may be missing
	To      string        `json:"to"`      // the address it was written to, as far as it shows
	Subject string        `json:"subject"` // of the forwarded mail
	Date    string        `json:"date"`    // as it is written there
}

// Confirmation is a provider's question whether mail may be forwarded to us.
// Nothing ever follows the link by itself.
type Confirmation struct {
	Provider string `json:"provider"` // "gmail"
	Code     string `json:"code"`
	Link     string `json:"link"`
	Address  string `json:"address"` // whose mail would be forwarded
}
