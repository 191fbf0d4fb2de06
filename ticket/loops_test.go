package ticket_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// A month in virtual time, in which machines write to us and to each other and
// people write all the while. What we send by ourselves stays under the caps
// of [ticket.Caps]; all that people write is taken in.

const (
	month    = 30 * 24 * time.Hour
	everyDay = 24 * time.Hour
)

// months is an office whose machines have nobody to poll for.
func months(t *testing.T, change func(*ticket.Config), f func(o *office)) {
	t.Helper()
	inOffice(t, func(c *ticket.Config) {
		c.Timing.Poll, c.Timing.Refresh = 1000*time.Hour, 1000*time.Hour
		if change != nil {
			change(c)
		}
	}, f)
}

// daily lets a month go by, in steps; each day a person writes too, and all
// that people wrote are messages at its end.
func daily(o *office, every time.Duration, do func(n int)) {
	o.t.Helper()
	began, people := time.Now(), 0
	for n := 0; time.Since(began) < month; n++ {
		if time.Since(began) >= time.Duration(people)*everyDay {
			o.deliver(box, mail(fmt.Sprintf("person%02d@people%02d.example", people, people), fmt.Sprint("person", people)))
			people++
		}
		do(n)
		time.Sleep(every)
	}
	o.settle()
	require.Equal(o.t, 30, people)
	for i := range people {
		found, _, err := o.desk.Search(o.ctx, fmt.Sprintf("person%02d@people%02d.example", i, i), ticket.Page{})
		require.NoError(o.t, err)
		require.Len(o.t, found, 1, "person %d", i)
	}
	require.NoError(o.t, checkLoads(o.ctx, o.desk))
}

// automatic are the automatic replies of a box to whoever counts as the same by
// the function, the most in any time as long as the window.
func automatic(sent []channeltest.Sent, window time.Duration, who func(recipient string) string) (most int) {
	at := map[string][]time.Time{}
	for _, s := range sent {
		if s.Out.Automatic == channel.ByPerson {
			continue
		}
		for _, r := range s.Recipients {
			at[who(r)] = append(at[who(r)], s.Out.Date)
		}
	}
	for _, times := range at {
		slices.SortFunc(times, time.Time.Compare)
		first := 0
		for i, t := range times {
			for !times[first].After(t.Add(-window)) {
				first++
			}
			most = max(most, i-first+1)
		}
	}
	return most
}

func itself(r string) string { return r }

func domain(r string) string { return r[strings.IndexByte(r, '@'):] }

func everybody(string) string { return "" }

// documented are the defaults of [ticket.Caps] as its documentation has them.
func documented(t *testing.T) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "caps.go", nil, parser.ParseComments)
	require.NoError(t, err)
	out := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Caps" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			m := regexp.MustCompile(`default (\d+)`).FindStringSubmatch(field.Comment.Text())
			require.NotNil(t, m, "%s has a documented default", field.Names[0])
			out[field.Names[0].Name], err = strconv.Atoi(m[1])
			require.NoError(t, err)
		}
		return false
	})
	require.Len(t, out, reflect.TypeFor[ticket.Caps]().NumField())
	return out
}

// requireCaps holds the documented defaults of Caps against what was sent. Those
// that are named were reached, and held exactly.
func requireCaps(o *office, box string, reached ...string) []channeltest.Sent {
	o.t.Helper()
	sent, caps := o.net.Sent(box), documented(o.t)
	tickets, most := map[ticket.TicketID]int{}, 0
	for _, s := range sent {
		if s.Out.Automatic == channel.ByPerson || s.Box != box {
			continue
		}
		if m, err := o.desk.Message(o.ctx, ticket.MessageID(s.Out.ID)); err == nil {
			tickets[m.Ticket]++
			most = max(most, tickets[m.Ticket])
		}
	}
	requireReached(o.t, caps, map[string]int{
		"AddressHour": automatic(sent, time.Hour, itself),
		"AddressDay":  automatic(sent, everyDay, itself),
		"DomainHour":  automatic(sent, time.Hour, domain),
		"ChannelHour": automatic(sent, time.Hour, everybody),
		"Ticket":      most,
	}, reached)
	return sent
}

