package facebook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

// stand is an app with one Page that receives into a sink.
type stand struct {
	app  *facebook.App
	fb   *graphtest.Graph
	page *graphtest.Page
	ch   channel.Channel
	sink channeltest.RecordingSink
	log  *bytes.Buffer
}

func newStand(t testing.TB, opts graphtest.Options, sink channel.Sink) *stand {
	t.Helper()
	s := &stand{fb: graphtest.New(opts), log: &bytes.Buffer{}}
	s.app = newApp(s.fb)
	s.app.Log = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.page = s.fb.AddPage("Shop")
	require.NoError(t, s.fb.Subscribe(s.app.Webhook(), "verify"))
	s.fb.SubscribePage(s.page.ID)
	s.ch = s.open(t, s.page)
	if sink == nil {
		sink = &s.sink
	}
	s.receive(t, s.ch, s.page, sink)
	return s
}

// receive has a channel receive until the test ends.
func (s *stand) receive(t testing.TB, ch channel.Channel, page *graphtest.Page, sink channel.Sink) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ch.(channel.Receiver).Receive(ctx, sink) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool {
		status, _ := s.fb.Post(t.Context(), []byte(`{"object":"page","entry":[{"id":"`+page.ID+`","messaging":[{}]}]}`))
		return status == 200
	}, 10*time.Second, time.Millisecond)
}

func (s *stand) open(t testing.TB, page *graphtest.Page) channel.Channel {
	t.Helper()
	acct, err := facebook.Page{ID: page.ID, Name: page.Name, Token: s.fb.AddPerson("Admin").PageToken(page.ID)}.Account()
	require.NoError(t, err)
	acct.ID = channel.ID("ch-" + page.ID)
	ch, err := s.app.Open(t.Context(), acct, channel.Env{Portal: "main", Now: time.Now,
		LoadState: func(context.Context) ([]byte, error) { return nil, nil }, SaveState: func(context.Context, []byte) error { return nil }})
	require.NoError(t, err)
	return ch
}

func (s *stand) request(method, target string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.app.Webhook().ServeHTTP(w, r)
	return w
}

