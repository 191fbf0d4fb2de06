package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

func (p *pages) channels(w http.ResponseWriter, r *http.Request) error {
	n, err := p.names(r.Context())
	if err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, "channels", "Channels", view{Data: n})
}

type channelData struct {
	names
	New      bool
	Hosted   bool
	Domain   string
	Channel  channelJSON
	Account  account.Account
	Facebook bool
	Page     facebook.Page
	Local    string
	Findings []channel.Finding
}

func (p *pages) newChannel(w http.ResponseWriter, r *http.Request) error {
	d := channelData{New: true, Channel: channelJSON{Settings: showSettings(ticket.Settings{})}}
	switch kind := r.URL.Query().Get("kind"); kind {
	case string(hosted.Kind), string(account.Kind):
		d.Channel.Kind = kind
	case string(facebook.Kind):
		return p.goTo(w, r, "/connect/facebook")
	case kindGmail:
		return notAvailableError{kind}
	default:
		return badField("kind", "there is no such kind")
	}
	return p.showChannelPage(w, r, http.StatusOK, d, "")
}

func (p *pages) showChannelPage(w http.ResponseWriter, r *http.Request, status int, d channelData, problem string) error {
	var err error
	if d.names, err = p.names(r.Context()); err != nil {
		return err
	}
	d.Hosted, d.Domain = d.Channel.Kind == string(hosted.Kind), p.host.opts.domain
	title := d.Channel.Address
	if d.New {
		title = "New email address"
	}
	return p.render(w, r, status, "channel", title, view{Problem: problem, Data: d})
}

func (p *pages) channel(w http.ResponseWriter, r *http.Request) error {
	return p.showSaved(w, r, channel.ID(r.PathValue("id")), http.StatusOK, nil, "")
}

func (p *pages) showSaved(w http.ResponseWriter, r *http.Request, id channel.ID, status int, findings []channel.Finding, problem string) error {
	c, err := p.desk.Channel(r.Context(), id)
	if err != nil {
		return err
	}
	d := channelData{Channel: showChannel(c), Findings: findings}
	d.Local, _, _ = strings.Cut(c.Address, "@")
	if c.Kind == account.Kind {
		if err := json.Unmarshal(c.Config, &d.Account); err != nil {
			return err
		}
	}
	if d.Facebook = c.Kind == facebook.Kind; d.Facebook {
		if err := json.Unmarshal(c.Config, &d.Page); err != nil {
			return err
		}
	}
	return p.showChannelPage(w, r, status, d, problem)
}

// rulesForm reads a Page's rules.
func rulesForm(f url.Values) map[string]any {
	on := func(name string) bool { return f.Get(name) == "on" }
	keywords := []string{}
	for _, k := range strings.FieldsFunc(f.Get("keywords"), func(r rune) bool { return r == ',' || r == '\n' }) {
		if k = strings.TrimSpace(k); k != "" {
			keywords = append(keywords, k)
		}
	}
	return map[string]any{"messages": on("messages"), "own_activity": on("own_activity"), "posts": f.Get("posts"),
		"visitor_posts": on("visitor_posts"), "comments": on("comments"), "keywords": keywords}
}

// channelForm reads what was posted in the shape of the API.
func channelForm(f url.Values, kind string) (channelIn, error) {
	text := func(name string) *string { v := strings.TrimSpace(f.Get(name)); return &v }
	on := func(name string) *bool { v := f.Get(name) == "on"; return &v }
	body := strings.ReplaceAll(f.Get("auto_body"), "\r\n", "\n")
	in := channelIn{Kind: kind, Name: text("name"), Settings: &settingsIn{
		Active: on("active"), Queue: text("queue"), PreferOnline: on("prefer_online"), WhenNoneOnline: text("when_none_online"),
		NotifyAgent: on("notify_agent"),
	}}
	in.Settings.AutoReply = &struct {
		On      *bool   `json:"on"`
		Subject *string `json:"subject"`
		Body    *string `json:"body"`
	}{on("auto_on"), text("auto_subject"), &body}
	config := map[string]any{}
	switch kind {
	case string(hosted.Kind):
		config["local_part"] = *text("local_part")
	case string(facebook.Kind):
		config["rules"] = rulesForm(f)
	default:
		in.Settings.WriteFirst, in.Settings.Undo = on("write_first"), text("undo")
		smtp := map[string]any{"host": *text("host"), "security": *text("security")}
		if port := f.Get("port"); port != "" {
			n, err := strconv.Atoi(port)
			if err != nil {
				return in, badField("config.smtp.port", "must be a number")
			}
			smtp["port"] = n
		}
		config = map[string]any{"address": *text("address"), "username": *text("username"), "smtp": smtp, "forwarded_to": *text("forwarded_to")}
		config["imap"] = nil // not, or no longer
		if f.Get("imap_on") == "on" {
			imap, err := imapFields(f)
			if err != nil {
				return in, err
			}
			config["imap"] = imap
		}
		if pw := f.Get("password"); pw != "" {
			config["password"] = pw
		}
		signatureForm(f, in.Settings)
	}
	var err error
	in.Config, err = json.Marshal(config)
	return in, err
}

func signatureForm(f url.Values, s *settingsIn) {
	agentsOn, commonOn := f.Get("agents_on") == "on", f.Get("common_on") == "on"
	lf := func(name string) string { return strings.ReplaceAll(f.Get(name), "\r\n", "\n") }
	own := map[string]*signatureJSON{}
	for name := range f {
		if id, ok := strings.CutPrefix(name, "signature:"); ok && strings.TrimSpace(f.Get(name)) != "" {
			own[id] = &signatureJSON{Text: lf(name)}
		}
	}
	s.Signatures = &struct {
		AgentsOn *bool                     `json:"agents_on"`
		CommonOn *bool                     `json:"common_on"`
		Common   *signatureJSON            `json:"common"`
		Agents   map[string]*signatureJSON `json:"agents"`
	}{&agentsOn, &commonOn, &signatureJSON{Text: lf("common")}, own}
}

