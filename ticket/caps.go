package ticket

import (
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Caps bound what the portal writes by itself, automatic replies and notices to
// agents, so that no loop with another machine can grow (RFC 3834 section 2).
// Zero fields have the defaults; negative ones mean none. An hour is any sixty
// minutes and a day any 24 hours; since they are counted in parts, what was sent
// may count for up to 15 minutes, or four hours, longer.
//
// What a cap stops is not sent later; [Desk.ExplainTicket] says which cap it
// was. Messages, tickets and assignments are what they are without it.
type Caps struct {
	// Automatic replies.

	AddressHour int           // to one address in an hour; default 1
	AddressDay  int           // to one address in a day; default 4
	DomainHour  int           // to one domain in an hour; default 50
	ChannelHour int           // of one channel in an hour; default 500
	Ticket      int           // on one ticket; default 1
	MaxAge      time.Duration // of a message on arrival; default 24 hours

	// Notices to agents by mail.

	NoticeAgentHour    int // to one agent in an hour; default 20
	NoticeAgentDay     int // to one agent in a day; default 100
	NoticeDomainHour   int // to the agents of one mail domain in an hour; default 200
	NoticeChannelHour  int // about one channel's work in an hour; default 200
	NoticeCustomerHour int // about one customer address in an hour; default 4
	NoticeCustomerDay  int // about one customer address in a day; default 20
}

func (c *Caps) complete() {
	orDefault(&c.AddressHour, 1)
	orDefault(&c.AddressDay, 4)
	orDefault(&c.DomainHour, 50)
	orDefault(&c.ChannelHour, 500)
	orDefault(&c.Ticket, 1)
	orDefault(&c.MaxAge, 24*time.Hour)
	orDefault(&c.NoticeAgentHour, 20)
	orDefault(&c.NoticeAgentDay, 100)
	orDefault(&c.NoticeDomainHour, 200)
	orDefault(&c.NoticeChannelHour, 200)
	orDefault(&c.NoticeCustomerHour, 4)
	orDefault(&c.NoticeCustomerDay, 20)
}

// capRule is a bound on what happens in a time, and its name in a trace. Each part
// of the clock has a counter of its own.
type capRule struct {
	rule  string
	count Count    // of the part that it is, with the bound
	past  []string // counters of the parts before it that count as well
	used  int64    // by all of them, see counted
	full  bool
}

// Parts of an hour and of a day. With shorter ones what is past is forgotten
// sooner, and there are more counters to read.
const (
	hourParts = 4
	dayParts  = 6
)

// hourCap and dayCap count what happens to who in an hour or a day. The scope
// keeps apart what different rules count.
func hourCap(rule, scope, who string, limit int, now time.Time) capRule {
	return windowCap(rule, scope+":"+who+":", limit, now, time.Hour, hourParts)
}

func dayCap(rule, scope, who string, limit int, now time.Time) capRule {
	return windowCap(rule, scope+":"+who+":", limit, now, 24*time.Hour, dayParts)
}

// windowCap bounds what happens in any time as long as the window: that touches at
// most as many parts as the window has, and one more.
func windowCap(rule, name string, limit int, now time.Time, window time.Duration, parts int) capRule {
	part := window / time.Duration(parts)
	counter := func(back int) string {
		return name + now.Add(-time.Duration(back)*part).UTC().Truncate(part).Format("2006-01-02T15:04")
	}
	r := capRule{rule: rule, count: Count{Name: counter(0), Add: 1, Max: int64(limit), Expires: now.Add(window + 2*part)}}
	for back := 1; back <= parts; back++ {
		r.past = append(r.past, counter(back))
	}
	return r
}

// bounding leaves out the rules that are switched off.
func bounding(rules ...capRule) []capRule {
	var out []capRule
	for _, r := range rules {
		if r.count.Max >= 0 {
			out = append(out, r)
		}
	}
	return out
}

// names are the counters' names.
func names(rules []capRule) []string {
	var out []string
	for _, r := range rules {
		out = append(append(out, r.count.Name), r.past...)
	}
	return out
}

// replies are the counters that an automatic reply to address adds to.
func (c Caps) replies(ch channel.ID, address string, t TicketID, now time.Time) []capRule {
	address = capAddress(address)
	domain := address[strings.LastIndexByte(address, '@')+1:]
	return bounding(
		hourCap("cap_address_hour", "auto:ah", address, c.AddressHour, now),
		dayCap("cap_address_day", "auto:ad", address, c.AddressDay, now),
		hourCap("cap_domain_hour", "auto:dh", domain, c.DomainHour, now),
		hourCap("cap_channel_hour", "auto:ch", string(ch), c.ChannelHour, now),
		capRule{rule: "cap_ticket", count: Count{Name: "auto:t:" + string(t) + ":", Add: 1, Max: int64(c.Ticket), Expires: now.Add(400 * 24 * time.Hour)}},
	)
}

// notices are the counters that a notice to an agent adds to, about work with a
// customer. What answers notices writes from some address, be it not the
// agent's: the caps by customer end that before an agent's own are used up.
func (c Caps) notices(agent routing.Agent, ch channel.ID, customer string, now time.Time) []capRule {
	to := capAddress(agent.Email)
	domain := to[strings.LastIndexByte(to, '@')+1:]
	rules := []capRule{
		hourCap("cap_notice_agent_hour", "notice:ah", string(agent.ID), c.NoticeAgentHour, now),
		dayCap("cap_notice_agent_day", "notice:ad", string(agent.ID), c.NoticeAgentDay, now),
		hourCap("cap_notice_domain_hour", "notice:dh", domain, c.NoticeDomainHour, now),
		hourCap("cap_notice_channel_hour", "notice:ch", string(ch), c.NoticeChannelHour, now),
	}
	if customer = capAddress(customer); customer != "" {
		rules = append(rules,
			hourCap("cap_notice_customer_hour", "notice:cuh", customer, c.NoticeCustomerHour, now),
			dayCap("cap_notice_customer_day", "notice:cud", customer, c.NoticeCustomerDay, now))
	}
	return bounding(rules...)
}

// counted returns the rules with what their counters say: what is past leaves the
// part that it is less.
func counted(rules []capRule, counters map[string]int64) []capRule {
	out := slices.Clone(rules)
	for i := range out {
		r := &out[i]
		var past int64
		for _, name := range r.past {
			past += counters[name]
		}
		r.used = past + counters[r.count.Name]
		r.full = r.used >= r.count.Max
		r.count.Max -= past
	}
	return out
}

// reached returns the first rule that is at its bound.
func reached(rules []capRule) (capRule, bool) {
	for _, r := range rules {
		if r.full {
			return r, true
		}
	}
	return capRule{}, false
}

// capAddress is the address that caps count by: lower case, without +tag, with
// the rewriting of forwarders (SRS) and bounce tags (BATV) undone, since else a
// forwarded sender looks new each day.
func capAddress(a string) string {
	a = strings.ToLower(strings.TrimSpace(a))
	if rest, ok := strings.CutPrefix(a, "prvs="); ok {
		if _, orig, ok := strings.Cut(rest, "="); ok {
			a = orig
		}
	}
	local, _, _ := strings.Cut(a, "@")
	if strings.HasPrefix(local, "srs0=") || strings.HasPrefix(local, "srs0+") || strings.HasPrefix(local, "srs0-") {
		// SRS0=hash=timestamp=domain=local
		if p := strings.SplitN(local[5:], "=", 4); len(p) == 4 {
			a = p[3] + "@" + p[2]
		}
	}
	return addressKey(a)
}