// requireNoticeCaps does the same for notices that one relay was given.
func requireNoticeCaps(o *office, sent []channeltest.Sent, reached ...string) {
	o.t.Helper()
	requireReached(o.t, documented(o.t), map[string]int{
		"NoticeAgentHour":   automatic(sent, time.Hour, itself),
		"NoticeAgentDay":    automatic(sent, everyDay, itself),
		"NoticeDomainHour":  automatic(sent, time.Hour, domain),
		"NoticeChannelHour": automatic(sent, time.Hour, everybody),
	}, reached)
}

func requireReached(t *testing.T, caps, counted map[string]int, reached []string) {
	t.Helper()
	for name, n := range counted {
		if slices.Contains(reached, name) {
			require.Equal(t, caps[name], n, name)
		}
		require.LessOrEqual(t, n, caps[name], name)
	}
}

// answers gives each new message of a box to f, once.
func answers(o *office, box string) func(f func(s channeltest.Sent)) {
	seen := 0
	return func(f func(s channeltest.Sent)) {
		for _, s := range o.net.Sent(box)[seen:] {
			seen++
			f(s)
		}
	}
}

// Two portals of ours answer each other over a relay that strips what marks
// our mails as automatic, and rewrites their ids.
func TestTwoAutoRespondersFacingEachOther(t *testing.T) {
	const theirs = "help@theirs.example"
	months(t, nil, func(o *office) {
		o.mailbox(box, answering())
		them := &office{t: t, ctx: o.ctx, back: o.back, net: o.net, cfg: o.cfg}
		them.cfg.Store, them.cfg.Portal = o.back.Portal("theirs"), "theirs"
		them.open()
		defer func() { them.stop() }()
		them.mailbox(theirs, ticket.Settings{AutoReply: ticket.AutoReply{On: true, Body: "Got it"}})
		ours, others := answers(o, box), answers(o, theirs)
		n := 0
		relay := func(from, to string, s channeltest.Sent) {
			if s.Recipients[0] != to {
				return
			}
			n++
			_, err := o.net.Write(o.ctx, to, channel.Message{From: channel.Party{Address: from}, Subject: s.Out.Subject, Text: s.Out.Text, ExternalID: fmt.Sprintf("relayed%d@relay", n)})
			require.NoError(t, err)
		}
		o.deliver(box, mail(theirs, "start"))
		daily(o, 10*time.Minute, func(n int) {
			ours(func(s channeltest.Sent) { relay(box, theirs, s) })
			others(func(s channeltest.Sent) { relay(theirs, box, s) })
			if n%144 == 0 { // and it begins anew each day
				o.deliver(box, mail(theirs, fmt.Sprint("day", n)))
			}
		})
		sent := requireCaps(o, box, "AddressHour", "Ticket")
		require.LessOrEqual(t, len(requireCaps(them, theirs, "AddressHour", "Ticket")), 31*4)
		require.Greater(t, n, 30, "they did face each other")
		require.Greater(t, len(sent), 30, "people are answered")
		require.NoError(t, checkLoads(o.ctx, them.desk))
		l := o.ledger()
		require.Equal(t, l.Received, l.Messages)
	})
}

func TestARobotWithoutHeadersAnswersAllThatItGets(t *testing.T) {
	months(t, nil, func(o *office) {
		o.mailbox(box, answering())
		news, wrote := answers(o, box), 30
		daily(o, 20*time.Minute, func(n int) {
			news(func(s channeltest.Sent) {
				if s.Recipients[0] != "robot@machines.example" {
					return
				}
				m := s.Answer("I am not here")
				m.Evidence, m.ExternalID = channel.Evidence{}, fmt.Sprintf("robot%d@machines", wrote) // it knows no threads
				o.deliver(box, m)
				wrote++
			})
			if n%3 == 0 {
				o.deliver(box, mail("robot@machines.example", fmt.Sprint("alert", n)))
				wrote++
			}
		})
		sent := requireCaps(o, box, "AddressHour", "AddressDay", "Ticket")
		require.LessOrEqual(t, len(sent), 30+31*4)
		l := o.ledger()
		require.EqualValues(t, wrote, l.Messages, "its mails are taken in too")
		require.EqualValues(t, wrote, l.Received)
	})
}

