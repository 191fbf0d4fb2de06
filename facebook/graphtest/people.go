package graphtest

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// Person is somebody on Facebook. On each Page they have an id of their own, the
// PSID (ref 1, D).
type Person struct {
	g    *Graph
	ID   string // app-scoped, as of the login
	Name string
	psid map[string]string
	// noProfile hides name and picture (ref 10, D).
	noProfile bool
	picture   []byte
	blocked   bool
	unnamed   bool                // as an author, everywhere
	pages     map[string][]string // tasks on the Pages that they run
	scopes    map[string]bool     // granted to the app
	ticked    map[string]bool     // Pages they ticked in the dialog; nil is all
}

// AddPerson makes somebody.
func (g *Graph) AddPerson(name string) *Person {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &Person{g: g, ID: g.id(), Name: name, psid: map[string]string{}, pages: map[string][]string{}, scopes: map[string]bool{}}
	g.people[p.ID] = p
	return p
}

// HideProfile makes the profile API tell nothing about them.
func (p *Person) HideProfile() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.noProfile = true
}

// HideAuthor leaves out who wrote their posts and comments, in events and from the
// API, as of people with restricted accounts (ref 4.3, O).
func (p *Person) HideAuthor() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.unnamed = true
}

// SetPicture gives them a picture, whose address holds for an hour each time that
// it is asked for (ref 10, D). Without one it leads nowhere.
func (p *Person) SetPicture(image []byte) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.picture = image
}

// Block makes the person unavailable to Pages (ref 11.2, D).
func (p *Person) Block() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.blocked = true
}

// PSID returns the person's id in Messenger on a Page.
func (p *Person) PSID(page string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.on(page)
}

// AuthorID returns the person's id in the feed of a Page.
func (p *Person) AuthorID(page string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.author(page)
}

func (p *Person) on(page string) string {
	if p.psid[page] == "" {
		p.psid[page] = p.g.id()
	}
	return p.psid[page]
}

func (p *Person) author(page string) string {
	id := p.on(page)
	if p.g.opts.Doubts.OtherAuthorID {
		return "9" + id
	}
	return id
}

// byPSID finds somebody by an id that they have on a Page.
func (g *Graph) byPSID(page, psid string) *Person {
	for _, p := range g.people {
		if p.psid[page] == psid || "9"+p.psid[page] == psid && g.opts.Doubts.OtherAuthorID {
			return p
		}
	}
	return nil
}

// thread is a conversation in Messenger.
type thread struct {
	page, psid string
	id         string
	messages   []*message
	lastUser   time.Time // opens the window
	owner      string    // app in control
	ownerUntil time.Time
	updated    time.Time
}

type message struct {
	mid, text string
	fromPage  bool
	at        time.Time
	files     []object
	unsent    bool
}

func (g *Graph) thread(page, psid string) *thread {
	key := page + "/" + psid
	t := g.threads[key]
	if t == nil {
		t = &thread{page: page, psid: psid, id: "t_" + g.id()}
		g.threads[key] = t
	}
	return t
}

func (g *Graph) mid() string { return "m_" + g.id() + "Zx" }

// object is JSON.
type object = map[string]any

// Write writes a message to a Page and returns its mid. Files are attachments,
// such as [Graph.Image] returns.
func (p *Person) Write(page, text string, files ...map[string]any) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.write(page, text, nil, files)
}

// WriteWith is Write with further members of the message object, such as
// quick_reply, reply_to or referral (ref 3.2, D).
func (p *Person) WriteWith(page, text string, members map[string]any, files ...map[string]any) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.write(page, text, members, files)
}

func (p *Person) write(page, text string, members object, files []object) string {
	g := p.g
	t := g.thread(page, p.on(page))
	m := &message{mid: g.mid(), text: text, at: g.now(), files: files}
	t.messages = append(t.messages, m)
	g.userActs(t)
	body := object{"mid": m.mid}
	if text != "" {
		body["text"] = text
	}
	if len(files) > 0 {
		body["attachments"] = files
	}
	maps.Copy(body, members)
	g.tell(t, "messages", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(m.at), "message": body})
	return m.mid
}

// userActs renews the windows, and gives the thread to whom it is due.
func (g *Graph) userActs(t *thread) {
	now := g.now()
	page := g.pages[t.page]
	if page.defaultApp != "" && !now.Before(t.ownerUntil) {
		t.owner = page.defaultApp
	}
	if t.owner != "" {
		t.ownerUntil = now.Add(24 * time.Hour)
	}
	t.lastUser, t.updated = now, now
}

// ownedByOther reports whether another app controls the thread, or may alone
// write into it (ref 9.1, D).
func (g *Graph) ownedByOther(t *thread) bool {
	def := g.pages[t.page].defaultApp
	if def == "" {
		return false
	}
	if g.now().Before(t.ownerUntil) {
		return t.owner != appID
	}
	return def != appID
}

// tell queues a messaging event, as standby where another app is in control (ref
// 3.8, D).
func (g *Graph) tell(t *thread, field string, event object) {
	source := "messaging"
	if g.ownedByOther(t) {
		source = "standby"
		if field == "message_reactions" || field == "message_edits" {
			return
		}
		if pb, ok := event["postback"].(object); ok {
			delete(pb, "payload") // ref 3.5, D
		}
		field = "standby"
	}
	g.enqueue(t.page, field, source, event)
}

