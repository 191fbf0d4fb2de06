package facebook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

func TestAMessageIsATicketAndItsAnswerIsSentDeliveredAndRead(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Còn hàng không? 🙂", w.fb.File("image", "áo đỏ.jpg", "image/jpeg", []byte("jpeg")))
		w.settle()
		tk := w.only()
		require.Equal(t, "Còn hàng không? 🙂", tk.Subject)
		require.EqualValues(t, "q", tk.Queue)
		ms := w.timeline(tk.ID)
		require.Equal(t, "Ann Lê", ms[0].From.Name)
		require.Equal(t, w.ann.PSID(w.page.ID), ms[0].From.Address)
		require.Equal(t, "áo đỏ.jpg", ms[0].Attachments[0].Name)
		require.Equal(t, "image/jpeg", ms[0].Attachments[0].Type)
		m := w.reply(tk.ID, "Dạ còn ạ")
		require.Equal(t, ticket.StateSent, m.State)
		sent := w.fb.Sent()
		require.Len(t, sent, 1)
		require.Equal(t, "RESPONSE", sent[0].Type)
		w.ann.Receive(w.page.ID)
		w.settle()
		require.Equal(t, ticket.StateDelivered, w.message(m.ID).State)
		w.ann.Read(w.page.ID)
		w.settle()
		require.Equal(t, ticket.StateRead, w.message(m.ID).State)
		require.Len(t, w.timeline(tk.ID), 2, "the echo is our own message")
		l := w.ledger()
		require.EqualValues(t, 1, l.Messages)
		require.EqualValues(t, 3, l.Applied, "echo, delivery, read")
	})
}

func TestWhatIsWrittenInTheInboxAppearsAndMakesNoTicket(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		w.page.WriteInInbox(w.ann, "From the inbox")
		w.page.WriteByApp(w.ann, "From another app", "campaign7")
		w.settle()
		tk := w.only()
		require.ElementsMatch(t, []string{"in: Hello", "out: From the inbox", "out: From another app"}, texts(w.timeline(tk.ID)))
		ben := w.fb.AddPerson("Ben")
		ben.PSID(w.page.ID)
		w.page.WriteInInbox(ben, "We write first")
		w.settle()
		require.Len(t, w.tickets(), 1)
		require.Len(t, w.conversations(), 2)
		ben.Read(w.page.ID)
		w.settle()
		for _, c := range w.conversations() {
			if c.Ticket == "" {
				require.Equal(t, ticket.StateRead, w.messages(ticket.MessageFilter{Conversation: c.ID})[0].State)
			}
		}
	})
}

func TestOwnActivityMakesTickets(t *testing.T) {
	inVariants(t, facebook.Rules{OwnActivity: true}, func(w *world) {
		t := w.t
		w.ann.PSID(w.page.ID)
		w.page.WriteInInbox(w.ann, "We write first")
		post := w.page.Post("Our sale begins")
		w.page.Comment(post, "Only today")
		time.Sleep(5 * time.Minute) // it might be ours, on its way
		var subjects []string
		for _, tk := range w.tickets() {
			subjects = append(subjects, tk.Subject)
		}
		require.ElementsMatch(t, []string{"We write first", "Our sale begins", "Only today"}, subjects)
	})
}

func TestMessagesWithoutTicketsAreQueuedAnsweredAndCanBecomeOne(t *testing.T) {
	inVariants(t, facebook.Rules{}, func(w *world) {
		t := w.t
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		require.Empty(t, w.tickets())
		c := w.conversations()[0]
		require.EqualValues(t, "q", c.Queue)
		m, err := w.desk.ReplyTo(w.ctx, c.ID, ticket.Draft{By: "an", Text: "Hi"})
		require.NoError(t, err)
		w.settle()
		require.Equal(t, ticket.StateSent, w.message(m.ID).State)
		tk, err := w.desk.MakeTicket(w.ctx, ticket.Agent("an"), c.ID)
		require.NoError(t, err)
		w.ann.Write(w.page.ID, "Thanks")
		w.settle()
		require.Equal(t, tk.ID, w.only().ID)
		require.Equal(t, []string{"in: Thanks"}, texts(w.timeline(tk.ID)))
	})
}

