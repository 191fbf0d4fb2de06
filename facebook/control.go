package facebook

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// control is what was seen of who controls the Page's conversations, on this
// node. Guarded by page.mu.
type control struct {
	messaging, standby time.Time // the last message of a customer that came so
	refused            time.Time // the last send that another app's control refused
	refusal            string
	person             string // of the last standby message
}

// observe notes by which way a customer's message came. Messages in standby are
// those of conversations that another app controls
// (https://developers.facebook.com/documentation/business-messaging/messenger-platform/conversation-routing).
func (p *page) observe(e *event, in *parsed) {
	if in.kind != kindMessage && in.kind != kindPostback {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.source == inStandby {
		p.control.standby, p.control.person = p.app.now(), string(in.msg.Sender.ID)
	} else {
		p.control.messaging = p.app.now()
	}
}

// noted notes that a send was refused since another app controls the
// conversation. It returns true.
func (p *page) noted(e *Error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.control.refused, p.control.refusal = p.app.now(), e.reason()
	return true
}

// takeControl takes control of a conversation.
func (p *page) takeControl(ctx context.Context, psid string) error {
	c := p.call(p.id+"/take_thread_control", poolMessenger, url.Values{"recipient": {encode(map[string]string{"id": psid})}}, nil)
	c.method = http.MethodPost
	return p.app.do(ctx, c)
}
