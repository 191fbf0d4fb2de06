package graphtest

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

func jsonField(s, name string) string {
	var m map[string]any
	if json.Unmarshal([]byte(s), &m) != nil {
		return ""
	}
	v, _ := m[name].(string)
	return v
}

// Bounds of messages (ref 5, D).
const (
	maxText     = 2000
	maxMetadata = 1000
)

// sendRequest is the body of POST /{page}/messages (ref 5, D).
type sendRequest struct {
	recipient struct {
		ID        string `json:"id"`
		CommentID string `json:"comment_id"`
		PostID    string `json:"post_id"`
	}
	message *struct {
		Text       string `json:"text"`
		Metadata   string `json:"metadata"`
		Attachment *struct {
			Type    string         `json:"type"`
			Payload map[string]any `json:"payload"`
		} `json:"attachment"`
	}
	action, file, kind, tag string
	payload                 struct {
		MessageID string `json:"message_id"`
		Reaction  string `json:"reaction"`
	}
}

func bug(sub int, text string) *apiError {
	return &apiError{code: 100, subcode: sub, message: "(#100) " + text}
}

func (g *Graph) readSend(c *call) (*sendRequest, *apiError) {
	r := &sendRequest{action: c.q.Get("sender_action"), file: c.q.Get("filedata"), kind: c.q.Get("messaging_type"), tag: c.q.Get("tag")}
	if err := json.Unmarshal([]byte(c.q.Get("recipient")), &r.recipient); err != nil {
		return nil, bug(0, "The parameter recipient is required")
	}
	if m := c.q.Get("message"); m != "" {
		if err := json.Unmarshal([]byte(m), &r.message); err != nil {
			return nil, bug(0, "Param message must be an object")
		}
	}
	if p := c.q.Get("payload"); p != "" && json.Unmarshal([]byte(p), &r.payload) != nil {
		return nil, bug(0, "Param payload must be an object")
	}
	named := 0
	for _, id := range []string{r.recipient.ID, r.recipient.CommentID, r.recipient.PostID} {
		if id != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return nil, bug(0, "Exactly one recipient must be named")
	case r.message != nil && r.action != "":
		return nil, bug(2018014, "message and sender_action cannot be used together")
	case r.message == nil && r.action == "":
		return nil, bug(0, "message is required")
	}
	return r, nil
}

// length counts a text as Facebook does (ref 13, U).
func (g *Graph) length(s string) int {
	if g.opts.Doubts.TextInUTF16 {
		return len(utf16.Encode([]rune(s)))
	}
	return utf8.RuneCountInString(s)
}

// send is the Send API.
func (g *Graph) send(c *call, p *Page) (any, *apiError) {
	if bad := g.needs(c, "pages_messaging", "MESSAGING"); bad != nil {
		return nil, bad
	}
	r, bad := g.readSend(c)
	if bad != nil {
		return nil, bad
	}
	if r.message != nil {
		if bad := g.checkContent(r); bad != nil {
			return nil, bad
		}
	}
	if r.recipient.ID == "" {
		return g.privateReply(p, r)
	}
	who := g.byPSID(p.ID, r.recipient.ID)
	t := g.threads[p.ID+"/"+r.recipient.ID]
	switch {
	case who == nil || t == nil:
		return nil, bug(2018001, "No matching user found")
	case who.blocked:
		return nil, &apiError{code: 551, subcode: 1545041, message: "(#551) This person isn't available right now."}
	}
	if r.action != "" {
		return g.act(t, r)
	}
	if bad := g.window(t, r); bad != nil {
		return nil, bad
	}
	if g.ownedByOther(t) {
		return nil, &apiError{code: 10, subcode: 2018300, message: "(#10) Message failed to send because another app is controlling this thread now."}
	}
	m := g.arrive(p, t, r, false)
	return object{"recipient_id": t.psid, "message_id": m.mid}, nil
}

func (g *Graph) checkContent(r *sendRequest) *apiError {
	m := r.message
	switch {
	case m.Text != "" && m.Attachment != nil:
		return bug(0, "text and attachment are mutually exclusive")
	case m.Text == "" && m.Attachment == nil:
		return bug(0, "You must provide text or an attachment")
	case g.length(m.Text) > maxText:
		return bug(0, "Length of param message[text] must be less than or equal to 2000")
	case len(m.Metadata) >= maxMetadata:
		return bug(0, "Length of param message[metadata] must be less than 1000")
	case m.Attachment != nil && r.file == "" && m.Attachment.Payload["url"] == nil && m.Attachment.Payload["attachment_id"] == nil:
		return bug(2018074, "Invalid attachment")
	}
	if size, _, ok := strings.Cut(r.file, " "); ok {
		n, _ := strconv.ParseInt(size, 10, 64)
		if n > 25<<20 || m.Attachment.Type == "image" && n > 8<<20 { // ref 5.2, D
			return bug(2018109, "Attachment size exceeds allowable limit")
		}
		if m.Attachment.Type == "audio" && !strings.Contains(r.file, " of audio/") {
			return bug(2018047, "Upload attachment failure: type mismatch")
		}
	}
	return nil
}

