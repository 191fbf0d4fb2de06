package facebook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

// seeds are bodies of every kind of event.
func seeds(f *testing.F, fb *graphtest.Graph, page *graphtest.Page) {
	f.Helper()
	ann := fb.AddPerson("Ann")
	mid := ann.Write(page.ID, "Xin chào 🙂", fb.File("image", "a.jpg", "image/jpeg", []byte("x")))
	ann.EditMessage(page.ID, mid, "x", 1)
	ann.React(page.ID, mid, "love")
	ann.Unsend(page.ID, mid)
	ann.Tap(page.ID, "t", "p")
	page.WriteInInbox(ann, "y")
	ann.Read(page.ID)
	ann.Receive(page.ID)
	post := page.Post("post")
	c := ann.CommentPhoto(post, "c", []byte("x"))
	fb.EditText(c, "d")
	fb.Hide(c, true)
	fb.Remove(c)
	ann.LikeNode(post, "like")
	events := fb.Take()
	for _, e := range events {
		f.Add(fb.Body(e))
	}
	f.Add(fb.Body(events...))
	f.Add([]byte(`{"object":"page","entry":[{"id":` + page.ID + `,"time":"1","changes":[{"field":"feed","value":{"item":"comment","verb":"add","comment_id":1,"post_id":2}}]}]}`))
	f.Add([]byte(`{"object":"page","entry":[{"id":"` + page.ID + `","message_node":[{"id":"m","from":{"id":"1"}}]}]}`))
}

// FuzzWebhook: whatever is signed, the webhook answers, and what it accepts is
// well formed.
func FuzzWebhook(f *testing.F) {
	fb := graphtest.New(graphtest.Options{})
	page := fb.AddPage("Shop")
	app := newApp(fb)
	if err := fb.Subscribe(app.Webhook(), "verify"); err != nil {
		f.Fatal(err)
	}
	fb.SubscribePage(page.ID)
	ctx, cancel := context.WithCancel(context.Background())
	ch := openPage(f, app, page)
	done := make(chan error, 1)
	go func() {
		done <- ch.(channel.Receiver).Receive(ctx, channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error {
			for _, it := range items {
				if defect := ill(it); defect != nil {
					return fmt.Errorf("ill formed: %w: %w", defect, errors.New(string(it.Keys[0])))
				}
			}
			return nil
		}))
	}()
	f.Cleanup(func() { cancel(); <-done })
	require.Eventually(f, func() bool {
		status, _ := fb.Post(ctx, []byte(`{"object":"page","entry":[{"id":"`+page.ID+`","messaging":[{}]}]}`))
		return status == 200
	}, 10*time.Second, time.Millisecond)
	seeds(f, fb, page)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header.Set("X-Hub-Signature-256", fb.Sign(body))
		app.Webhook().ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 404, 413:
		default:
			t.Fatalf("status %d", w.Code)
		}
		w = httptest.NewRecorder()
		r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header.Set("X-Hub-Signature-256", string(body[:min(len(body), 71)]))
		app.Webhook().ServeHTTP(w, r)
		require.Contains(t, []int{403, 413}, w.Code)
	})
}

func openPage(t testing.TB, app *facebook.App, page *graphtest.Page) channel.Channel {
	t.Helper()
	acct, err := facebook.Page{ID: page.ID, Rules: facebook.Rules{Messages: true, Posts: facebook.Everything, OwnActivity: true, Keywords: []string{"giá"}}}.Account()
	require.NoError(t, err)
	acct.ID = "ch"
	ch, err := app.Open(context.Background(), acct, channel.Env{Portal: "main", Now: time.Now})
	require.NoError(t, err)
	return ch
}

// ill says what is wrong with an item.
func ill(it *channel.Item) error {
	says := 0
	for _, set := range []bool{it.Update != nil || it.Message != nil, it.Notice != nil, it.Ignored != "" && it.Message == nil, it.Quarantined != ""} {
		if set {
			says++
		}
	}
	if len(it.Keys) == 0 || it.Keys[0] == "" || says > 1 || says == 0 && it.Raw == nil || it.Channel != "ch" || it.At.IsZero() {
		return fmt.Errorf("%+v", it)
	}
	if m := it.Message; m != nil {
		for _, s := range []string{m.Text, m.From.Name, m.From.Address, m.Context, m.Conversation, m.ExternalID} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return fmt.Errorf("bad text %q", s)
			}
		}
		if m.Conversation == "" || strings.Count(m.Conversation, ":") > 2 {
			return fmt.Errorf("bad conversation %q", m.Conversation)
		}
	}
	if up := it.Update; up != nil && (!utf8.ValidString(up.Text) || strings.ContainsRune(up.Text, 0)) {
		return fmt.Errorf("bad text %q", up.Text)
	}
	return nil
}

// FuzzInterpret: whatever raw event was committed, it is understood, left out or
// held, with the same keys each time.
func FuzzInterpret(f *testing.F) {
	fb := graphtest.New(graphtest.Options{})
	page := fb.AddPage("Shop")
	app := newApp(fb)
	if err := fb.Subscribe(app.Webhook(), "verify"); err != nil {
		f.Fatal(err)
	}
	fb.SubscribePage(page.ID)
	ch := openPage(f, app, page).(channel.Interpreter)
	seeds(f, fb, page)
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := &channel.Item{Channel: "ch", Keys: []channel.Key{"raw:x"}, At: time.Now().Add(-48 * time.Hour), Raw: channel.Bytes(body)}
		first, err := ch.Interpret(t.Context(), raw)
		if err != nil {
			return // to be tried again
		}
		require.NotEmpty(t, first)
		for _, it := range first {
			require.NoError(t, ill(it))
			require.NotEqual(t, raw.Keys[0], it.Keys[0])
		}
		again, err := ch.Interpret(t.Context(), raw)
		if err == nil {
			require.Equal(t, first[0].Keys, again[0].Keys)
		}
	})
}
