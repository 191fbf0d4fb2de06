package ticket_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// receiver is a webhook's far end, without a network.
type receiver struct {
	mu     sync.Mutex
	answer func(n int) int // status of request n
	n      int
	taken  []ticket.Event
	tries  map[string]int
	bad    []string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	id := req.Header.Get("Webhook-Id")
	if ticket.VerifyWebhook(req.Header, []byte(hookSecret), body, time.Now()) != nil {
		r.bad = append(r.bad, id)
	}
	r.n++
	r.tries[id]++
	status := r.answer(r.n)
	if status/100 == 2 {
		var e ticket.Event
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, err
		}
		r.taken = append(r.taken, e)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(nil))}, nil
}

const hookSecret = "0123456789abcdef0123456789abcdef"

func inHookedOffice(t *testing.T, answer func(n int) int, f func(o *office, r *receiver)) {
	t.Helper()
	r := &receiver{answer: answer, tries: map[string]int{}}
	inOffice(t, func(c *ticket.Config) {
		c.Key = bytes.Repeat([]byte{1}, 32)
		c.HTTP = &http.Client{Transport: r}
	}, func(o *office) { f(o, r) })
}

func TestAWebhookIsToldOfEachEventInOrderOverFailuresAndRestarts(t *testing.T) {
	inHookedOffice(t, func(n int) int {
		if n%3 == 1 {
			return 503
		}
		return 204
	}, func(o *office, r *receiver) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		before := len(o.events())
		require.NoError(t, o.desk.PutWebhook(o.ctx, ticket.Webhook{ID: "crm", URL: "https://crm.example/hook", Secret: []byte(hookSecret)}))
		for i := range 5 {
			o.deliver(box, mail("a@c.example", string(rune('a'+i))))
			if i == 2 {
				o.restart()
			}
		}
		time.Sleep(time.Hour)
		want := o.events()[before:]
		require.Empty(t, r.bad, "every request is signed")
		require.Len(t, r.taken, len(want))
		for i, e := range want {
			require.Equal(t, e.Cursor, r.taken[i].Cursor, "in order, from when it was added, none skipped")
		}
		hooks, err := o.desk.Webhooks(o.ctx)
		require.NoError(t, err)
		require.Equal(t, want[len(want)-1].Cursor, hooks[0].Cursor)
		require.Empty(t, hooks[0].Secret)
	})
}

func TestAWebhookWantsSomeTypesAndCanBeSwitchedOffAndDeleted(t *testing.T) {
	gone := false
	inHookedOffice(t, func(int) int {
		if gone {
			return http.StatusGone
		}
		return 200
	}, func(o *office, r *receiver) {
		o.mailbox(box, ticket.Settings{})
		hook := ticket.Webhook{ID: "crm", URL: "http://localhost:1/hook", Secret: []byte(hookSecret), Types: []ticket.EventType{ticket.EventTicketCreated}}
		require.NoError(t, o.desk.PutWebhook(o.ctx, hook))
		o.deliver(box, mail("a@c.example", "1"))
		time.Sleep(time.Minute)
		require.Len(t, r.taken, 1)
		require.Equal(t, ticket.EventTicketCreated, r.taken[0].Type)

		r.mu.Lock()
		gone = true
		r.mu.Unlock()
		o.deliver(box, mail("b@c.example", "2"))
		time.Sleep(2 * time.Hour)
		hooks, err := o.desk.Webhooks(o.ctx)
		require.NoError(t, err)
		require.True(t, hooks[0].Inactive, "410 switches it off")
		n := r.n
		o.deliver(box, mail("d@c.example", "3"))
		time.Sleep(2 * time.Hour)
		require.Equal(t, n, r.n)
		require.NoError(t, o.desk.DeleteWebhook(o.ctx, "crm"))
		require.ErrorIs(t, o.desk.DeleteWebhook(o.ctx, "crm"), ticket.ErrNotFound)
	})
}

func TestBadWebhooksAreRefused(t *testing.T) {
	inHookedOffice(t, func(int) int { return 200 }, func(o *office, _ *receiver) {
		for field, h := range map[string]ticket.Webhook{
			"id":     {URL: "https://a.example", Secret: []byte(hookSecret)},
			"url":    {ID: "x", URL: "http://a.example", Secret: []byte(hookSecret)},
			"secret": {ID: "x", URL: "https://a.example", Secret: []byte("short")},
		} {
			var bad *channel.FieldError
			require.ErrorAs(t, o.desk.PutWebhook(o.ctx, h), &bad)
			require.Equal(t, field, bad.Field)
		}
		var bad *channel.FieldError
		require.ErrorAs(t, o.desk.PutWebhook(o.ctx, ticket.Webhook{ID: "x", URL: "https://a.example"}), &bad)
		require.Equal(t, "secret", bad.Field)
	})
}

// The vector of the specification's reference implementations
// (https://www.standardwebhooks.com): the secret is the base64 behind "whsec_".
func TestWebhooksAreSignedAsTheSpecificationSays(t *testing.T) {
	t.Parallel()
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	h := http.Header{}
	ticket.SignWebhook(h, secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))

	require.NoError(t, ticket.VerifyWebhook(h, secret, body, at.Add(time.Minute)))
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString([]byte("of the secret before"))+" "+h.Get("Webhook-Signature"))
	require.NoError(t, ticket.VerifyWebhook(h, secret, body, at.Add(-time.Minute)))
	require.ErrorContains(t, ticket.VerifyWebhook(h, secret, body, at.Add(6*time.Minute)), "too long ago")
	require.ErrorContains(t, ticket.VerifyWebhook(h, secret, body, at.Add(-6*time.Minute)), "clocks")
	require.ErrorContains(t, ticket.VerifyWebhook(h, secret, []byte("{}"), at), "signature")
	require.ErrorContains(t, ticket.VerifyWebhook(h, []byte("another secret, long enough"), body, at), "signature")
	ticket.SignWebhook(h, nil, "forged", at, body)
	require.ErrorContains(t, ticket.VerifyWebhook(h, nil, body, at), "secret is empty")
	ticket.SignWebhook(h, secret, "msg", at, body)
	for _, header := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		without := h.Clone()
		without.Del(header)
		require.Error(t, ticket.VerifyWebhook(without, secret, body, at), header)
	}
}
