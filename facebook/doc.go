// Package facebook makes a Facebook Page a channel: messages, visitors' posts and
// comments come in by the Page's rules, and agents answer by message, public
// comment or private reply.
//
// One [App] serves all Pages of all portals. It is the connector that the engine
// opens Pages with, and it has the webhook that Facebook calls:
//
//	app := &facebook.App{ID: id, Secrets: []string{secret}, VerifyToken: token}
//	mux.Handle("/webhooks/facebook", app.Webhook())
//	desk, err := ticket.New(ticket.Config{..., Connectors: []channel.Connector{app}})
//	_, err = desk.Connect(ctx, facebook.Page{ID: pageID, Token: pageToken, Rules: rules}, settings)
//
// # The way of an event
//
//	Facebook ──► Webhook: signature ──► one raw Item an event ──► Sink.Accept ──► 200
//	                                                     │ work of the engine
//	              Interpret: author, post, media ◄───────┘
//	                    │ Rules.Decide (pure)
//	                    ▼
//	    Message, Update, Notice, or ignored with a cause
//
// The raw form of an event is a webhook body of its own, with the event as it
// came. An event is interpreted as work of the engine, again until that succeeds;
// what cannot be fetched any more becomes a defect of the message.
//
// # Conversations
//
// There is one conversation for each person in Messenger ("m:PSID"), and one for
// each person and top-level comment ("c:PSID:COMMENT") or post of theirs
// ("p:PSID:POST"), so that people under one post never mix. Who replies under
// another's comment that makes a ticket is taken in, too, whatever the reply says, in
// a conversation and with a ticket of their own. What the Page writes
// under somebody's comment or post belongs to their conversation. A private reply
// answers a comment in Messenger; both then have the same contact.
//
// # People
//
// Names come with posts and comments; of people who write messages the profile is
// asked for, and else what Messenger calls them. Who cannot be told has no name,
// which holds nothing up. Pictures are asked for when the host wants one
// ([channel.Profiler]), are kept in memory only, and are never part of a message.
//
// # What is left out
//
// Mentions of the Page elsewhere, and recommendations of it (the fields mention and
// ratings), are not subscribed to. A mention rarely tells who wrote it, and what it
// stands in may be closed to the Page; for a recommendation no way to answer is
// documented. If they come, since another tool of the same app subscribed to them,
// they are ignored as events of an unknown kind, and counted.
//
// # Buttons
//
// What the host had put into a button or quick reply that a customer tapped comes
// back as [channel.Message].Payload, and stands in the engine's message; its title
// is the text. Facebook gives it to the app that made the button only, and not in
// standby nor in what is fetched later.
//
// # Rules
//
// [Rules] decide what becomes a ticket; see [Rules.Decide]. Their zero value
// makes no tickets at all: messages become conversations, which are queued and
// answered all the same, and posts and comments are left out.
//
// # Delivery
//
// The webhook answers 200 only after every event of a POST is durable or is a
// duplicate; Facebook otherwise delivers again. The keys of an event are the same
// by whatever way it comes: webhook, standby, or [channel.Backfiller]. Messages
// that the Page sends come back as echoes: ours are known by the token in their
// metadata, or by their id, and others' are shown as written on our side. The
// Page-level subscription is looked at again and again, renewed if Facebook ended
// it, and what happened meanwhile is fetched, as after any time in which events
// could not be taken; posts and comments that were edited,
// hidden or removed meanwhile are put right, of messages only new ones are seen.
//
// # Sending
//
// A text is split at the platform's limit; each part is a delivery of its own. A
// message goes as a response within 24 hours of the customer's last act, by the
// human agent tag within 7 days if a person wrote it and the app may, and is
// refused before the call after that. A send whose answer was lost is looked for
// and never repeated blindly, since the platform knows no idempotency key.
//
// A public comment can have a text and a picture, if App.CommentPictures is set;
// further pictures are comments of their own. Other files are refused before the
// call. A private reply and a message can have any file.
//
// # Errors
//
// Errors of the Graph API are [*Error], classified by code and subcode
// ([Error.Class]); Send turns them into *channel.SendError. No error or log holds
// a token, a proof, a signature or the text of a message.
//
// # Concurrency
//
// All methods are safe for concurrent use. There is one goroutine for each Page
// that receives, and one for each portal while a POST for several is committed.
//
// # Testing
//
// Package graphtest is Facebook in memory, with faults.
package facebook