func (p *pages) addChannel(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	kind := r.PostForm.Get("kind")
	in, err := channelForm(r.PostForm, kind)
	if err == nil {
		var c *ticket.Channel
		if c, err = p.connect(r, in); err == nil {
			return p.checked(w, r, c.ID)
		}
	}
	e := classify(err)
	if e.status >= 500 {
		return err
	}
	// What was typed is shown again, but for the password.
	d := channelData{New: true, Local: r.PostForm.Get("local_part"), Channel: channelJSON{Kind: kind, Name: r.PostForm.Get("name")}}
	d.Account = account.Account{Address: r.PostForm.Get("address"), Username: r.PostForm.Get("username"),
		SMTP: account.Server{Host: r.PostForm.Get("host"), Security: account.Security(r.PostForm.Get("security"))}}
	d.Account.SMTP.Port, _ = strconv.Atoi(r.PostForm.Get("port"))
	d.Account.IMAP = typedIMAP(r.PostForm)
	if merged, err := in.Settings.merge(ticket.Settings{}); err == nil {
		d.Channel.Settings = showSettings(merged)
	}
	return p.showChannelPage(w, r, e.status, d, e.Message)
}

func (p *pages) saveChannel(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	id := channel.ID(r.PathValue("id"))
	old, err := p.desk.Channel(r.Context(), id)
	if err != nil {
		return err
	}
	err = func() error {
		in, err := channelForm(r.PostForm, string(old.Kind))
		if err != nil {
			return err
		}
		settings, err := in.Settings.merge(old.Settings)
		if err != nil {
			return err
		}
		cfg, err := patchConfig(old, in.Config)
		if err != nil {
			return err
		}
		_, err = p.desk.Update(r.Context(), id, ticket.ChannelPatch{Name: in.Name, Settings: &settings, Config: cfg})
		return configError(string(old.Kind), err)
	}()
	if err == nil {
		return p.checked(w, r, id)
	}
	e := classify(err)
	if e.status >= 500 {
		return err
	}
	return p.showSaved(w, r, id, e.status, nil, e.Message)
}

// checked shows a channel with what a check of it finds.
func (p *pages) checked(w http.ResponseWriter, r *http.Request, id channel.ID) error {
	findings, err := p.desk.Check(r.Context(), id)
	if err != nil {
		return err
	}
	return p.showSaved(w, r, id, http.StatusOK, findings, "")
}

func (p *pages) check(w http.ResponseWriter, r *http.Request) error {
	return p.checked(w, r, channel.ID(r.PathValue("id")))
}

func (p *pages) removeChannel(w http.ResponseWriter, r *http.Request) error {
	if err := p.desk.Disconnect(r.Context(), channel.ID(r.PathValue("id"))); err != nil {
		return err
	}
	return p.goTo(w, r, "/channels")
}

func (p *pages) people(w http.ResponseWriter, r *http.Request) error {
	return p.showPeople(w, r, http.StatusOK, "")
}

func (p *pages) showPeople(w http.ResponseWriter, r *http.Request, status int, problem string) error {
	n, err := p.names(r.Context())
	if err != nil {
		return err
	}
	return p.render(w, r, status, "people", "Agents and queues", view{Problem: problem, Data: n})
}

func (p *pages) afterPeople(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		return p.goTo(w, r, "/people")
	}
	e := classify(err)
	if e.status >= 500 {
		return err
	}
	return p.showPeople(w, r, e.status, e.Message)
}

func (p *pages) saveAgent(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	f := r.PostForm
	in := agentIn{Name: strings.TrimSpace(f.Get("name")), Email: strings.TrimSpace(f.Get("email"))}
	id := strings.TrimSpace(f.Get("id"))
	// What the form does not show stays.
	agents, err := p.desk.Agents(r.Context())
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(agents, func(a ticket.AgentStatus) bool { return string(a.ID) == id }); i >= 0 {
		in.Skills = agents[i].Skills
	}
	if c := f.Get("capacity"); c != "" {
		if in.Capacity, err = strconv.Atoi(c); err != nil {
			return p.afterPeople(w, r, badField("capacity", "must be a number"))
		}
	}
	a, err := in.agent(id)
	pw := f.Get("password")
	if err == nil && pw != "" {
		err = checkPassword(pw)
	}
	if err == nil {
		err = p.desk.PutAgent(r.Context(), a)
	}
	if err == nil && pw != "" {
		err = p.logins.set(r.Context(), a.ID, pw)
	}
	return p.afterPeople(w, r, err)
}

func (p *pages) saveQueue(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	f := r.PostForm
	id := routing.QueueID(strings.TrimSpace(f.Get("id")))
	queues, err := p.desk.Queues(r.Context())
	if err != nil {
		return err
	}
	q := routing.Queue{ID: id}
	if i := slices.IndexFunc(queues, func(q routing.Queue) bool { return q.ID == id }); i >= 0 {
		q = queues[i] // what the form does not show stays
	}
	q.Name, q.Policy, q.PreferOnline = strings.TrimSpace(f.Get("name")), f.Get("policy"), f.Get("prefer_online") == "on"
	q.WhenNoneOnline, q.Agents = routing.WhenNoneOnline(f.Get("when_none_online")), nil
	for _, a := range f["agents"] {
		q.Agents = append(q.Agents, routing.AgentID(a))
	}
	return p.afterPeople(w, r, p.desk.PutQueue(r.Context(), q))
}
