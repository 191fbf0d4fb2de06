package hosted

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// account names a saved account over all portals.
type account struct {
	portal string
	id     channel.ID
}

func (a account) compare(b account) int {
	return cmp.Or(cmp.Compare(a.portal, b.portal), cmp.Compare(a.id, b.id))
}

// registration is one account and its openings, the one that counts last.
// Guarded by Server.mu.
type registration struct {
	account account
	boxes   []*box
	claims  []string // the addresses that are its own
}

func (r *registration) current() *box { return r.boxes[len(r.boxes)-1] }

// sink returns the sink of the latest opening that receives, or nil.
func (r *registration) sink() channel.Sink {
	for _, b := range slices.Backward(r.boxes) {
		if b.sink != nil {
			return b.sink
		}
	}
	return nil
}

// claim is what an address leads to.
type claim struct {
	reg     *registration
	forward *channel.Forward // set if the address is that of a pair
}

// target is a recipient that was found.
type target struct {
	reg     *registration
	box     *box // its opening at that time
	forward *channel.Forward
}

// register makes b the opening that counts of its account.
func (s *Server) register(b *box) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.addresses[b.address]; ok && c.reg.account != b.account {
		taken := &channel.FieldError{Field: "local_part", Problem: fmt.Sprintf("is taken: %s is another mailbox's address", b.address)}
		if c.forward == nil && c.reg.account.portal == b.account.portal {
			taken.Owner = c.reg.account.id
		}
		return taken
	}
	reg := s.registration(b.account)
	// What does not receive and counts no more is forgotten.
	reg.boxes = slices.DeleteFunc(reg.boxes, func(old *box) bool { return old.sink == nil })
	reg.boxes = append(reg.boxes, b)
	s.claim(reg)
	return nil
}

func (s *Server) registration(acct account) *registration {
	reg := s.registrations[acct]
	if reg == nil {
		reg = &registration{account: acct}
		if s.registrations == nil {
			s.registrations = make(map[account]*registration)
		}
		s.registrations[acct] = reg
	}
	return reg
}

// claim renews the addresses of reg from its current opening.
func (s *Server) claim(reg *registration) {
	for _, addr := range reg.claims {
		delete(s.addresses, addr)
	}
	reg.claims = nil
	if len(reg.boxes) == 0 {
		delete(s.registrations, reg.account)
		return
	}
	b := reg.current()
	take := func(addr string, c claim) {
		if _, taken := s.addresses[addr]; taken {
			return
		}
		if s.addresses == nil {
			s.addresses = make(map[string]claim)
		}
		s.addresses[addr] = c
		reg.claims = append(reg.claims, addr)
	}
	take(b.address, claim{reg: reg})
	for i := range b.forwards {
		f := &b.forwards[i]
		take(b.ForwardAddress(f.Token), claim{reg: reg, forward: f})
	}
}

// unregister takes b away. If its account has another opening left, that one
// counts again.
func (s *Server) unregister(b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.closed = true
	reg := s.registrations[b.account]
	if reg == nil || !slices.Contains(reg.boxes, b) {
		return
	}
	reg.boxes = slices.DeleteFunc(reg.boxes, func(o *box) bool { return o == b })
	s.claim(reg)
}

// receiving sets the sink of b, and takes it back in when it was forgotten.
func (s *Server) receiving(b *box, sink channel.Sink) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.closed {
		return false
	}
	b.sink = sink
	reg := s.registration(b.account)
	if !slices.Contains(reg.boxes, b) {
		reg.boxes = slices.Insert(reg.boxes, 0, b)
		s.claim(reg)
	}
	return true
}

// stopped ends the receiving of b. An earlier opening is then of no use.
func (s *Server) stopped(b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.sink = nil
	if reg := s.registrations[b.account]; reg != nil && reg.current() != b {
		reg.boxes = slices.DeleteFunc(reg.boxes, func(o *box) bool { return o == b })
	}
}

// lookup finds a recipient among what is registered.
func (s *Server) lookup(local, domain string) (target, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if local == "postmaster" || local == "abuse" {
		if reg := s.roleMailbox(domain); reg != nil {
			return target{reg: reg, box: reg.current()}, true
		}
		return target{}, false
	}
	c, ok := s.addresses[local+"@"+domain]
	if !ok {
		return target{}, false
	}
	return target{reg: c.reg, box: c.reg.current(), forward: c.forward}, true
}

// roleMailbox returns the mailbox for postmaster@ and abuse@ a domain: of those
// that receive, or else of all, the one with the lowest portal and id, so that
// every node and every start choose alike.
func (s *Server) roleMailbox(domain string) *registration {
	var best *registration
	for _, reg := range s.registrations {
		if reg.current().domain != domain {
			continue
		}
		if best == nil {
			best = reg
			continue
		}
		receives, had := reg.sink() != nil, best.sink() != nil
		if receives != had {
			if receives {
				best = reg
			}
		} else if reg.account.compare(best.account) < 0 {
			best = reg
		}
	}
	return best
}

// sinkOf returns the sink for a target as of now, or nil.
func (s *Server) sinkOf(t target) channel.Sink {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(t.reg.boxes) == 0 {
		return nil
	}
	return t.reg.sink()
}

// portalDomain returns the domain of a portal's mailboxes.
func (s *Server) portalDomain(portal string) string {
	if d, ok := s.Domains[portal]; ok {
		return normalizeDomain(d)
	}
	return normalizeDomain(s.Domain)
}

// foreignDomain reports whether domain is given to other portals only.
func (s *Server) foreignDomain(portal, domain string) bool {
	if s.portalDomain(portal) == domain {
		return false
	}
	if normalizeDomain(s.Domain) == domain {
		return true
	}
	for _, d := range s.Domains {
		if normalizeDomain(d) == domain {
			return true
		}
	}
	return false
}

// validToken reports whether a pair's token can stand in an address.
func validToken(token string) bool {
	return token != "" && len(forwardPrefix)+len(token) <= 64 &&
		strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