func TestTheVerificationIsAnsweredOnlyWithTheToken(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	w := s.request("GET", "/?hub.mode=subscribe&hub.challenge=1158%3Cb%3E&hub.verify_token=verify", nil)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "1158<b>", w.Body.String())
	require.Equal(t, "text/plain", w.Header().Get("Content-Type"))
	for _, q := range []string{"", "hub.mode=subscribe&hub.challenge=1&hub.verify_token=no", "hub.challenge=1&hub.verify_token=verify",
		"hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=verify", "hub.mode=subscribe&hub.challenge=1&hub.verify_token="} {
		w := s.request("GET", "/?"+q, nil)
		require.Equal(t, 403, w.Code, q)
		require.Empty(t, w.Body.String())
	}
	require.Equal(t, 405, s.request("PUT", "/", nil).Code)
	s.app.VerifyToken = ""
	require.Equal(t, 403, s.request("GET", "/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=", nil).Code, "an empty token opens nothing")
}

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func TestForgedTruncatedOversizedAndDeepBodiesLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	s.fb.AddPerson("Ann").Write(s.page.ID, "Xin chào / 🙂")
	body := s.fb.Body(s.fb.Take()...)
	require.Contains(t, string(body), `\u00e0`, "as Facebook escapes")
	require.Contains(t, string(body), `\/`)
	before := len(s.sink.Items())
	good := s.fb.Sign(body)
	deep := []byte(`{"object":"page","entry":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + "}")
	deepEvent := []byte(`{"object":"page","entry":[{"id":"` + s.page.ID + `","messaging":[` + strings.Repeat(`{"message":`, 60) + "1" + strings.Repeat("}", 60) + `]}]}`)
	large := bytes.Repeat([]byte(" "), 5<<20)
	many := []byte(`{"object":"page","entry":[{"id":"` + s.page.ID + `","messaging":[{}` + strings.Repeat(",{}", 6000) + `]}]}`)
	for _, c := range []struct {
		name      string
		body      []byte
		signature string
		status    int
	}{
		{"none", body, "", 403}, {"not its own", body, sign("another", body), 403}, {"of another body", append([]byte(" "), body...), good, 403},
		{"short", body, good[:60], 403}, {"long", body, good + "00", 403}, {"sha1", body, "sha1=" + good[7:], 403}, {"no hex", body, "sha256=" + strings.Repeat("z", 64), 403},
		{"upper prefix", body, "SHA256=" + good[7:], 403}, {"truncated", body[:len(body)-9], sign(s.fb.AppSecret(), body[:len(body)-9]), 400},
		{"truncated and not signed", body[:len(body)-9], good, 403}, {"empty", nil, sign(s.fb.AppSecret(), nil), 400},
		{"deep", deep, sign(s.fb.AppSecret(), deep), 400}, {"a deep event", deepEvent, sign(s.fb.AppSecret(), deepEvent), 400},
		{"large", large, sign(s.fb.AppSecret(), large), 413}, {"too many events", many, sign(s.fb.AppSecret(), many), 413},
		{"another object", []byte(`{"object":"user","entry":[]}`), sign(s.fb.AppSecret(), []byte(`{"object":"user","entry":[]}`)), 404},
		{"an array", []byte(`[]`), sign(s.fb.AppSecret(), []byte(`[]`)), 400},
	} {
		w := s.request("POST", "/", c.body, "X-Hub-Signature-256", c.signature)
		require.Equal(t, c.status, w.Code, c.name)
		require.Empty(t, w.Body.String(), c.name)
		for _, secret := range []string{good[7:], sign(s.fb.AppSecret(), c.body)[7:], s.fb.AppSecret()} {
			require.NotContains(t, fmt.Sprint(w.Header())+s.log.String(), secret, c.name)
		}
	}
	require.Len(t, s.sink.Items(), before)
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", good).Code)
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", good).Code, "replayed")
	require.Len(t, s.sink.Items(), before+1, "once")
	// Chunked, of unknown length, and too large all the same.
	r := httptest.NewRequest(http.MethodPost, "/", struct{ *bytes.Reader }{bytes.NewReader(large)})
	r.ContentLength = -1
	w := httptest.NewRecorder()
	s.app.Webhook().ServeHTTP(w, r)
	require.Equal(t, 413, w.Code)
}

func TestSecretsInRotationAreAllTaken(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	s.app.Secrets = []string{"the new one", s.fb.AppSecret(), ""}
	s.fb.AddPerson("Ann").Write(s.page.ID, "x")
	body := s.fb.Body(s.fb.Take()...)
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", sign(s.fb.AppSecret(), body)).Code)
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", sign("the new one", body)).Code)
	require.Equal(t, 403, s.request("POST", "/", body, "X-Hub-Signature-256", sign("", body)).Code, "an empty secret is none")
	s.app.Secrets = nil
	require.Equal(t, 403, s.request("POST", "/", body, "X-Hub-Signature-256", sign("", body)).Code)
}

func TestABatchIsAcknowledgedOnlyWhenAllOfItIsDurable(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	fail := true
	var rec channeltest.RecordingSink
	s := newStand(t, graphtest.Options{}, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		if fail && len(items) > 1 {
			return down
		}
		return rec.Accept(ctx, items...)
	}))
	ann := s.fb.AddPerson("Ann")
	for i := range 5 {
		ann.Write(s.page.ID, fmt.Sprint(i))
	}
	events := s.fb.Take()
	// Facebook numbers Pages that nobody has connected too.
	events = append(events, &graphtest.Event{Page: "999", Source: "messaging", Body: map[string]any{"message": map[string]any{"mid": "m_x"}}})
	body := s.fb.Body(events...)
	before := len(rec.Items())
	require.Equal(t, 503, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code)
	fail = false
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code)
	require.Len(t, rec.Items(), before+5)
	require.EqualValues(t, 1, s.app.Stats().UnknownPages)
	for _, it := range rec.Items()[before:] {
		raw, err := channel.ReadBody(it.Raw, 1<<20)
		require.NoError(t, err)
		require.Contains(t, string(raw), `"text":"`)
		require.Equal(t, 1, strings.Count(string(raw), `"mid"`), "each has a body of its own")
	}
}