func TestARobotThatRotatesItsAddress(t *testing.T) {
	months(t, nil, func(o *office) {
		o.mailbox(box, answering())
		wrote := 30
		daily(o, 6*time.Hour, func(n int) {
			switch {
			case n%12 == 1: // addresses of one domain, more than an hour allows
				for i := range 60 {
					o.deliver(box, mail(fmt.Sprintf("r%d.%d@rotating.example", n, i), fmt.Sprint("a", n, ".", i)))
					wrote++
				}
			case n == 50: // and domains
				for i := range 530 {
					o.deliver(box, mail(fmt.Sprintf("r@rotating%d.example", i), fmt.Sprint("d", i)))
					wrote++
				}
			}
		})
		requireCaps(o, box, "DomainHour", "ChannelHour", "Ticket")
		l := o.ledger()
		require.EqualValues(t, wrote, l.Messages)
		require.EqualValues(t, wrote, l.Received)
	})
}

// A customer whose address bounces: the reports are proper, or a machine's own
// prose that nobody recognises.
func TestACustomerThatBounces(t *testing.T) {
	months(t, nil, func(o *office) {
		o.mailbox(box, answering())
		news, reports, prose, wrote := answers(o, box), 0, 0, 30
		daily(o, time.Hour, func(n int) {
			news(func(s channeltest.Sent) {
				if domain(s.Recipients[0]) != "@bouncing.example" {
					return
				}
				if reports++; reports%2 == 0 {
					it := s.News(channel.UpdateBounce, channel.RecipientStatus{Address: s.Recipients[0], Status: "5.1.1", Permanent: true})
					it.Message = &channel.Message{From: from("mailer-daemon@bouncing.example"), Automatic: channel.Automatic{Kind: channel.AutomaticBounce}}
					require.NoError(t, o.net.Deliver(o.ctx, box, it))
					return
				}
				m := s.Answer("Your mail could not be put into a box")
				m.From = from("postmaster@bouncing.example")
				o.deliver(box, m)
				prose++
			})
			if n%6 == 0 {
				o.deliver(box, mail("gone@bouncing.example", fmt.Sprint("gone", n)))
				wrote++
			}
		})
		sent := requireCaps(o, box, "AddressHour", "AddressDay", "Ticket")
		require.Positive(t, prose)
		require.LessOrEqual(t, len(sent), 30+31*4*2)
		l := o.ledger()
		require.EqualValues(t, wrote+prose, l.Messages)
		require.EqualValues(t, reports-prose, l.Applied)
		require.Equal(t, l.Messages+l.Applied, l.Received)
	})
}

// An agent whose address bounces: the notices of their tickets come back.
func TestAnAgentWhoseAddressBounces(t *testing.T) {
	system := channeltest.NewNetwork()
	const relay = "relay@portal.example"
	months(t, func(c *ticket.Config) {
		s, err := system.Open(t.Context(), channel.Account{ID: "sys", Kind: channeltest.KindMemory,
			Config: []byte(`{"address":"` + relay + `","mail":true,"send_only":true}`)}, channel.Env{})
		require.NoError(t, err)
		c.System = s.(channel.Sender)
	}, func(o *office) {
		s := answering()
		s.NotifyAgent = true
		o.mailbox(box, s)
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
		bounced := 0
		daily(o, time.Hour, func(int) {
			for _, s := range system.Sent(relay)[bounced:] {
				bounced++
				it := s.News(channel.UpdateBounce, channel.RecipientStatus{Address: s.Recipients[0], Status: "5.2.2", Permanent: true})
				it.Message = &channel.Message{From: from("mailer-daemon@office.example"), Automatic: channel.Automatic{Kind: channel.AutomaticBounce}}
				require.NoError(t, o.net.Deliver(o.ctx, box, it))
			}
		})
		require.Len(t, system.Sent(relay), 30, "one notice for each ticket, and none for the bounces")
		require.Len(t, o.tickets(), 30)
		l := o.ledger()
		require.Equal(t, map[channel.Cause]int64{channel.CauseUnmatched: 30}, l.Quarantined)
		require.EqualValues(t, 60, l.Received)
	})
}

