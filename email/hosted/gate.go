package hosted

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxPeers bounds how many addresses a gate remembers.
const maxPeers = 1 << 16

// gate counts connections, overall and by address.
type gate struct {
	limits *Limits
	now    func() time.Time
	local  bool // LMTP: one trusted peer

	mu    sync.Mutex
	open  int
	peers map[netip.Prefix]*caller
}

type caller struct {
	open   int
	since  time.Time // start of the minute that opened counts
	opened int
}

// admit counts a connection from addr, or says why it must be refused. Each
// admitted connection must leave.
func (g *gate) admit(addr netip.Prefix) (reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= g.limits.Connections {
		return "Too many connections, try again later"
	}
	if g.local || !addr.IsValid() {
		g.open++
		return ""
	}
	p := g.caller(addr)
	if rate := g.limits.ConnectionRate; rate > 0 && p.opened >= rate {
		return "Too many connections in a minute, try again later"
	}
	p.opened++
	if per := g.limits.ConnectionsPerIP; per > 0 && p.open >= per {
		return "Too many connections from your address"
	}
	p.open++
	g.open++
	return ""
}

func (g *gate) leave(addr netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if p := g.peers[addr]; p != nil && !g.local {
		p.open--
	}
}

// shun keeps addr away for the rest of its minute.
func (g *gate) shun(addr netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.peers[addr]; p != nil {
		p.since = g.now()
		p.opened = max(p.opened, g.limits.ConnectionRate)
	}
}

func (g *gate) caller(addr netip.Prefix) *caller {
	now := g.now()
	p := g.peers[addr]
	if p == nil {
		if len(g.peers) >= maxPeers {
			g.prune(now)
		}
		p = &caller{since: now}
		if g.peers == nil {
			g.peers = make(map[netip.Prefix]*caller)
		}
		g.peers[addr] = p
	}
	if now.Sub(p.since) >= time.Minute {
		p.since, p.opened = now, 0
	}
	return p
}

// prune forgets addresses that have nothing to remember, and where that is not
// enough, some that have: a flood of addresses must not keep others out.
func (g *gate) prune(now time.Time) {
	for addr, p := range g.peers {
		if p.open == 0 && now.Sub(p.since) >= time.Minute {
			delete(g.peers, addr)
		}
	}
	for addr, p := range g.peers {
		if len(g.peers) <= maxPeers*7/8 {
			return
		}
		if p.open == 0 {
			delete(g.peers, addr)
		}
	}
}

// remoteIP returns the address of a peer, without zone; invalid for a socket
// that has none.
func remoteIP(addr net.Addr) netip.Addr {
	if addr == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// network is what counts as one peer: an IPv4 address or an IPv6 /64.
func network(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
