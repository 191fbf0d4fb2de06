package facebook_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func picture(name, mediaType string) channel.Attachment {
	return channel.Attachment{Name: name, Type: mediaType, Size: 7, Body: channel.Bytes("picture")}
}

// asked is a world with a comment to be answered, where pictures are switched on.
func asked(t *testing.T, f func(w *world, comment string, tk ticket.TicketID)) {
	t.Helper()
	inVariants(t, everything, func(w *world) {
		w.app.CommentPictures = true
		first := w.ann.Comment(w.page.Post("New shoes"), "What do they look like?")
		w.settle()
		f(w, first, w.only().ID)
	})
}

func TestAPublicAnswerCanHavePictures(t *testing.T) {
	asked(t, func(w *world, first string, tk ticket.TicketID) {
		t := w.t
		files := []channel.Attachment{picture("red.jpg", "image/jpeg"), picture("blue.png", "image/png")}
		m := w.answer(tk, ticket.Draft{Text: "Like this", Attachments: files})
		require.Equal(t, ticket.StateSent, m.State, m.StateDetail)
		sent := w.fb.Sent()
		require.Len(t, sent, 2, "the text has the first")
		require.Equal(t, []string{first, "Like this", "7 bytes of image/jpeg red.jpg"}, []string{sent[0].Recipient, sent[0].Text, sent[0].File})
		require.Equal(t, []string{first, "", "7 bytes of image/png blue.png"}, []string{sent[1].Recipient, sent[1].Text, sent[1].File})
		require.Len(t, m.Deliveries, 2)
		time.Sleep(3 * time.Minute)
		require.Len(t, w.timeline(tk), 2, "both came back, and are the answer")
		_, feed := w.fb.History(w.page.ID)
		require.Len(t, feed, 4, "the pictures are no posts of the Page")
		alone := w.answer(tk, ticket.Draft{Attachments: files[:1]})
		require.Equal(t, ticket.StateSent, alone.State, alone.StateDetail)
	})
}

func TestAPictureThatCannotBeUploadedDoesNotLeaveAndIsTriedAgain(t *testing.T) {
	for name, f := range map[string]graphtest.Fault{"lost": {Lost: true, Done: true}, "in trouble": {Code: 2}, "throttled": {Code: 4}, "down": {Down: true}} {
		t.Run(name, func(t *testing.T) {
			asked(t, func(w *world, _ string, tk ticket.TicketID) {
				here := f // worlds run side by side
				here.Path, here.Method = "/photos", http.MethodPost
				w.fb.Fail(here)
				m := w.answer(tk, ticket.Draft{Text: "Like this", Attachments: []channel.Attachment{picture("red.jpg", "image/jpeg")}})
				require.Equal(w.t, ticket.StatePending, m.State, "it surely did not leave")
				time.Sleep(time.Hour)
				require.Equal(w.t, ticket.StateSent, w.message(m.ID).State)
				require.Len(w.t, w.fb.Sent(), 1)
			})
		})
	}
}

func TestAnAnswerWithAPictureWhoseAnswerWasLostIsFoundByItsText(t *testing.T) {
	asked(t, func(w *world, _ string, tk ticket.TicketID) {
		w.hold()
		w.fb.Fail(graphtest.Fault{Path: "/comments", Method: http.MethodPost, Lost: true, Done: true})
		m := w.answer(tk, ticket.Draft{Text: "Like this", Attachments: []channel.Attachment{picture("red.jpg", "image/jpeg")}})
		time.Sleep(5 * time.Minute)
		require.Equal(w.t, ticket.StateSent, w.message(m.ID).State)
		require.Len(w.t, w.fb.Sent(), 1)
	})
}

func TestAMissingPermissionForPicturesIsNoReasonToConnectThePageAgain(t *testing.T) {
	asked(t, func(w *world, _ string, tk ticket.TicketID) {
		t := w.t
		w.admin.Decline("pages_manage_posts")
		m := w.answer(tk, ticket.Draft{Text: "Like this", Attachments: []channel.Attachment{picture("red.jpg", "image/jpeg")}})
		require.Equal(t, ticket.StateFailed, m.State)
		require.Contains(t, m.StateDetail, "may not upload pictures")
		ch, err := w.desk.Channel(w.ctx, w.ch.ID)
		require.NoError(t, err)
		require.Equal(t, channel.StateLive, ch.Status.State)
		require.Equal(t, ticket.StateSent, w.reply(tk, "In words: red").State)
		findings, err := w.desk.Check(w.ctx, w.ch.ID)
		require.NoError(t, err)
		all := ""
		for _, f := range findings {
			if f.Severity != channel.SeverityOK {
				all += f.Text
			}
		}
		require.Contains(t, all, "pages_manage_posts")
	})
}

func TestWhatNoPublicCommentCanHaveIsRefusedBeforeTheCall(t *testing.T) {
	for name, tt := range map[string]struct {
		on   bool
		file channel.Attachment
	}{
		"pictures are off": {false, picture("a.jpg", "image/jpeg")}, "a PDF": {true, picture("a.pdf", "application/pdf")},
		"a video": {true, picture("a.mp4", "video/mp4")}, "an SVG": {true, picture("a.svg", "image/svg+xml")},
	} {
		t.Run(name, func(t *testing.T) {
			asked(t, func(w *world, _ string, tk ticket.TicketID) {
				w.app.CommentPictures = tt.on
				calls := len(w.fb.Calls("/photos")) + len(w.fb.Calls("/comments"))
				m := w.answer(tk, ticket.Draft{Text: "Like this", Attachments: []channel.Attachment{tt.file}})
				require.Equal(w.t, ticket.StateFailed, m.State)
				require.Contains(w.t, m.StateDetail, "public comment")
				require.Equal(w.t, calls, len(w.fb.Calls("/photos"))+len(w.fb.Calls("/comments")))
				private := w.answer(tk, ticket.Draft{How: channel.Private, Attachments: []channel.Attachment{tt.file}})
				require.Equal(w.t, ticket.StateSent, private.State, "in private it can be sent")
			})
		})
	}
}

func TestTheLoginAsksForPicturesOnlyIfTheAppWantsThem(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		t := w.t
		scope := func(on bool) string {
			w.app.CommentPictures = on
			u, err := url.Parse(w.app.LoginURL(callbackURL, "s", false))
			require.NoError(t, err)
			return u.Query().Get("scope")
		}
		require.NotContains(t, scope(false), "pages_manage_posts")
		require.True(t, strings.HasSuffix(scope(true), ",pages_manage_posts"))
		mai := w.fb.AddPerson("Mai")
		mai.Manage(w.page.ID)
		mai.Decline("pages_manage_posts")
		g, err := w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, false))
		require.NoError(t, err)
		require.Len(t, g.Missing(), 1)
		require.Equal(t, "pages_manage_posts", g.Missing()[0].Name)
	})
}
