package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

type channelJSON struct {
	ID             string          `json:"id"`
	Kind           string          `json:"kind"`
	Name           string          `json:"name"`
	Address        string          `json:"address"`
	CreatedAt      *time.Time      `json:"created_at"`
	CanReceive     bool            `json:"can_receive"`
	CanSend        bool            `json:"can_send"`
	CanStart       bool            `json:"can_start"`
	Can            []channel.Verb  `json:"can"`
	ForwardAddress string          `json:"forward_address"`
	ForwardedTo    string          `json:"forwarded_to,omitempty"`
	Status         statusJSON      `json:"status"`
	Settings       settingsJSON    `json:"settings"`
	Config         json.RawMessage `json:"config,omitempty"` // without secrets
}

type statusJSON struct {
	State    string     `json:"state"`
	Since    *time.Time `json:"since"`
	Reason   string     `json:"reason"`
	LastSeen *time.Time `json:"last_seen"`
	NextTry  *time.Time `json:"next_try"`
}

func showChannel(c *ticket.Channel) channelJSON {
	return channelJSON{
		ID: string(c.ID), Kind: string(c.Kind), Name: c.Name, Address: c.Address, CreatedAt: stamp(c.CreatedAt),
		CanReceive: c.CanReceive || c.ReceivesVia != "", CanSend: c.CanSend, CanStart: c.CanStart, Can: list(c.Can),
		ForwardAddress: c.ForwardAddress, ForwardedTo: string(c.ReceivesVia),
		Status: statusJSON{State: string(c.Status.State), Since: stamp(c.Status.Since), Reason: c.Status.Reason,
			LastSeen: stamp(c.Status.LastSeen), NextTry: stamp(c.Status.NextTry)},
		Settings: showSettings(c.Settings), Config: c.Config,
	}
}

// channelIn is a channel as it is given.
type channelIn struct {
	Kind     string          `json:"kind"`
	Name     *string         `json:"name"`
	Config   json.RawMessage `json:"config"`
	Settings *settingsIn     `json:"settings"`
}

// fields that stand beside the configuration in a channel.
var besideConfig = []string{"kind", "name", "settings"}

func (s *server) getChannels(w http.ResponseWriter, r *http.Request) error {
	channels, err := s.desk.Channels(r.Context())
	if err != nil {
		return err
	}
	out := []channelJSON{}
	for _, c := range channels {
		out = append(out, showChannel(c))
	}
	return answer(w, http.StatusOK, map[string]any{"channels": out})
}

func (s *server) getChannel(w http.ResponseWriter, r *http.Request) error {
	c, err := s.desk.Channel(r.Context(), channel.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showChannel(c))
}

func (s *server) postChannel(w http.ResponseWriter, r *http.Request) error {
	var in channelIn
	if err := decode(r, &in); err != nil {
		return err
	}
	c, err := s.connect(r, in)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, showChannel(c))
}

// connect makes a channel, and waits until it takes mail if it is to.
func (s *server) connect(r *http.Request, in channelIn) (*ticket.Channel, error) {
	if in.Kind == string(facebook.Kind) && s.host.facebook == nil {
		return nil, notAvailableError{"kind " + in.Kind + " (no FACEBOOK_APP_ID is set)"}
	}
	name := ""
	setText(&name, in.Name)
	cfg, err := readConfig(in.Kind, name, in.Config)
	if err != nil {
		return nil, err
	}
	settings, err := in.Settings.merge(ticket.Settings{})
	if err != nil {
		return nil, err
	}
	c, err := s.desk.Connect(r.Context(), cfg, settings)
	if err != nil {
		return nil, configError(in.Kind, err)
	}
	return s.settle(r, c)
}

// settle waits until a mailbox that was just made or changed takes mail; the
// mailbox of a pair is opened anew when the pair is made.
func (s *server) settle(r *http.Request, c *ticket.Channel) (*ticket.Channel, error) {
	for _, id := range []channel.ID{c.ID, c.ReceivesVia} {
		if id != "" {
			s.host.awaitMailbox(r.Context(), id)
		}
	}
	if c.Kind == account.Kind {
		s.checkLater(c.ID)
	}
	return s.desk.Channel(r.Context(), c.ID)
}

// checkLater checks an account that was just saved, so that its status tells
// what is wrong without anybody asking.
func (s *server) checkLater(id channel.ID) {
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.background.Go(func() {
			select {
			case <-s.stopped:
				cancel()
			case <-ctx.Done():
			}
		})
		if _, err := s.desk.CheckConnection(ctx, id); err != nil && ctx.Err() == nil {
			s.log.Warn("check a channel", "channel", id, "error", err)
		}
	})
}

func (s *server) patchChannel(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name     *string         `json:"name"`
		Config   json.RawMessage `json:"config"`
		Settings *settingsIn     `json:"settings"`
	}
	id := channel.ID(r.PathValue("id"))
	if err := decode(r, &in); err != nil {
		return err
	}
	// What is given is merged over what is there: one change at a time.
	s.patching.Lock()
	defer s.patching.Unlock()
	old, err := s.desk.Channel(r.Context(), id)
	if err != nil {
		return err
	}
	patch := ticket.ChannelPatch{Name: in.Name}
	if in.Settings != nil {
		merged, err := in.Settings.merge(old.Settings)
		if err != nil {
			return err
		}
		patch.Settings = &merged
	}
	if len(in.Config) > 0 && string(in.Config) != "null" {
		if patch.Config, err = patchConfig(old, in.Config); err != nil {
			return err
		}
	}
	c, err := s.desk.Update(r.Context(), id, patch)
	if err != nil {
		return configError(string(old.Kind), err)
	}
	if c, err = s.settle(r, c); err != nil {
		return err
	}
	return answer(w, http.StatusOK, showChannel(c))
}

func (s *server) deleteChannel(w http.ResponseWriter, r *http.Request) error {
	if err := s.desk.Disconnect(r.Context(), channel.ID(r.PathValue("id"))); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) checkChannel(w http.ResponseWriter, r *http.Request) error {
	findings, err := s.desk.Check(r.Context(), channel.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"findings": list(findings)})
}

// backfillChannel fetches again what the channel's source still shows.
func (s *server) backfillChannel(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Since string `json:"since"`
	}
	id := channel.ID(r.PathValue("id"))
	if _, err := s.desk.Channel(r.Context(), id); err != nil {
		return err
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	since, err := parseTime("since", in.Since)
	if err != nil {
		return err
	}
	if since.IsZero() {
		return badField("since", "must be a time in RFC 3339")
	}
	if err := s.desk.Backfill(r.Context(), id, since); err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"result": "done"})
}