func TestAPageThatIsConnectedButDoesNotRunIsToldLater(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	second := s.fb.AddPage("Second")
	s.fb.SubscribePage(second.ID)
	ch := s.open(t, second)
	s.fb.AddPerson("Ann").Write(second.ID, "x")
	body := s.fb.Body(s.fb.Take()...)
	require.Equal(t, 503, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code)
	require.NoError(t, ch.(interface{ Close() error }).Close())
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code, "nobody has it")
}

func TestAnUnknownPageIsAskedForAtThePortalsFirst(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	second := s.fb.AddPage("Second")
	s.fb.SubscribePage(second.ID)
	var ch channel.Channel
	broken := true
	detach := s.app.Attach("main", func(context.Context) error {
		if broken {
			return errors.New("the store is down")
		}
		ch = s.open(t, second)
		return nil
	})
	defer detach()
	s.fb.AddPerson("Ann").Write(second.ID, "x")
	body := s.fb.Body(s.fb.Take()...)
	require.Equal(t, 503, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code, "it cannot be told whose it is")
	broken = false
	require.Eventually(t, func() bool {
		s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body))
		return ch != nil
	}, 10*time.Second, 2*time.Millisecond)
	_, err := s.app.Open(t.Context(), channel.Account{ID: "other", Kind: facebook.Kind, Config: []byte(`{"page_id":"` + second.ID + `","rules":{}}`)}, channel.Env{Portal: "elsewhere"})
	require.ErrorContains(t, err, "page_id: ")
}

func TestABadPartOfAPostKeepsNothingElseFromBeingTaken(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		id := `"` + w.page.ID + `"`
		good := `{"id":` + id + `,"time":1767225600123,"messaging":[{"sender":{"id":"` + w.ann.PSID(w.page.ID) + `"},"recipient":{"id":` + id +
			`},"timestamp":1767225600123,"message":{"mid":"m_%d","text":"Hello"}}]}`
		for i, bad := range []string{`7`, `"text"`, `null`, `{"id":{}}`, `{"id":[1],"messaging":[{}]}`, `{"messaging":[{}]}`, `{"id":"a b","changes":[{}]}`,
			`{"id":` + id + `,"messaging":{}}`, `{"id":` + id + `,"messaging":"text","time":{}}`, `{"id":` + id + `,"changes":7}`, `{"id":` + id + `,"standby":true}`} {
			status, err := w.fb.Post(w.ctx, []byte(`{"object":"page","entry":[`+bad+`,`+fmt.Sprintf(good, i)+`]}`))
			require.NoError(w.t, err)
			require.Equal(w.t, http.StatusOK, status, bad)
			w.settle()
			require.EqualValues(w.t, i+1, w.ledger().Messages, bad)
		}
		require.EqualValues(w.t, 4, w.ledger().Ignored[channel.CauseUnknown], "what is of the Page is counted there")
		require.EqualValues(w.t, 6, w.app.Stats().UnknownPages)
		require.Zero(w.t, w.ledger().Waiting)
	})
}