// window is ref 5.1, D.
func (g *Graph) window(t *thread, r *sendRequest) *apiError {
	age := g.now().Sub(t.lastUser)
	outside := &apiError{code: 10, subcode: 2018278, message: "(#10) This message is sent outside of allowed window."}
	switch r.kind {
	case "RESPONSE", "UPDATE":
		if r.tag != "" {
			return bug(0, "tag is only for MESSAGE_TAG")
		}
		if age > 24*time.Hour {
			return outside
		}
	case "MESSAGE_TAG":
		switch {
		case r.tag != "HUMAN_AGENT":
			return bug(0, "This tag is no longer supported") // since 2026-04-27
		case !g.opts.HumanAgent:
			return &apiError{code: 10, message: "(#10) The app does not have the Human Agent feature"}
		case age > 7*24*time.Hour:
			return outside
		}
	default:
		return bug(0, "messaging_type is required")
	}
	return nil
}

// arrive adds a message of the app to its thread, and tells of it.
func (g *Graph) arrive(p *Page, t *thread, r *sendRequest, private bool) *message {
	m := &message{mid: g.mid(), text: r.message.Text, fromPage: true, at: g.now()}
	s := Sent{ID: m.mid, Page: p.ID, Recipient: t.psid, Text: m.text, Metadata: r.message.Metadata, File: r.file, Type: r.kind, Tag: r.tag, Private: private}
	if a := r.message.Attachment; a != nil {
		if u, ok := a.Payload["url"].(string); ok {
			s.File = u
		}
		m.files = []object{{"type": a.Type, "payload": object{"url": g.opts.URL + "/media/none/sent"}}}
	}
	t.messages = append(t.messages, m)
	t.updated = g.now()
	g.sent = append(g.sent, s)
	g.echo(t, m, appID, r.message.Metadata)
	return m
}

// act is a sender action (ref 5, D).
func (g *Graph) act(t *thread, r *sendRequest) (any, *apiError) {
	switch r.action {
	case "typing_on", "typing_off", "mark_seen":
	case "react", "unreact":
		if r.payload.MessageID == "" {
			return nil, bug(0, "payload[message_id] is required")
		}
	default:
		return nil, bug(0, "Unknown sender_action")
	}
	return object{"recipient_id": t.psid}, nil
}

// privateReply is ref 6.1, D and O.
func (g *Graph) privateReply(p *Page, r *sendRequest) (any, *apiError) {
	n := g.nodes[r.recipient.CommentID+r.recipient.PostID]
	switch {
	case r.message == nil:
		return nil, bug(0, "message is required")
	case n == nil || n.gone || n.page != p.ID:
		return nil, bug(33, "Object does not exist")
	case n.person == nil:
		return nil, &apiError{code: 10903, message: "(#10903) This user cannot reply to this activity"}
	case n.private:
		return nil, &apiError{code: 10900, message: "(#10900) Activity already replied to"}
	case g.now().Sub(n.at) > 7*24*time.Hour:
		return nil, &apiError{code: 10903, message: "(#10903) This user cannot reply to this activity"}
	}
	n.private = true
	t := g.thread(p.ID, n.person.on(p.ID))
	m := g.arrive(p, t, r, true)
	return object{"recipient_id": t.psid, "message_id": m.mid}, nil
}

// conversations is ref 7, D and O: the newest first, twenty messages of each.
func (g *Graph) conversations(c *call, p *Page) (any, *apiError) {
	if bad := g.needs(c, "pages_messaging"); bad != nil {
		return nil, bad
	}
	var list []*thread
	for _, t := range g.threads {
		if t.page == p.ID && len(t.messages) > 0 && (c.q.Get("user_id") == "" || c.q.Get("user_id") == t.psid) {
			list = append(list, t)
		}
	}
	return paged(c, list, func(a, b *thread) int { return cmp.Or(b.updated.Compare(a.updated), cmp.Compare(b.id, a.id)) }, func(t *thread) object {
		var messages []object
		for i := len(t.messages) - 1; i >= 0 && len(messages) < 20; i-- {
			m := t.messages[i]
			if m.unsent {
				continue
			}
			from, to := object{"id": t.psid}, object{"id": p.ID, "name": p.Name}
			if who := g.byPSID(p.ID, t.psid); who != nil && !who.noProfile {
				from["name"] = who.Name
			}
			if m.fromPage {
				from, to = to, from
			}
			node := object{"id": m.mid, "created_time": graphTime(m.at), "from": from, "to": object{"data": []any{to}}, "message": m.text}
			if len(m.files) > 0 {
				var files []object
				for i, f := range m.files {
					payload, _ := f["payload"].(object)
					file := object{"id": m.mid + strconv.Itoa(i), "mime_type": "image/jpeg", "name": "file.jpg", "size": 3}
					if f["type"] == "image" {
						file["image_data"] = object{"url": payload["url"]}
					} else {
						file["file_url"] = payload["url"]
					}
					files = append(files, file)
				}
				node["attachments"] = object{"data": files}
			}
			messages = append(messages, node)
		}
		out := object{"id": t.id, "updated_time": graphTime(t.updated), "messages": object{"data": messages}}
		if who := g.byPSID(p.ID, t.psid); who != nil && strings.Contains(c.q.Get("fields"), "participants") { // ref 7, D
			out["participants"] = object{"data": []object{{"name": who.Name, "email": t.psid + "@facebook.com", "id": t.psid},
				{"name": p.Name, "email": p.ID + "@facebook.com", "id": p.ID}}}
		}
		if p.defaultApp != "" {
			out["is_owner"] = t.owner == appID
		}
		return out
	})
}
