package main

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// partyJSON takes an address as a string, or as an object with a name.
type partyJSON channel.Party

func (p *partyJSON) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &p.Address)
	}
	var o struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	}
	if len(b) == 0 || b[0] != '{' || decodeJSON("to", b, &o) != nil {
		return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[string]()}
	}
	p.Name, p.Address = o.Name, o.Address
	return nil
}

// signatureJSON takes a signature as a text, or as text and HTML.
type signatureJSON channel.Signature

func (s *signatureJSON) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &s.Text)
	}
	var o struct {
		Text string `json:"text"`
		HTML string `json:"html"`
	}
	if len(b) == 0 || b[0] != '{' || decodeJSON("signatures", b, &o) != nil {
		return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[string]()}
	}
	s.Text, s.HTML = o.Text, o.HTML
	return nil
}

// settingsIn are settings as they are given; nil fields stay as they are.
type settingsIn struct {
	Active         *bool   `json:"active"`
	Queue          *string `json:"queue"`
	PreferOnline   *bool   `json:"prefer_online"`
	WhenNoneOnline *string `json:"when_none_online"`
	NotifyAgent    *bool   `json:"notify_agent"`
	WriteFirst     *bool   `json:"write_first"`
	Undo           *string `json:"undo"`
	AutoReply      *struct {
		On      *bool   `json:"on"`
		Subject *string `json:"subject"`
		Body    *string `json:"body"`
	} `json:"auto_reply"`
	Signatures *struct {
		AgentsOn *bool                     `json:"agents_on"`
		CommonOn *bool                     `json:"common_on"`
		Common   *signatureJSON            `json:"common"`
		Agents   map[string]*signatureJSON `json:"agents"`
	} `json:"signatures"`
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func setText[T ~string](to *T, from *string) {
	if from != nil {
		*to = T(*from)
	}
}

const maxSignature = 64 << 10 // bytes

// merge puts what is given over s.
func (in *settingsIn) merge(s ticket.Settings) (ticket.Settings, error) {
	if in == nil {
		return s, nil
	}
	if in.Active != nil {
		s.Inactive = !*in.Active
	}
	if in.WriteFirst != nil {
		s.NoWriteFirst = !*in.WriteFirst
	}
	setText(&s.Queue, in.Queue)
	set(&s.PreferOnline, in.PreferOnline)
	setText(&s.WhenNoneOnline, in.WhenNoneOnline)
	set(&s.NotifyAgent, in.NotifyAgent)
	if in.Undo != nil {
		s.Undo = 0 // empty: the default
		if *in.Undo != "" {
			d, err := parseDuration("settings.undo", *in.Undo)
			if err != nil {
				return s, err
			}
			if s.Undo = d; d == 0 {
				s.Undo = -1 // none
			}
		}
	}
	if a := in.AutoReply; a != nil {
		set(&s.AutoReply.On, a.On)
		set(&s.AutoReply.Subject, a.Subject)
		set(&s.AutoReply.Body, a.Body)
	}
	return s, in.mergeSignatures(&s)
}

func (in *settingsIn) mergeSignatures(s *ticket.Settings) error {
	g := in.Signatures
	if g == nil {
		return nil
	}
	check := func(field string, sig signatureJSON) error {
		if len(sig.Text) > maxSignature || len(sig.HTML) > maxSignature {
			return badField(field, "must have at most %d bytes", maxSignature)
		}
		return nil
	}
	set(&s.Signatures.AgentsOn, g.AgentsOn)
	set(&s.Signatures.CommonOn, g.CommonOn)
	if g.Common != nil {
		if err := check("settings.signatures.common", *g.Common); err != nil {
			return err
		}
		s.Signatures.Common = channel.Signature(*g.Common)
	}
	if g.Agents == nil {
		return nil
	}
	own := map[routing.AgentID]channel.Signature{}
	for id, sig := range g.Agents {
		if sig == nil {
			continue
		}
		if err := check("settings.signatures.agents", *sig); err != nil {
			return err
		}
		own[routing.AgentID(id)] = channel.Signature(*sig)
	}
	s.Signatures.Agents = own
	return nil
}

type settingsJSON struct {
	Active         bool   `json:"active"`
	Queue          string `json:"queue"`
	PreferOnline   bool   `json:"prefer_online"`
	WhenNoneOnline string `json:"when_none_online"`
	NotifyAgent    bool   `json:"notify_agent"`
	WriteFirst     bool   `json:"write_first"`
	Undo           string `json:"undo"` // empty: the default
	AutoReply      struct {
		On      bool   `json:"on"`
		Subject string `json:"subject"`
		Body    string `json:"body"`
	} `json:"auto_reply"`
	Signatures struct {
		AgentsOn bool                                  `json:"agents_on"`
		CommonOn bool                                  `json:"common_on"`
		Common   channel.Signature                     `json:"common"`
		Agents   map[routing.AgentID]channel.Signature `json:"agents"`
	} `json:"signatures"`
}

func showSettings(s ticket.Settings) settingsJSON {
	out := settingsJSON{
		Active: !s.Inactive, Queue: string(s.Queue), PreferOnline: s.PreferOnline, WhenNoneOnline: string(s.WhenNoneOnline),
		NotifyAgent: s.NotifyAgent, WriteFirst: !s.NoWriteFirst,
	}
	if s.Undo != 0 {
		out.Undo = max(s.Undo, time.Duration(0)).String()
	}
	out.AutoReply.On, out.AutoReply.Subject, out.AutoReply.Body = s.AutoReply.On, s.AutoReply.Subject, s.AutoReply.Body
	out.Signatures.AgentsOn, out.Signatures.CommonOn, out.Signatures.Common = s.Signatures.AgentsOn, s.Signatures.CommonOn, s.Signatures.Common
	out.Signatures.Agents = s.Signatures.Agents
	if out.Signatures.Agents == nil {
		out.Signatures.Agents = map[routing.AgentID]channel.Signature{}
	}
	return out
}
