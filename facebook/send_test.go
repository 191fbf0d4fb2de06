package facebook_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestALongTextLeavesInPartsThatHaveReceiptsOfTheirOwn(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Tell me all")
		w.settle()
		long := strings.Repeat("Dạ, chiếc áo này màu đỏ 🙂 và rất đẹp ạ. ", 150)
		m := w.answer(w.only().ID, ticket.Draft{Text: long, Attachments: []channel.Attachment{
			{Name: "hoá đơn.pdf", Type: "application/pdf", Size: 3, Body: channel.Bytes("pdf")},
			{Name: "áo.jpg", Type: "image/jpeg", Size: 3, Body: channel.Bytes("jpg")},
		}})
		require.Equal(t, ticket.StateSent, m.State, m.StateDetail)
		sent := w.fb.Sent()
		require.Greater(t, len(sent), 4)
		whole := ""
		for i, s := range sent[:len(sent)-2] {
			require.Less(t, len(utf16.Encode([]rune(s.Text))), 2000)
			require.NotEqual(t, whole == "", i > 0)
			whole += s.Text + " "
		}
		require.Equal(t, strings.Fields(long), strings.Fields(whole), "no word is cut or lost")
		require.Equal(t, "3 bytes of application/pdf hoá đơn.pdf", sent[len(sent)-2].File)
		require.Len(t, m.Deliveries, len(sent))
		require.Len(t, m.ExternalIDs, len(sent))
		w.ann.Read(w.page.ID)
		w.settle()
		require.Equal(t, ticket.StateRead, w.message(m.ID).State)
		require.Len(t, w.timeline(w.only().ID), 2)
	})
}

func TestPartsThatWereTakenAreNotSentAgain(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Tell me all")
		w.settle()
		w.fb.Fail(graphtest.Fault{Path: "/messages"}, graphtest.Fault{Path: "/messages", Code: 613}, graphtest.Fault{Path: "/messages"}, graphtest.Fault{Path: "/messages", Lost: true, Done: true})
		m := w.answer(w.only().ID, ticket.Draft{Text: strings.Repeat("word ", 1100)})
		require.Equal(t, ticket.StatePending, m.State)
		require.Equal(t, channel.DeliverySent, m.Deliveries[0].State)
		time.Sleep(time.Hour)
		require.Equal(t, ticket.StateSent, w.message(m.ID).State)
		require.Len(t, w.fb.Sent(), 3)
	})
}

func TestTextsAreSplitBetweenWordsAndNeverWithinACharacter(t *testing.T) {
	inWorld(t, graphtest.Options{Doubts: graphtest.Doubts{TextInUTF16: true}}, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.Write(w.page.ID, "x")
		w.settle()
		tk := w.only()
		for name, text := range map[string]string{
			"one word":    strings.Repeat("a", 4500),
			"emoji":       strings.Repeat("🙂", 2500),
			"marks":       strings.Repeat("e\u0301\u0323", 1500),
			"families":    strings.Repeat("👨\u200d👩\u200d👧", 700),
			"lines":       strings.Repeat(strings.Repeat("x", 150)+"\n", 30),
			"just enough": strings.Repeat("b", 1999),
			"blanks":      " " + strings.Repeat("c ", 1000) + " ",
		} {
			before := len(w.fb.Sent())
			m := w.reply(tk.ID, text)
			require.Equal(w.t, ticket.StateSent, m.State, name)
			got := ""
			for _, s := range w.fb.Sent()[before:] {
				got += s.Text
				require.NotContains(w.t, s.Text, "\uFFFD")
			}
			strip := func(s string) string { return strings.Join(strings.Fields(s), "") }
			require.Equal(w.t, strip(text), strip(got), name)
			if name == "just enough" {
				require.Len(w.t, w.fb.Sent()[before:], 1)
			}
		}
	})
}