// A relay that answers each notice in prose, twice and an hour later, from one
// address or from new ones. Each answer is a ticket, and so would be the next
// notice.
func TestAnAgentsRelayThatAnswersNoticesInProse(t *testing.T) {
	caps := documented(t)
	for name, tt := range map[string]struct {
		from    func(n int) string
		reached []string
		day     int // notices of the relay's answers in a day
	}{
		"from one address": {
			func(int) string { return "postmaster@relay.example" }, nil, caps["NoticeCustomerDay"]},
		"from many addresses and domains": {
			func(n int) string { return fmt.Sprintf("bounce-%d@relay%d.example", n, n/3) }, []string{"NoticeAgentHour", "NoticeAgentDay"}, caps["NoticeAgentDay"]},
	} {
		t.Run(name, func(t *testing.T) {
			var system *channeltest.Network
			months(t, func(c *ticket.Config) { system, c.System = systemSender(t) }, func(o *office) {
				require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
				o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
				seen, answers := 0, 0
				daily(o, time.Hour, func(int) {
					for range system.Sent(sys)[seen:] {
						seen++
						for range 2 {
							answers++
							o.deliver(box, mail(tt.from(answers), fmt.Sprint("prose", answers)))
						}
					}
				})
				sent := system.Sent(sys)
				requireNoticeCaps(o, sent, tt.reached...)
				most := automatic(sent, everyDay, everybody)
				require.True(t, most == tt.day || most == tt.day+1, "%d in a day, with that of the person who wrote", most)
				l := o.ledger()
				require.EqualValues(t, 30+answers, l.Messages, "all is taken in")
				require.Equal(t, l.Messages, l.Received)
			})
		})
	}
}

// A mailing list with our address in it, and that of a customer: it sends back
// all that we write, as it came or under a new id.
func TestAMailingListThatReflectsOurMails(t *testing.T) {
	months(t, nil, func(o *office) {
		o.mailbox(box, answering())
		news, same, rewritten, posts := answers(o, box), 0, 0, 0
		daily(o, time.Hour, func(n int) {
			news(func(s channeltest.Sent) {
				if s.Recipients[0] != "list@lists.example" {
					return
				}
				m := s.Answer(s.Out.Text)
				m.From, m.To = channel.Party{Address: box}, s.Out.To
				m.Automatic = channel.Automatic{Kind: channel.AutomaticList, Reason: "List-Id"}
				if same <= rewritten {
					m.ExternalID, m.Evidence = s.ExternalID, channel.Evidence{Self: s.Out.Token}
					same++
				} else {
					m.From = from("list@lists.example")
					rewritten++
				}
				o.deliver(box, m)
			})
			if n%12 == 0 {
				// A post by a member, that comes by the list without a mark.
				m := mail("member@members.example", fmt.Sprint("post", n))
				m.ReplyTo = []channel.Party{{Address: "list@lists.example"}}
				o.deliver(box, m)
				posts++
			}
		})
		sent := requireCaps(o, box, "AddressHour", "Ticket")
		require.LessOrEqual(t, len(sent), 30+31*4)
		require.Positive(t, rewritten)
		l := o.ledger()
		require.Equal(t, map[channel.Cause]int64{channel.CauseOwn: int64(same)}, l.Ignored)
		require.EqualValues(t, 30+posts+rewritten, l.Messages)
		require.EqualValues(t, 30+posts+rewritten+same, l.Received)
		require.Len(t, o.allTickets(), 30+posts, "what was reflected opened no ticket")
	})
}

// allTickets lists all tickets, over all pages.
func (o *office) allTickets() []*ticket.Ticket {
	o.t.Helper()
	var out []*ticket.Ticket
	var after ticket.Next
	for {
		ts, next, err := o.desk.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{Limit: 500, After: after})
		require.NoError(o.t, err)
		out = append(out, ts...)
		if after = next; next == "" {
			return out
		}
	}
}
