// Contactcenter is the reference host: a small contact center built on this
// library. It receives mail, makes tickets of it, gives them to agents and
// sends what they answer; it has a JSON API and a live inbox in the browser.
//
//	go run ./examples/contactcenter          # data in ./anteroom-data
//	go run ./examples/contactcenter -demo    # acts out a morning by itself
//
// When it serves, it prints one line of JSON on standard output, with its
// addresses and the API token. Logs go to standard error. SIGINT and SIGTERM
// drain and end it. With -h it lists its flags.
//
// # Several processes
//
// With -store postgres://user@host/database any number of processes share one
// database: any of them takes mail and requests, and goes on when others end.
// The password is best given as PGPASSWORD or in a .pgpass file. All need the same
// -blobs folder, and the same ANTEROOM_KEY (openssl rand -base64 32) and
// ANTEROOM_TOKEN. What a process did that is gone, another goes on with when its
// leases have run out (-lease).
//
// # Moving to PostgreSQL
//
// Stop the program, then have one write the portal and another read it:
//
//	contactcenter -data anteroom-data -export portal.jsonl
//	contactcenter -store postgres://user@host/database -blobs file:///var/lib/anteroom/blobs -import portal.jsonl
//
// and start it with the new -store and -blobs, and the old key (ANTEROOM_KEY, or
// the file in -data). What waits to be sent is sent from there. The old portal
// is retired: it cannot be started by accident. With -reinstate it can.
//
// # First steps
//
// Nobody can sign in and nobody gets tickets before there are agents. Make them
// with the API, or with a -config file of the same shapes:
//
//	curl -H "Authorization: Bearer $TOKEN" -X PUT --json '{"name":"An","email":"an@example.com","password":"at least 8 bytes"}' $URL/api/agents/an
//	curl -H "Authorization: Bearer $TOKEN" -X PUT --json '{"name":"Support","agents":["an"]}' $URL/api/queues/support
//	curl -H "Authorization: Bearer $TOKEN" --json '{"kind":"email.hosted","name":"Support","config":{"local_part":"support"},
//	    "settings":{"queue":"support","prefer_online":true}}' $URL/api/channels
//
// Mail to support@portal.localhost at the printed SMTP address is now a ticket.
// Answers to it leave by an account: POST a channel of kind email.account with
// {address, username, password, smtp:{host, port, security}, forwarded_to}.
//
// For Facebook Pages set FACEBOOK_APP_ID, FACEBOOK_APP_SECRET, FACEBOOK_VERIFY_TOKEN
// and PUBLIC_URL; the app's webhook is PUBLIC_URL/webhooks/facebook. A signed-in
// agent connects Pages at /connect/facebook, and chooses there which of those they
// run become channels, unless it is only one; a program shows and takes the choice
// by GET and POST /api/connect/facebook, with the browser's cookies. With a Page's token at hand, POST a
// channel of kind facebook.page with {page_id, access_token, rules}. With
// FACEBOOK_COMMENT_PICTURES=1 the login asks for pages_manage_posts too, and public
// answers can have pictures.
//
// # API
//
// Requests and answers are JSON in snake case; times are RFC 3339 in UTC. An
// error is {"error":{"code","message","field"}}. Lists take limit and cursor and
// give next.
//
//	GET  /healthz
//	GET  /api/channels             POST /api/channels
//	GET, PATCH, DELETE /api/channels/{id}
//	POST /api/channels/{id}/check, /backfill
//	GET  /api/queues               PUT  /api/queues/{id}
//	GET  /api/agents               PUT  /api/agents/{id}, /api/agents/{id}/presence
//	GET  /api/tickets              ?queue= status= assignee= channel= contact= q=
//	GET, PATCH, DELETE /api/tickets/{id}
//	POST /api/tickets/{id}/assign, /notes, /replies
//	GET, POST /api/conversations   GET /api/conversations/{id}
//	POST /api/conversations/{id}/replies, /ticket
//	GET, PATCH, DELETE /api/messages/{id}
//	POST /api/messages/{id}/cancel, /resolve, /actions
//	GET  /api/messages/{id}/raw, /explain
//	GET  /api/attachments/{id}
//	GET  /api/quarantine           GET  /api/quarantine/{id}/raw
//	POST /api/quarantine/{id}/release, /discard
//	GET  /api/undeliverable        DELETE /api/undeliverable/{address}
//	POST /api/erase                {contact, identities:[{scheme,address}], preview}
//	GET  /api/ledger               ?channel= day=
//	GET  /api/events               ?after= ; with Accept: text/event-stream, live
//
// PUT replaces the whole; PATCH changes what is given. Subject and body of an
// auto reply may hold {{ticket.number}}, {{customer.name}} and {{subject}}. Mail
// that was forwarded belongs to the account that it was written to, and its
// messages name the mailbox as via.
package main