func TestTheWindowDecidesHowAMessageIsSent(t *testing.T) {
	for _, human := range []bool{false, true} {
		t.Run(fmt.Sprint("human agent ", human), func(t *testing.T) {
			inWorld(t, graphtest.Options{HumanAgent: human}, facebook.Rules{Messages: true}, func(w *world) {
				t := w.t
				mid := w.ann.Write(w.page.ID, "Hello")
				w.settle()
				tk := w.only()
				until, closes, err := w.desk.SendableUntil(w.ctx, tk.Conversation)
				require.NoError(t, err)
				require.True(t, closes)
				time.Sleep(25 * time.Hour)
				_, err = w.desk.Reply(w.ctx, tk.ID, ticket.Draft{By: "an", Text: "Late"})
				if !human {
					require.ErrorIs(t, err, ticket.ErrWindowClosed)
					require.Less(t, time.Until(until), time.Duration(0))
					w.ann.React(w.page.ID, mid, "love") // opens it again
					w.settle()
					require.Equal(t, ticket.StateSent, w.reply(tk.ID, "In time").State)
					require.Equal(t, "RESPONSE", w.fb.Sent()[0].Type)
					return
				}
				require.NoError(t, err)
				w.settle()
				require.Equal(t, "HUMAN_AGENT", w.fb.Sent()[0].Tag)
				require.Equal(t, "MESSAGE_TAG", w.fb.Sent()[0].Type)
				time.Sleep(6 * 24 * time.Hour)
				_, err = w.desk.Reply(w.ctx, tk.ID, ticket.Draft{By: "an", Text: "Too late"})
				require.ErrorIs(t, err, ticket.ErrWindowClosed)
			})
		})
	}
}

// direct is a Page without an engine, and a customer who wrote.
func direct(t *testing.T, opts graphtest.Options) (*stand, *graphtest.Person, channel.Finder, func(text string) *channel.Outbound) {
	t.Helper()
	s := newStand(t, opts, nil)
	ann := s.fb.AddPerson("Ann")
	ann.Write(s.page.ID, "x")
	s.fb.Take()
	n := 0
	return s, ann, s.ch.(channel.Finder), func(text string) *channel.Outbound {
		n++
		return &channel.Outbound{Conversation: "m:" + ann.PSID(s.page.ID), To: []channel.Party{{Address: ann.PSID(s.page.ID)}}, Text: text,
			Token: fmt.Sprintf("token%d", n), LastAct: time.Now(), Date: time.Now()}
	}
}

func refusal(t *testing.T, err error) *channel.SendError {
	t.Helper()
	var se *channel.SendError
	require.ErrorAs(t, err, &se)
	return se
}

func TestWhatFacebookWouldRefuseIsRefusedBeforeTheCall(t *testing.T) {
	t.Parallel()
	s, ann, page, out := direct(t, graphtest.Options{})
	big := func(size int) []channel.Attachment {
		return []channel.Attachment{{Name: "x", Type: "image/png", Body: channel.Bytes(make([]byte, size))}}
	}
	for code, change := range map[string]func(o *channel.Outbound){
		"window_closed":         func(o *channel.Outbound) { o.LastAct = time.Now().Add(-25 * time.Hour) },
		"no_conversation":       func(o *channel.Outbound) { o.Conversation = "x" },
		"not_public":            func(o *channel.Outbound) { o.How = channel.Public },
		"no_text":               func(o *channel.Outbound) { o.Text, o.HTML = " ", "<p>x</p>" },
		"too_long":              func(o *channel.Outbound) { o.Text = strings.Repeat("word ", 20000) },
		"attachment_too_large":  func(o *channel.Outbound) { o.Attachments = big(9 << 20) },
		"attachment_in_comment": func(o *channel.Outbound) { o.Conversation, o.Attachments = "c:1:2_3", big(3) },
		"private_reply_long": func(o *channel.Outbound) {
			o.Conversation, o.How, o.Text = "c:1:2_3", channel.Private, strings.Repeat("word ", 1000)
		},
	} {
		o := out("text")
		o.Handed = func(context.Context) error { t.Error("it was handed over"); return nil }
		change(o)
		_, err := page.Send(t.Context(), o)
		se := refusal(t, err)
		require.Equal(t, channel.Rejected, se.Outcome, code)
		require.Equal(t, code, se.Code)
	}
	require.Empty(t, s.fb.Calls("/messages"))
	require.NotNil(t, ann)
}