func TestEditsUnsendsAndReactionsAreReflected(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		mid := w.ann.Write(w.page.ID, "Hallo")
		w.ann.EditMessage(w.page.ID, mid, "Hello", 1)
		second := w.ann.Write(w.page.ID, "Oops")
		w.settle()
		tk := w.only()
		m := w.reply(tk.ID, "Hi")
		w.ann.React(w.page.ID, m.ExternalIDs[0], "love")
		w.ann.Unsend(w.page.ID, second)
		w.settle()
		ms := w.timeline(tk.ID)
		require.Contains(t, texts(ms), "in: Hello")
		require.Equal(t, "love", w.message(m.ID).Reactions[0].Text)
		time.Sleep(time.Minute)
		w.ann.React(w.page.ID, m.ExternalIDs[0], "")
		w.settle()
		require.Empty(t, w.message(m.ID).Reactions[0].Text)
		gone := 0
		for _, m := range ms {
			if !m.RedactedAt.IsZero() {
				gone++
			}
		}
		if len(texts(ms)) > 2 && gone == 0 {
			require.Contains(t, texts(ms), "in: Oops", "nothing was told")
		}
	})
}

func TestEveryKindOfAttachmentSaysSomething(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		type o = map[string]any
		sticker := w.fb.File("sticker", "s.png", "image/png", []byte("png"))
		sticker["payload"].(map[string]any)["sticker_id"] = 12345
		twin := o{"type": "image", "payload": sticker["payload"]}
		w.ann.Write(w.page.ID, "", sticker, twin)
		w.ann.Write(w.page.ID, "", o{"type": "image", "payload": o{"url": "http://x.example", "sticker_id": 369239263222822}})
		w.ann.Write(w.page.ID, "", o{"type": "fallback", "payload": nil, "title": "A link", "url": "https://l.example/x"}, o{"type": "fallback"})
		w.ann.Write(w.page.ID, "", o{"type": "location", "payload": o{"coordinates": o{"lat": 21.02, "long": 105.85}}})
		w.ann.Write(w.page.ID, "", o{"type": "template", "payload": o{"product": o{"elements": []o{{"title": "Áo", "subtitle": "$40"}}}}})
		w.ann.Write(w.page.ID, "", o{"type": "image", "payload": o{"url": "http://elsewhere.example/x.jpg"}})
		w.ann.WriteWith(w.page.ID, "", o{"is_unsupported": true})
		w.ann.WriteWith(w.page.ID, "Red", o{"quick_reply": o{"payload": "RED"}, "referral": o{"ads_context_data": o{"ad_title": "Sale"}}})
		w.ann.Tap(w.page.ID, "Get started", "START")
		w.settle()
		var all []string
		files, defects := 0, 0
		for _, m := range w.timeline(w.only().ID) {
			all = append(all, m.Text)
			files, defects = files+len(m.Attachments), defects+len(m.Defects)
		}
		require.ElementsMatch(t, []string{"", "👍", "A link https://l.example/x\n[Something shared that Facebook does not pass on]",
			"[location] 21.020000,105.850000", "[template] Áo $40", "", "[A message of a kind that Facebook does not pass on]", "Red", "Get started"}, all)
		require.Equal(t, 1, files, "the sticker, once")
		require.Equal(t, 1, defects, "a foreign host is not asked")
	})
}

func TestMediaThatCannotBeFetchedForNowIsTriedAgainAndInTheEndIsADefect(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.fb.Fail(failMedia(2))
		w.ann.Write(w.page.ID, "one", w.fb.File("file", "a.pdf", "application/pdf", make([]byte, 3<<20)))
		time.Sleep(time.Minute)
		ms := w.timeline(w.only().ID)
		require.EqualValues(t, 3<<20, ms[0].Attachments[0].Size)
		w.fb.Fail(failMedia(-1))
		w.ann.Write(w.page.ID, "two", w.fb.File("file", "b.pdf", "application/pdf", []byte("x")))
		time.Sleep(3 * time.Hour)
		ms = w.timeline(w.only().ID)
		require.Len(t, ms, 2)
		require.Empty(t, ms[1].Attachments)
		require.Len(t, ms[1].Defects, 1)
	})
}

