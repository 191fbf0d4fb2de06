package facebook_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// inOne reports the texts of each conversation, joined.
func (w *world) inOne() []string {
	var out []string
	for _, c := range w.conversations() {
		out = append(out, strings.Join(texts(w.messages(ticket.MessageFilter{Conversation: c.ID})), "; "))
	}
	return out
}

func TestPeopleWhoCannotBeToldAreNeverMixed(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		ben, carl := w.fb.AddPerson("Ben"), w.fb.AddPerson("Carl")
		ben.HideAuthor()
		carl.HideAuthor()
		first := ben.Comment(w.page.Post("New shoes"), "from Ben")
		second := carl.Comment(first, "from Carl")
		third := ben.Comment(w.ann.Post(w.page.ID, "from Ann"), "from Ben, too")
		w.settle()
		w.page.Comment(second, "to Ben or Carl")
		w.page.Comment(third, "to Ben")
		time.Sleep(5 * time.Minute) // it might be ours, on its way
		all := w.inOne()
		for _, c := range all {
			require.LessOrEqual(w.t, strings.Count(c, "from"), 1, "%q", all)
			if strings.Contains(c, "from Ann") {
				require.NotContains(w.t, c, "to Ben", "%q", all)
			}
		}
		require.Contains(w.t, all, "in: from Ben, too; out: to Ben", "%q", all)
	})
}

func TestOurOwnReactionOpensNoWindow(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		mid := w.ann.Write(w.page.ID, "Hello")
		w.settle()
		time.Sleep(25 * time.Hour)
		status, err := w.fb.Post(w.ctx, fmt.Appendf(nil, `{"object":"page","entry":[{"id":%q,"time":1,"messaging":[{"sender":{"id":%q},"recipient":{"id":%q},`+
			`"timestamp":%d,"reaction":{"mid":%q,"action":"react","reaction":"love"}}]}]}`, w.page.ID, w.page.ID, w.ann.PSID(w.page.ID), time.Now().UnixMilli(), mid))
		require.NoError(w.t, err)
		require.Equal(w.t, 200, status)
		w.settle()
		require.Equal(w.t, "love", w.timeline(w.only().ID)[0].Reactions[0].Text)
		_, err = w.desk.Reply(w.ctx, w.only().ID, ticket.Draft{By: "an", Text: "Late"})
		require.ErrorIs(w.t, err, ticket.ErrWindowClosed)
	})
}

func TestACommentWhoseTextIsNotToldWaitsForAuthorization(t *testing.T) {
	rules := facebook.Rules{Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	inWorld(t, graphtest.Options{Doubts: graphtest.Doubts{NoMessage: true}}, rules, func(w *world) {
		post := w.page.Post("New shoes")
		w.settle()
		w.admin.Invalidate(graphtest.PasswordChanged)
		w.ann.Comment(post, "The price, please")
		time.Sleep(time.Hour)
		require.EqualValues(w.t, 1, w.ledger().Waiting)
		_, err := w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Config: facebook.Page{ID: w.page.ID, Token: w.admin.PageToken(w.page.ID), Rules: rules}})
		require.NoError(w.t, err)
		time.Sleep(time.Hour)
		require.Equal(w.t, "The price, please", w.only().Subject)
	})
}

func TestFilesOfWhatComesLateAreTriedAgainToo(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.hold()
		w.ann.Write(w.page.ID, "See this", w.fb.File("file", "a.pdf", "application/pdf", []byte("x")))
		events := w.fb.Take()
		events[0].Body["timestamp"] = time.Now().Add(-3 * time.Hour).UnixMilli()
		w.fb.Fail(failMedia(1))
		w.post(events...)
		time.Sleep(5 * time.Minute)
		require.Len(w.t, w.timeline(w.only().ID)[0].Attachments, 1)
	})
}

func TestAMessageDoesNotWaitLongForAName(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.fb.Fail(graphtest.Fault{Path: w.ann.PSID(w.page.ID), Delay: time.Hour, Times: -1})
		w.ann.Write(w.page.ID, "Hello")
		time.Sleep(10 * time.Second)
		w.ann.Write(w.page.ID, "Anybody?")
		time.Sleep(time.Second)
		require.Len(w.t, w.timeline(w.only().ID), 2)
	})
}
