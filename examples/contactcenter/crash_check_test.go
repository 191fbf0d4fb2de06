//go:build unix

package main

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// found is what the API says there is, after all crashes.
type found struct {
	letters      map[[sha256.Size]byte]int // by the sum of their bytes
	conversation map[*thread]string
	ticket       map[*thread]string
	incoming     int
	replies      map[string][]object // outgoing messages by their key
	automatic    map[string][]object // by recipient
	uncertain    int
}

// checkSite compares what everybody was told with what is there, and looks into
// the file.
func checkSite(s *site, senders []*sender, agents []*answerer, feed *follower) {
	t := s.t
	items := compareSite(s, senders, agents, feed)
	s.end()
	db := s.open("ro")
	defer db.Close()
	var sound string
	require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
	var kept int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM items").Scan(&kept))
	require.Equal(t, items, kept)
}

// compareSite compares what everybody was told with what is there. It returns how
// many items have come in.
func compareSite(s *site, senders []*sender, agents []*answerer, feed *follower) (items int) {
	t := s.t
	letters := map[[sha256.Size]byte]*sentMail{}
	for _, x := range senders {
		for _, l := range x.letters {
			require.True(t, l.acked)
			letters[l.sum()] = l
		}
	}
	f := readSite(s, letters)
	for sum, l := range letters {
		require.Equal(t, 1, f.letters[sum], "a mail of %s that was sent %d times", l.thread.from, l.tries)
	}
	require.Equal(t, len(letters), f.incoming, "nothing else came in")
	checkTickets(s, f)
	wanted := map[string]*reply{}
	for _, a := range agents {
		for _, w := range a.replies {
			wanted[w.key] = w
		}
	}
	for key, w := range wanted {
		require.Len(t, f.replies[key], 1, "answer %s", key)
		require.Equal(t, w.id, text(f.replies[key][0], "id"))
		require.Equal(t, w.ticket, text(f.replies[key][0], "ticket"))
	}
	require.Len(t, f.replies, len(wanted), "nobody else has answered")
	checkSink(s, f, wanted)
	events := checkFeed(s, feed)
	checkAutomatic(s, f, events)

	ledger := s.get("/api/ledger")
	for _, ch := range s.apart {
		subtract(ledger, s.get("/api/ledger?channel="+ch))
	}
	sum := number(ledger, "messages") + number(ledger, "applied") + number(ledger, "notices")
	for _, cause := range []string{"ignored", "quarantined"} {
		causes, _ := ledger[cause].(object)
		for c := range causes {
			sum += number(causes, c)
		}
	}
	require.Equal(t, number(ledger, "received"), sum, "the ledger adds up")
	require.Equal(t, len(letters), number(ledger, "messages"))
	require.Equal(t, len(letters), sum, "every mail is a message")
	require.Positive(t, number(ledger, "duplicates"), "some customers forgot that they were answered")
	t.Logf("killed %d times: %d mails in %d threads, %d duplicates; %d answers, %d automatic; %d uncertain; %d events; %d blobs",
		s.kills, len(letters), len(f.conversation), number(ledger, "duplicates"), len(wanted), len(f.automatic), f.uncertain, len(events), s.blobs())
	return sum + number(ledger, "duplicates")
}

// subtract takes away what is counted in other.
func subtract(o, other object) {
	for key, v := range other {
		switch v := v.(type) {
		case float64:
			n, _ := o[key].(float64)
			o[key] = n - v
		case object:
			if in, ok := o[key].(object); ok {
				subtract(in, v)
			}
		}
	}
}

func number(o object, key string) int {
	n, _ := o[key].(float64)
	return int(n)
}

// pages reads a list to its end.
func (s *site) pages(path, key string) (out []object) {
	s.t.Helper()
	for cursor := ""; ; {
		page := s.get(path + "?limit=200&cursor=" + url.QueryEscape(cursor))
		entries, _ := page[key].([]any)
		for _, e := range entries {
			o, _ := e.(object)
			out = append(out, o)
		}
		if cursor = text(page, "next"); cursor == "" {
			return out
		}
	}
}

// readSite reads all conversations with their messages, and the bytes of all.
func readSite(s *site, letters map[[sha256.Size]byte]*sentMail) *found {
	t := s.t
	f := &found{letters: map[[sha256.Size]byte]int{}, conversation: map[*thread]string{}, ticket: map[*thread]string{},
		replies: map[string][]object{}, automatic: map[string][]object{}}
	for _, c := range s.pages("/api/conversations", "conversations") {
		if slices.Contains(s.apart, text(c, "channel")) {
			continue
		}
		c = s.get("/api/conversations/" + text(c, "id"))
		require.NotEqual(t, true, c["more"])
		messages, _ := c["messages"].([]any)
		require.Len(t, messages, number(c, "message_count"))
		for _, m := range messages {
			m, _ := m.(object)
			require.Equal(t, text(c, "ticket"), text(m, "ticket"))
			if text(m, "direction") == "out" {
				f.outgoing(s, m)
				continue
			}
			f.incoming++
			sum := sha256.Sum256(s.download("/api/messages/" + text(m, "id") + "/raw"))
			l := letters[sum]
			require.NotNil(t, l, "message %s is what a customer wrote, byte for byte", text(m, "id"))
			f.letters[sum]++
			if old, ok := f.conversation[l.thread]; ok {
				require.Equal(t, old, text(c, "id"), "the thread of %s is one conversation", l.thread.from)
			}
			f.conversation[l.thread], f.ticket[l.thread] = text(c, "id"), text(c, "ticket")
			checkFile(s, m, l.file)
		}
	}
	return f
}

