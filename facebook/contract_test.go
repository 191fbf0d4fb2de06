package facebook_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

func newApp(fb *graphtest.Graph) *facebook.App {
	return &facebook.App{ID: fb.AppID(), Secrets: []string{fb.AppSecret()}, VerifyToken: "verify", Graph: fb.URL(), HTTP: fb.Client(),
		MediaHosts: []string{fb.MediaHost()}, Limits: facebook.Limits{Upkeep: time.Hour, Pace: time.Millisecond, Refresh: time.Millisecond}}
}

func TestAPageKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	for name, doubts := range graphtest.Variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, func(t testing.TB) channeltest.Harness { return harness(t, doubts) })
		})
	}
}

func harness(t testing.TB, doubts graphtest.Doubts) channeltest.Harness {
	fb := graphtest.New(graphtest.Options{Doubts: doubts, RequireProof: true})
	page := fb.AddPage("Shop")
	admin := fb.AddPerson("Admin")
	app := newApp(fb)
	if err := fb.Subscribe(app.Webhook(), "verify"); err != nil {
		t.Fatal(err)
	}
	fb.SubscribePage(page.ID)
	acct, err := facebook.Page{ID: page.ID, Name: "Shop", Token: admin.PageToken(page.ID), Rules: facebook.Rules{Messages: true}}.Account()
	if err != nil {
		t.Fatal(err)
	}
	customer := fb.AddPerson("Mai Lê")
	mid := customer.Write(page.ID, "Xin chào")
	fb.Take()
	conversation := "m:" + customer.PSID(page.ID)
	var mu sync.Mutex
	things := map[int][]byte{}
	always := func(f graphtest.Fault) func(context.Context) error {
		return func(context.Context) error {
			f.Path, f.Method, f.Times = "/messages", http.MethodPost, -1
			fb.Fail(f)
			return nil
		}
	}
	written := time.Now()
	return channeltest.Harness{
		Connector: app, Account: acct,
		Deliver: func(ctx context.Context, n int) error {
			mu.Lock()
			body := things[n]
			if body == nil {
				fb.AddPerson(fmt.Sprint("Customer ", n)).Write(page.ID, fmt.Sprint("Message ", n))
				body = fb.Body(fb.Take()...)
				things[n] = body
			}
			mu.Unlock()
			status, err := fb.Post(ctx, body)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d", status)
			}
			return err
		},
		Outbound: func(n int) *channel.Outbound {
			return &channel.Outbound{ID: fmt.Sprint("m", n), Conversation: conversation, To: []channel.Party{{Address: customer.PSID(page.ID)}},
				Text: fmt.Sprintf("lời đáp số %d", n), Token: fmt.Sprintf("tok3n0123456789abcdefgh%d", n), References: []string{mid},
				LastAct: written, Date: written}
		},
		Arrived: func(_ context.Context, n int) (int, error) {
			count := 0
			for _, s := range fb.Sent() {
				if s.Metadata == fmt.Sprintf("tok3n0123456789abcdefgh%d", n) {
					count++
				}
			}
			return count, nil
		},
		LoseAnswer: always(graphtest.Fault{Lost: true, Done: true}),
		Refuse:     always(graphtest.Fault{Code: 551}),
		Down:       always(graphtest.Fault{Down: true}),
		Action:     channel.Action{Verb: channel.VerbTyping, Conversation: conversation},
	}
}
