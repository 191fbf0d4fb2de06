package main

import (
	"context"
	"net/http"

	"github.com/anteroom/anteroom/ticket"
)

// getUndeliverable lists the addresses that are known not to exist, or says
// whether those of ?address= are among them.
func (s *server) getUndeliverable(w http.ResponseWriter, r *http.Request) error {
	all, err := s.desk.Undeliverable(r.Context(), r.URL.Query()["address"]...)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"undeliverable": list(all)})
}

func (s *server) forgetUndeliverable(w http.ResponseWriter, r *http.Request) error {
	if err := s.desk.ForgetUndeliverable(r.Context(), actor(r), r.PathValue("address")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// undeliverableOf is what is known of those to whom answers on a ticket go: its
// customer, and whom its messages were sent to.
func (s *server) undeliverableOf(ctx context.Context, t *ticketJSON, messages []*ticket.Message) ([]ticket.Undeliverable, error) {
	seen := map[string]bool{}
	var addresses []string
	add := func(address string) {
		if address != "" && !seen[address] {
			seen[address] = true
			addresses = append(addresses, address)
		}
	}
	if t.Contact != nil {
		add(t.Contact.Address)
	}
	for _, m := range messages {
		for _, d := range m.Deliveries {
			add(d.Recipient)
		}
	}
	if len(addresses) == 0 {
		return nil, nil
	}
	return s.desk.Undeliverable(ctx, addresses...)
}