func (f *found) outgoing(s *site, m object) {
	if automatic, _ := m["automatic"].(bool); automatic {
		to := text(m, "to", 0, "address")
		f.automatic[to] = append(f.automatic[to], m)
		return
	}
	key := replyKey(text(m, "text"))
	require.NotEmpty(s.t, key, "message %s", text(m, "id"))
	f.replies[key] = append(f.replies[key], m)
}

// replyKey finds the key in an agent's answer.
func replyKey(s string) string {
	_, s, _ = strings.Cut(s, "answer ")
	s, _, _ = strings.Cut(s, ".")
	return s
}

// checkFile downloads what is attached to a message.
func checkFile(s *site, m object, want []byte) {
	s.t.Helper()
	files, _ := m["attachments"].([]any)
	if want == nil {
		require.Empty(s.t, files)
		return
	}
	require.Len(s.t, files, 1)
	got := s.download("/api/attachments/" + text(files[0], "id"))
	require.Equal(s.t, sha256.Sum256(want), sha256.Sum256(got), "the file of message %s", text(m, "id"))
}

// checkTickets wants one ticket for each conversation.
func checkTickets(s *site, f *found) {
	conversations, numbers, ids := map[string]*thread{}, map[int]bool{}, map[string]bool{}
	for t, c := range f.conversation {
		require.Nil(s.t, conversations[c], "two threads in one conversation")
		conversations[c] = t
	}
	tickets := s.pages("/api/tickets", "tickets")
	tickets = slices.DeleteFunc(tickets, func(k object) bool { return slices.Contains(s.apart, text(k, "channel")) })
	require.Len(s.t, tickets, len(f.conversation), "one ticket for each thread")
	for _, k := range tickets {
		th := conversations[text(k, "conversation")]
		require.NotNil(s.t, th)
		require.Equal(s.t, f.ticket[th], text(k, "id"))
		require.False(s.t, numbers[number(k, "number")], "numbers are unique")
		numbers[number(k, "number")] = true
		ids[text(k, "id")] = true
		require.NotEmpty(s.t, text(k, "assignee"), "it was given to somebody")
	}
	require.Len(s.t, ids, len(tickets))
}

// checkSink compares what left with what the server took: a message that is
// sent was taken once, one in doubt once or not at all.
func checkSink(s *site, f *found, wanted map[string]*reply) {
	t := s.t
	ids, taken := map[string]bool{}, map[string]int{}
	for _, m := range s.taken() {
		mail, err := m.Mail()
		require.NoError(t, err)
		require.False(t, ids[mail.MessageID], "%s was sent to %v twice", mail.MessageID, m.To)
		ids[mail.MessageID] = true
		key := replyKey(mail.Text)
		if key == "" {
			key = m.To[0]
		} else if w := wanted[key]; w != nil && w.file != nil {
			require.Len(t, mail.Attachments, 1)
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(w.file)), mail.Attachments[0].SHA256)
		}
		taken[key]++
	}
	check := func(key string, m object) {
		switch text(m, "state") {
		case "sent":
			require.Equal(t, 1, taken[key], "%s is sent", key)
			require.True(t, ids[text(m, "message_id")])
		case "uncertain":
			f.uncertain++
			require.LessOrEqual(t, taken[key], 1, "%s is uncertain", key)
		default:
			t.Errorf("%s is %s: %s", key, text(m, "state"), text(m, "state_detail"))
		}
		delete(taken, key)
	}
	for key, ms := range f.replies {
		check(key, ms[0])
		if w := wanted[key]; w != nil {
			checkFile(s, ms[0], w.file)
		}
	}
	for to, ms := range f.automatic {
		require.Len(t, ms, 1, "automatic replies to %s", to)
		check(to, ms[0])
	}
	require.Empty(t, taken, "nothing else has left")
}

// checkFeed reads the feed of events, which is what its follower saw.
func checkFeed(s *site, feed *follower) []object {
	t := s.t
	var all []object
	ids := map[string]bool{}
	for {
		page := s.get(fmt.Sprintf("/api/events?limit=500&after=%d", len(all)))
		events, _ := page["events"].([]any)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			o, _ := e.(object)
			all = append(all, o)
			require.Equal(t, len(all), number(o, "cursor"), "the feed has no gaps")
			require.False(t, ids[text(o, "id")], "no event is there twice")
			ids[text(o, "id")] = true
		}
	}
	require.NotEmpty(t, feed.seen)
	require.LessOrEqual(t, len(feed.seen), len(all))
	for i, o := range feed.seen {
		require.Equal(t, all[i], o, "what was seen once stays")
	}
	return all
}

// checkAutomatic wants each ticket to have been decided on: one automatic reply,
// or none for one of the caps.
func checkAutomatic(s *site, f *found, events []object) {
	sent, capped := map[string]int{}, map[string]bool{}
	for _, e := range events {
		if text(e, "type") != "auto_reply.decided" {
			continue
		}
		switch rule := text(e, "data", "rule"); {
		case text(e, "data", "outcome") == "sent":
			sent[text(e, "ticket")]++
		case strings.HasPrefix(rule, "cap_"):
			capped[text(e, "ticket")] = true
		}
	}
	for t, k := range f.ticket {
		n := len(f.automatic[t.from])
		require.Equal(s.t, sent[k], n, "automatic replies to %s", t.from)
		require.True(s.t, n == 1 || n == 0 && capped[k], "%s got %d automatic replies", t.from, n)
	}
}
