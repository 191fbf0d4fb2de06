package main

import (
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

type writeData struct {
	Senders                    []channelJSON
	Channel, To, Subject, Text string
}

func (p *pages) writePage(w http.ResponseWriter, r *http.Request) error {
	return p.showWrite(w, r, http.StatusOK, writeData{}, "")
}

func (p *pages) showWrite(w http.ResponseWriter, r *http.Request, status int, d writeData, problem string) error {
	channels, err := p.desk.Channels(r.Context())
	if err != nil {
		return err
	}
	for _, c := range channels {
		if c.CanSend && c.CanStart && !c.Settings.Inactive {
			d.Senders = append(d.Senders, showChannel(c))
		}
	}
	return p.render(w, r, status, "write", "Write first", view{Problem: problem, Data: d})
}

// write starts a conversation: only that, or with a mail at once.
func (p *pages) write(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	f := r.PostForm
	d := writeData{Channel: f.Get("channel"), To: f.Get("to"), Subject: f.Get("subject"), Text: strings.ReplaceAll(f.Get("text"), "\r\n", "\n")}
	to, err := recipients(d.To)
	var o *ticket.Opened
	if err == nil {
		o, err = p.desk.Start(r.Context(), ticket.Opening{Channel: channel.ID(d.Channel), By: sessionOf(r).agent, To: to,
			Subject: d.Subject, Text: d.Text, Send: f.Get("what") != "create"})
	}
	if err == nil {
		return p.goTo(w, r, "/tickets/"+url.PathEscape(string(o.Ticket.ID)))
	}
	e := classify(err)
	if e.status >= 500 {
		return err
	}
	return p.showWrite(w, r, e.status, d, e.Message)
}

// recipients reads what a person typed: addresses with commas between.
func recipients(s string) ([]channel.Party, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	found, err := mail.ParseAddressList(s)
	if err != nil {
		return nil, badField("to", "is no list of mail addresses with commas between")
	}
	var out []channel.Party
	for _, a := range found {
		out = append(out, channel.Party{Name: a.Name, Address: a.Address})
	}
	return out, nil
}