// React reacts to a message; an empty reaction takes it back (ref 3.5, D).
func (p *Person) React(page, mid, reaction string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	r := object{"mid": mid, "action": "unreact"}
	if reaction != "" {
		r = object{"mid": mid, "action": "react", "reaction": reaction, "emoji": "❤️"}
		g.userActs(t)
	}
	g.tell(t, "message_reactions", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(g.now()), "reaction": r})
}

// EditMessage changes a message (ref 3.5, D).
func (p *Person) EditMessage(page, mid, text string, n int) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	for _, m := range t.messages {
		if m.mid == mid {
			m.text = text
		}
	}
	var num any = n
	if g.opts.Doubts.NumericIDs { // documented as a number, sampled as a string
		num = fmt.Sprint(n)
	}
	g.tell(t, "message_edits", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(g.now()),
		"message_edit": object{"mid": mid, "text": text, "num_edit": num}})
}

// Unsend takes a message back. Whether Pages are told is unsure (ref 3.2, U).
func (p *Person) Unsend(page, mid string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	for _, m := range t.messages {
		if m.mid == mid {
			m.unsent, m.text = true, ""
		}
	}
	if g.opts.Doubts.NoUnsend {
		return
	}
	g.tell(t, "messages", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(g.now()),
		"message": object{"mid": mid, "is_deleted": true}})
}

// Tap taps a button of the Page (ref 3.5, D).
func (p *Person) Tap(page, title, payload string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	g.userActs(t)
	mid := g.mid()
	g.tell(t, "messaging_postbacks", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(g.now()),
		"postback": object{"mid": mid, "title": title, "payload": payload}})
	return mid
}

// Read reads everything that the Page wrote so far.
func (p *Person) Read(page string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	g.tell(t, "message_reads", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "timestamp": g.millis(g.now()),
		"read": object{"watermark": g.now().UnixMilli()}})
}

// Receive confirms the delivery of everything that the Page wrote so far. The
// event has no timestamp (ref 3.5, D).
func (p *Person) Receive(page string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	g := p.g
	t := g.thread(page, p.on(page))
	d := object{"watermark": g.now().UnixMilli()}
	var mids []string
	for _, m := range t.messages {
		if m.fromPage {
			mids = append(mids, m.mid)
		}
	}
	if !g.opts.Doubts.NoDeliveryMids && len(mids) > 0 {
		d["mids"] = mids[max(0, len(mids)-1):]
	}
	g.tell(t, "message_deliveries", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(page)}, "delivery": d})
}

// WriteInInbox writes to somebody as the Page's admin does in Facebook's own
// inbox, which also takes control where there is routing (ref 9.1, D).
func (p *Page) WriteInInbox(to *Person, text string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	app := InboxApp
	if p.g.opts.Doubts.OtherInboxID {
		app = inboxEcho
	}
	return p.g.pageWrites(p, to, text, app, "", nil)
}

// WriteByApp writes to somebody by another app, with its own metadata.
func (p *Page) WriteByApp(to *Person, text, metadata string) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	return p.g.pageWrites(p, to, text, OtherApp, metadata, nil)
}

func (g *Graph) pageWrites(p *Page, to *Person, text, app, metadata string, files []object) string {
	t := g.thread(p.ID, to.on(p.ID))
	m := &message{mid: g.mid(), text: text, fromPage: true, at: g.now(), files: files}
	t.messages = append(t.messages, m)
	t.updated = g.now()
	if p.defaultApp != "" && (app == InboxApp || app == inboxEcho) && t.owner != InboxApp {
		g.enqueue(p.ID, "messaging_handovers", "messaging", object{"sender": object{"id": g.num(t.psid)}, "recipient": object{"id": g.num(p.ID)}, "timestamp": g.millis(g.now()),
			"take_thread_control": object{"previous_owner_app_id": t.owner, "new_owner_app_id": InboxApp, "metadata": ""}})
		t.owner, t.ownerUntil = InboxApp, g.now().Add(24*time.Hour)
	}
	g.echo(t, m, app, metadata)
	return m.mid
}

// echo tells of a message that the Page wrote (ref 3.4, D).
func (g *Graph) echo(t *thread, m *message, app, metadata string) {
	body := object{"is_echo": true, "app_id": g.num(app), "mid": m.mid}
	if m.text != "" {
		body["text"] = m.text
	}
	if metadata != "" {
		body["metadata"] = metadata
	}
	if len(m.files) > 0 {
		body["attachments"] = m.files
	}
	g.tell(t, "message_echoes", object{"sender": object{"id": g.num(t.page)}, "recipient": object{"id": g.num(t.psid)}, "timestamp": g.millis(m.at), "message": body})
}

// medium is a file on the CDN.
type medium struct {
	data        []byte
	contentType string
	until       time.Time
}

// File puts a file on the CDN, for an hour, and returns the attachment of a
// message (ref 3.3, D and O). kind is image, video, audio or file.
func (g *Graph) File(kind, name, contentType string, data []byte) map[string]any {
	g.mu.Lock()
	defer g.mu.Unlock()
	return object{"type": kind, "payload": object{"url": g.host(name, contentType, data)}}
}

func (g *Graph) host(name, contentType string, data []byte) string {
	path := "/media/" + g.id() + "/" + name
	g.media[path] = medium{data: data, contentType: contentType, until: g.now().Add(time.Hour)}
	return g.opts.URL + strings.ReplaceAll(path, " ", "%20") + "?oe=1"
}

// MediaHost returns the host of the CDN, to be allowed.
func (g *Graph) MediaHost() string { return g.opts.URL }