func TestThePagesOfAPostDoNotWaitForEachOthersPortals(t *testing.T) {
	t.Parallel()
	down := true
	var first, second channeltest.RecordingSink
	s := newStand(t, graphtest.Options{}, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		if down && len(items[0].Keys) > 0 && strings.HasPrefix(string(items[0].Keys[0]), "raw:m:") {
			return errors.New("down")
		}
		return first.Accept(ctx, items...)
	}))
	other, idle := s.fb.AddPage("Other"), s.fb.AddPage("Idle")
	s.receive(t, s.open(t, other), other, &second)
	s.open(t, idle) // nothing receives
	ann := s.fb.AddPerson("Ann")
	for _, p := range []*graphtest.Page{idle, s.page, other} {
		s.fb.SubscribePage(p.ID)
		ann.Write(p.ID, "Hello")
	}
	events := s.fb.Take()
	require.Len(t, events, 3)
	body := s.fb.Body(events...)
	before := len(second.Items())
	require.Equal(t, 503, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code)
	require.Len(t, second.Items(), before+1, "it is safe, though all will come again")
	down = false
	before = len(first.Items())
	require.Equal(t, 503, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code, "one does not run still")
	require.Len(t, first.Items(), before+1)
}

func TestAPortalInTroubleHidesNoPageOfAnother(t *testing.T) {
	t.Parallel()
	s := newStand(t, graphtest.Options{}, nil)
	second := s.fb.AddPage("Second")
	var sink channeltest.RecordingSink
	defer s.app.Attach("down", func(context.Context) error { return errors.New("its store is down") })()
	defer s.app.Attach("other", func(context.Context) error { s.receive(t, s.open(t, second), second, &sink); return nil })()
	s.fb.SubscribePage(second.ID)
	ann := s.fb.AddPerson("Ann")
	ann.Write(second.ID, "x")
	ann.Write(s.page.ID, "y")
	body := s.fb.Body(s.fb.Take()...)
	require.Equal(t, 200, s.request("POST", "/", body, "X-Hub-Signature-256", s.fb.Sign(body)).Code)
	require.Len(t, sink.Items(), 2, "the first is what receive tries")
}

func TestUnknownEventsAreIgnoredAndCounted(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		id := `"` + w.page.ID + `"`
		for i, body := range []string{
			`"messaging":[{"sender":{"id":"1"},"recipient":{"id":` + id + `},"timestamp":1,"quantum_entanglement":{}}]`,
			`"messaging":[{"optin":{"ref":"x"}}]`, `"messaging":[{"recipient":{"id":"1"},"app_roles":{"1":["primary_receiver"]}}]`,
			`"changes":[{"field":"feed","value":{"item":"album","verb":"add"}}]`, `"changes":[{"field":"ratings","value":{}}]`,
			`"changes":[{"field":"feed","value":{"item":"comment","verb":"explode","comment_id":"1_2","post_id":"3_1"}}]`,
			`"changed_fields":["feed"]`, `"messaging":["text"]`, `"changes":[7]`, `"messaging":[{"message":"text"}]`, `"changes":[{"field":"feed","value":[]}]`,
			`"messaging":[{"message":{"mid":"m_1"},"sender":{}}]`, `"messaging":[{"pass_thread_control":{"new_owner_app_id":"1"}}]`, `"changes":[null]`,
		} {
			status, err := w.fb.Post(w.ctx, []byte(`{"object":"page","entry":[{"id":`+id+`,"time":`+fmt.Sprint(1767225600123+i)+`,`+body+`}]}`))
			require.NoError(w.t, err)
			require.Equal(w.t, http.StatusOK, status, body)
		}
		_, err := w.fb.Post(w.ctx, []byte(`{"object":"page","entry":[{"id":`+id+`,"messaging":[{"policy_enforcement":{"action":"block","reason":"spam"}}]}]}`))
		require.NoError(w.t, err)
		w.settle()
		l := w.ledger()
		require.EqualValues(w.t, 13, l.Ignored[channel.CauseUnknown])
		require.EqualValues(w.t, 1, l.Ignored["thread_control"])
		require.EqualValues(w.t, 1, l.Notices)
		require.Zero(w.t, l.Messages+l.Waiting)
	})
}