func TestErrorsOfTheGraphAreClassified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault   graphtest.Fault
		outcome channel.Outcome
		code    string
		auth    bool
		after   time.Duration
	}{
		{graphtest.Fault{Code: 1}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Code: 2}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Code: 77, Transient: true}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Status: 500}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Status: 502}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Status: 200}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Code: 4}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 17}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 32}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 341}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 613}, channel.NotSent, "throttled", false, time.Minute},
		{graphtest.Fault{Code: 80001}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 80006}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 4, Subcode: 2018022}, channel.NotSent, "too_many", false, 10 * time.Minute},
		{graphtest.Fault{Code: 613, Subcode: 2018338}, channel.NotSent, "too_many", false, time.Hour},
		{graphtest.Fault{Status: 429}, channel.NotSent, "throttled", false, 5 * time.Minute},
		{graphtest.Fault{Code: 10, Subcode: 2018278}, channel.Rejected, "window_closed", false, 0},
		{graphtest.Fault{Code: 10, Subcode: 2018065}, channel.Rejected, "window_closed", false, 0},
		{graphtest.Fault{Code: 10, Subcode: 2534022}, channel.Rejected, "window_closed", false, 0},
		{graphtest.Fault{Code: 10, Subcode: 1893063}, channel.NotSent, "page_restricted", false, time.Hour},
		{graphtest.Fault{Code: 10, Subcode: 999999}, channel.Rejected, "refused", false, 0},
		{graphtest.Fault{Code: 10, Subcode: 2018108}, channel.Rejected, "unavailable", false, 0},
		{graphtest.Fault{Code: 551}, channel.Rejected, "unavailable", false, 0},
		{graphtest.Fault{Code: 551, Subcode: 1545041}, channel.Rejected, "unavailable", false, 0},
		{graphtest.Fault{Code: 200, Subcode: 1545041}, channel.Rejected, "unavailable", false, 0},
		{graphtest.Fault{Code: 10}, channel.NotSent, "permission", true, 0},
		{graphtest.Fault{Code: 200}, channel.NotSent, "permission", true, 0},
		{graphtest.Fault{Code: 230}, channel.NotSent, "permission", true, 0},
		{graphtest.Fault{Code: 299}, channel.NotSent, "permission", true, 0},
		{graphtest.Fault{Code: 200, Subcode: 2018028}, channel.Rejected, "standard_access", false, 0},
		{graphtest.Fault{Code: 3}, channel.NotSent, "capability", true, 0},
		{graphtest.Fault{Code: 100}, channel.Rejected, "refused", false, 0},
		{graphtest.Fault{Code: 100, Subcode: 33}, channel.Rejected, "gone", false, 0},
		{graphtest.Fault{Code: 100, Subcode: 2018001}, channel.Rejected, "no_such_person", false, 0},
		{graphtest.Fault{Code: 100, Subcode: 2018008}, channel.Rejected, "attachment", false, 0},
		{graphtest.Fault{Code: 100, Subcode: 2018109}, channel.Rejected, "attachment_too_large", false, 0},
		{graphtest.Fault{Code: 100, Subcode: 2018321}, channel.Rejected, "thread_owner", false, 0},
		{graphtest.Fault{Code: 102}, channel.NotSent, "token_invalid", true, 0},
		{graphtest.Fault{Code: 190}, channel.NotSent, "token_invalid", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 458}, channel.NotSent, "app_removed", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 459}, channel.NotSent, "checkpoint", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 460}, channel.NotSent, "password_changed", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 463}, channel.NotSent, "token_expired", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 492}, channel.NotSent, "role_lost", true, 0},
		{graphtest.Fault{Code: 190, Subcode: 2069032}, channel.NotSent, "wrong_token", true, 0},
		{graphtest.Fault{Code: 1, Subcode: 2853006}, channel.NotSent, "task_missing", true, 0},
		{graphtest.Fault{Code: 368}, channel.NotSent, "blocked", false, 6 * time.Hour},
		{graphtest.Fault{Code: 506}, channel.Rejected, "repeated", false, 0},
		{graphtest.Fault{Code: 10900}, channel.Rejected, "private_reply_used", false, 0},
		{graphtest.Fault{Code: 10903}, channel.Rejected, "private_reply_impossible", false, 0},
		{graphtest.Fault{Code: 9000001}, channel.Rejected, "gone", false, 0},
		{graphtest.Fault{Code: 123456}, channel.Rejected, "refused", false, 0},
		{graphtest.Fault{Code: 123456, Status: 503}, channel.Unknown, "temporary", false, 0},
		{graphtest.Fault{Lost: true}, channel.Unknown, "no_answer", false, 0},
		{graphtest.Fault{Down: true}, channel.NotSent, "connect", false, 0},
	} {
		for _, asCode := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %d status %d, subcode as code %t", c.fault.Code, c.fault.Subcode, c.fault.Status, asCode), func(t *testing.T) {
				t.Parallel()
				s, _, page, out := direct(t, graphtest.Options{Doubts: graphtest.Doubts{SubcodeAsCode: asCode}})
				f := c.fault
				f.Path, f.Times = "/messages", -1
				s.fb.Fail(f)
				_, err := page.Send(t.Context(), out("the secret of the message"))
				se := refusal(t, err)
				require.Equal(t, c.outcome, se.Outcome)
				require.Equal(t, c.code, se.Code)
				require.Equal(t, c.auth, se.Authorization)
				require.GreaterOrEqual(t, se.After, c.after)
				require.NotContains(t, err.Error()+se.Reason, "secret")
			})
		}
	}
}

func TestControlIsTakenWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{true, false} {
		s, _, page, out := direct(t, graphtest.Options{})
		s.page.Route(graphtest.OtherApp, allowed)
		_, err := page.Send(t.Context(), out("Hello"))
		if allowed {
			require.NoError(t, err)
			continue
		}
		se := refusal(t, err)
		require.Equal(t, "thread_owner", se.Code)
		require.Contains(t, se.Fix, "default app")
		o := out("Automatic")
		o.Automatic = channel.AutoReplied
		before := len(s.fb.Calls("/take_thread_control"))
		_, err = page.Send(t.Context(), o)
		require.Error(t, err)
		require.Len(t, s.fb.Calls("/take_thread_control"), before, "not for what no person wrote")
	}
}

func TestCallsSlowDownBeforeTheLimitAndPauseAfterIt(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		tk := w.only()
		header := http.Header{"X-Business-Use-Case-Usage": {`{"` + w.page.ID + `":[{"type":"messenger","call_count":97,"total_cputime":2,"total_time":4,"estimated_time_to_regain_access":0}]}`}}
		w.fb.Fail(graphtest.Fault{Path: "/messages", Header: header})
		w.reply(tk.ID, "one")
		began := time.Now()
		calls := len(w.fb.Calls(""))
		m, err := w.desk.Reply(w.ctx, tk.ID, ticket.Draft{By: "an", Text: "two"})
		require.NoError(t, err)
		require.NoError(t, w.fb.Wait(w.ctx, func() bool { return len(w.fb.Calls("")) > calls }))
		require.Greater(t, time.Since(began), time.Second, "a little before the limit")
		w.settle()
		require.Equal(t, ticket.StateSent, w.message(m.ID).State)
		// Whoever writes now is taken in, without a name.
		ben := w.fb.AddPerson("Ben")
		calls = len(w.fb.Calls(""))
		ben.Write(w.page.ID, "Hi")
		w.settle()
		require.Len(t, w.tickets(), 2)
		require.Len(t, w.fb.Calls(""), calls, "what can wait does not use up the rest")
		header.Set("X-Business-Use-Case-Usage", strings.Replace(header.Get("X-Business-Use-Case-Usage"), `access":0`, `access":30`, 1))
		w.fb.Fail(graphtest.Fault{Path: "/messages", Header: header, Code: 80006})
		m, err = w.desk.Reply(w.ctx, tk.ID, ticket.Draft{By: "an", Text: "three"})
		require.NoError(t, err)
		time.Sleep(25 * time.Minute)
		require.Equal(t, ticket.StatePending, w.message(m.ID).State)
		require.Len(t, w.fb.Sent(), 2)
		time.Sleep(20 * time.Minute)
		require.Equal(t, ticket.StateSent, w.message(m.ID).State)
	})
}

func TestFindNamesOnlyWhatFits(t *testing.T) {
	t.Parallel()
	s, _, page, out := direct(t, graphtest.Options{})
	first := out("the same words")
	_, found, err := page.Find(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, channel.FoundUnknown, found)
	s.fb.Fail(graphtest.Fault{Path: "/messages", Lost: true, Done: true})
	_, err = page.Send(t.Context(), first)
	require.Equal(t, channel.Unknown, refusal(t, err).Outcome)
	r, found, err := page.Find(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, channel.FoundYes, found)
	require.Equal(t, []string{s.fb.Sent()[0].ID}, r.ExternalIDs)
	second := out("the same words")
	s.fb.Fail(graphtest.Fault{Path: "/messages", Lost: true, Done: true})
	_, err = page.Send(t.Context(), second)
	require.Error(t, err)
	_, found, err = page.Find(t.Context(), second)
	require.NoError(t, err)
	require.Equal(t, channel.FoundUnknown, found, "two fit: a person must say")
}

func TestTheHumanAgentTagIsForPeopleOnly(t *testing.T) {
	t.Parallel()
	s, _, page, out := direct(t, graphtest.Options{HumanAgent: true})
	s.app.HumanAgent = true
	o := out("Automatic")
	o.LastAct, o.Automatic = time.Now().Add(-30*time.Hour), channel.AutoReplied
	_, err := page.Send(t.Context(), o)
	require.Equal(t, "window_closed", refusal(t, err).Code)
	o = out("By a person")
	o.LastAct = time.Now().Add(-30 * time.Hour)
	_, err = page.Send(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, "HUMAN_AGENT", s.fb.Sent()[0].Tag)
}
