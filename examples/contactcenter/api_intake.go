package main

import (
	"net/http"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

type itemJSON struct {
	ID          string     `json:"id"`
	Channel     string     `json:"channel"`
	Via         string     `json:"via"`
	Disposition string     `json:"disposition"`
	Cause       string     `json:"cause"`
	Detail      string     `json:"detail"`
	Message     string     `json:"message"`
	Size        int64      `json:"size"`
	ReceivedAt  *time.Time `json:"received_at"`
}

func showItem(i *ticket.Item) itemJSON {
	return itemJSON{ID: string(i.ID), Channel: string(i.Channel), Via: string(i.Via), Disposition: string(i.Disposition), Cause: string(i.Cause),
		Detail: i.Detail, Message: string(i.Message), Size: i.Raw.Size, ReceivedAt: stamp(i.ReceivedAt)}
}

func (s *server) getQuarantine(w http.ResponseWriter, r *http.Request) error {
	p, err := page(r)
	if err != nil {
		return err
	}
	items, next, err := s.desk.Quarantine(r.Context(), p)
	if err != nil {
		return err
	}
	out := []itemJSON{}
	for _, i := range items {
		out = append(out, showItem(i))
	}
	return answer(w, http.StatusOK, map[string]any{"items": out, "next": next})
}

func (s *server) releaseItem(w http.ResponseWriter, r *http.Request) error {
	i, err := s.desk.Release(r.Context(), actor(r), ticket.ItemID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showItem(i))
}

func (s *server) discardItem(w http.ResponseWriter, r *http.Request) error {
	i, err := s.desk.Discard(r.Context(), actor(r), ticket.ItemID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showItem(i))
}

func (s *server) getRawItem(w http.ResponseWriter, r *http.Request) error {
	body, err := s.desk.RawItem(r.Context(), ticket.ItemID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return downloadBody(w, "item", "application/octet-stream", body)
}

func (s *server) getLedger(w http.ResponseWriter, r *http.Request) error {
	var day time.Time
	if d := r.URL.Query().Get("day"); d != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, d); err != nil {
			return badField("day", "must be a day, such as 2026-01-31")
		}
	}
	l, err := s.desk.Ledger(r.Context(), channel.ID(r.URL.Query().Get("channel")), day)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, l)
}