func TestCommentsAreConversationsOfTheirAuthors(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		t := w.t
		ben := w.fb.AddPerson("Ben")
		post := w.page.Post("New shoes")
		first := w.ann.Comment(post, "How much?")
		other := ben.Comment(post, "Which sizes?")
		w.settle()
		w.ann.Comment(first, "And in red?")
		w.page.Comment(first, "20")
		ben.Comment(first, "I ask too")
		wall := w.ann.Post(w.page.ID, "I love this shop")
		w.settle()
		w.page.Comment(wall, "Thank you")
		w.ann.Comment(wall, "You are welcome")
		w.ann.CommentPhoto(other, "", []byte("jpeg"))
		time.Sleep(5 * time.Minute) // what the Page wrote might be ours, on its way
		got := map[string][]string{}
		for _, tk := range w.tickets() {
			got[tk.Subject] = texts(w.timeline(tk.ID))
		}
		require.Len(t, w.conversations(), 5)
		require.ElementsMatch(t, []string{"in: How much?", "in: And in red?", "out: 20"}, got["How much?"])
		require.Equal(t, []string{"in: Which sizes?"}, got["Which sizes?"])
		require.Equal(t, []string{"in: I ask too"}, got["I ask too"])
		require.ElementsMatch(t, []string{"in: I love this shop", "out: Thank you", "in: You are welcome"}, got["I love this shop"])
		require.Equal(t, []string{"in: "}, got[""])
		for _, c := range w.conversations() {
			if c.Subject == "" && c.Context != "" {
				require.Contains(t, c.Context, "ost")
			}
		}
	})
}

func TestAVisitorsPostWithAPictureIsOneMessageWhateverFacebookTells(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		w.ann.PostPhoto(w.page.ID, "Is this yours?", []byte("jpeg"))
		w.settle()
		ms := w.timeline(w.only().ID)
		require.Equal(w.t, []string{"in: Is this yours?"}, texts(ms))
		require.Len(w.t, ms[0].Attachments, 1)
	})
}

func TestAPublicAnswerGoesUnderTheCommentAndComesBackOnce(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		t := w.t
		post := w.page.Post("New shoes")
		first := w.ann.Comment(post, "How much?")
		w.settle()
		tk := w.only()
		m := w.reply(tk.ID, "20")
		require.Equal(t, ticket.StateSent, m.State)
		require.Equal(t, first, w.fb.Sent()[0].Recipient)
		require.Len(t, w.timeline(tk.ID), 2)
		require.NoError(t, w.desk.Act(w.ctx, ticket.Agent("an"), w.timeline(tk.ID)[0].ID, channel.VerbLike))
		require.NoError(t, w.desk.Act(w.ctx, ticket.Agent("an"), w.timeline(tk.ID)[0].ID, channel.VerbHide))
		w.settle()
		require.Equal(t, 1, w.fb.Likes(first))
		require.True(t, w.fb.Hidden(first))
		require.True(t, w.timeline(tk.ID)[0].Hidden)
		withdrawn, err := w.desk.DeleteMessage(w.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.True(t, withdrawn)
		require.True(t, w.fb.Gone(m.ExternalIDs[0]))
		w.fb.EditText(first, "How much is it?")
		w.settle()
		require.Equal(t, "How much is it?", w.timeline(tk.ID)[0].Text)
		w.fb.Remove(first)
		w.settle()
		require.Empty(t, w.timeline(tk.ID)[0].Text)
	})
}

func TestAPrivateReplyLinksTheTwoConversations(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		t := w.t
		post := w.page.Post("New shoes")
		first := w.ann.Comment(post, "How much?")
		w.settle()
		tk := w.only()
		m := w.answer(tk.ID, ticket.Draft{Text: "Let us talk here", How: channel.Private})
		require.Equal(t, ticket.StateSent, m.State, m.StateDetail)
		require.True(t, w.fb.Sent()[0].Private)
		require.Len(t, w.timeline(tk.ID), 2)
		w.ann.Write(w.page.ID, "Yes, please")
		w.settle()
		ts := w.tickets()
		require.Len(t, ts, 2)
		require.Equal(t, ts[0].Contact, ts[1].Contact)
		again := w.answer(tk.ID, ticket.Draft{Text: "Once more", How: channel.Private})
		require.Equal(t, ticket.StateFailed, again.State)
		require.Contains(t, again.StateDetail, "privately")
		require.Len(t, w.fb.Calls("/messages"), 1, "it was refused before the call")
		old := w.ann.Comment(post, "Late one")
		time.Sleep(8 * 24 * time.Hour)
		late := w.answer(w.tickets()[0].ID, ticket.Draft{Text: "x", How: channel.Private})
		require.Equal(t, ticket.StateFailed, late.State)
		require.NotEmpty(t, old+first)
	})
}
