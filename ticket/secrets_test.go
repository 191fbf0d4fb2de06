package ticket_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

var keyAge = map[string]string{
	"old": "old-key-of-exactly-32-bytes-oooo",
	"new": "new-key-of-exactly-32-bytes-nnnn",
}

// talkative is a connector that tells what it was given wherever it can.
type talkative struct {
	mu     sync.Mutex
	opens  int
	env    channel.Env
	acct   channel.Account
	refuse bool // the login fails
}

func (*talkative) Kind() channel.Kind { return "talkative" }

func (c *talkative) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opens++
	env.Log.Debug("opened", "account", acct, "credentials", acct.Credentials, "all", fmt.Sprintf("%v %+v %#v", acct, &acct, acct))
	if c.refuse {
		return nil, fmt.Errorf("login of %+v with %#v failed", acct, acct.Credentials)
	}
	c.env, c.acct = env, acct
	return talker{acct}, nil
}

type talker struct{ acct channel.Account }

func (t talker) Info() channel.Info {
	return channel.Info{ID: t.acct.ID, Kind: t.acct.Kind, Name: t.acct.Name, Address: t.acct.Name, Scheme: "mailto", Mail: true, CanSend: true, CanReceive: true}
}

func (t talker) Receive(ctx context.Context, _ channel.Sink) error {
	<-ctx.Done()
	return nil
}

func (t talker) Send(context.Context, *channel.Outbound) (channel.Receipt, error) {
	return channel.Receipt{}, &channel.SendError{Outcome: channel.Rejected, Code: "login", Reason: fmt.Sprintf("535 login of %+v failed", t.acct)}
}

func (t talker) Check(context.Context) []channel.Finding {
	return []channel.Finding{{Code: "login", Severity: channel.SeverityError, Text: fmt.Sprintf("%+v", t.acct)}}
}

type talkativeConfig struct{ address, password string }

func (c talkativeConfig) Account() (channel.Account, error) {
	return channel.Account{Kind: "talkative", Name: c.address, Config: []byte(`{"host":"smtp.example"}`),
		Credentials: channel.NewCredentials(map[string]string{"password": c.password})}, nil
}

// vault holds all secrets that were put in, and everything that came out.
type vault struct {
	t       *testing.T
	dir     string
	secrets map[string][]byte
	out     lockedBuffer
	logs    lockedBuffer // they are in out too
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// put returns a new secret, and remembers it.
func (v *vault) put(name string) string {
	s := fmt.Sprintf("secret-%s-%x", name, sha256.Sum256([]byte(name)))[:48]
	v.secrets[name] = []byte(s)
	return s
}

// show prints and marshals values in every way.
func (v *vault) show(values ...any) {
	for _, x := range values {
		fmt.Fprintf(&v.out, "%v %+v %#v %s\n", x, x, x, x)
		if j, err := json.Marshal(x); err == nil {
			v.out.Write(append(j, '\n'))
		}
		slog.New(slog.NewJSONHandler(&v.out, nil)).Info("show", "value", x)
		slog.New(slog.NewTextHandler(&v.out, nil)).Info("show", "value", x)
	}
}

// forms are the ways in which bytes are written in text.
func forms(s []byte) []string {
	list, dump := strings.Trim(fmt.Sprint(s), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", s), "[]byte{"), "}")
	out := []string{string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)), list, strings.ReplaceAll(list, " ", ","), dump}
	for i := range 3 { // base64 of a text that holds it anywhere
		out = append(out, base64.StdEncoding.EncodeToString(s[i:i+(len(s)-i)/3*3]))
	}
	return out
}

// search looks for the secrets in all that came out and in every file.
func (v *vault) search(when string) {
	v.t.Helper()
	places := map[string]string{"output": v.out.String()}
	require.NoError(v.t, filepath.WalkDir(v.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		places[filepath.Base(path)] = string(b)
		return err
	}))
	require.Greater(v.t, len(places), 2, "the database, its log and blobs")
	for place, text := range places {
		for name, secret := range v.secrets {
			for _, form := range forms(secret) {
				if strings.Contains(text, form) { // without printing all of the text
					require.Fail(v.t, "a secret is readable", "%s: %s has the secret %q as %.20s...", when, place, name, form)
				}
			}
		}
	}
}

// unseal undoes the sealing with a key: AES-256-GCM, after four bytes of the
// key's SHA-256 and the nonce.
func unseal(t *testing.T, key string, sealed []byte, purpose string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	require.Equal(t, sum[:4], sealed[:4], "%s is sealed with this key", purpose)
	block, err := aes.NewCipher([]byte(key))
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plain, err := aead.Open(nil, sealed[4:16], sealed[16:], []byte(purpose))
	require.NoError(t, err)
	return plain
}

// sealed are the sealed values of a portal by what they are sealed for.
func sealed(t *testing.T, s ticket.Store) map[string][]byte {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), ticket.Want{Kinds: []ticket.RecordKind{"channel", "webhook", "keyring"}})
	require.NoError(t, err)
	out := map[string][]byte{}
	for ref, rec := range snap.Records {
		var doc struct{ Sealed []byte }
		require.NoError(t, json.Unmarshal(rec.Doc, &doc))
		purpose := map[ticket.RecordKind]string{"channel": "credentials:" + ref.ID, "webhook": "webhook:" + ref.ID, "keyring": "keyring"}[ref.Kind]
		out[purpose] = doc.Sealed
	}
	return out
}

func TestNoSecretIsReadableAnywhere(t *testing.T) {
	t.Parallel()
	v := &vault{t: t, dir: t.TempDir(), secrets: map[string][]byte{}}
	for name, key := range keyAge {
		v.secrets[name+" key"] = []byte(key)
	}
	db, err := sqlitestore.Open(filepath.Join(v.dir, "anteroom.db"))
	require.NoError(t, err)
	blobs, err := dirblob.Open(filepath.Join(v.dir, "blobs"), dirblob.FreeDisk(0))
	require.NoError(t, err)
	conn := &talkative{}
	hookURL := "https://hooks.example/" + v.put("webhookpath")
	cfg := ticket.Config{
		Store: db.Portal("main"), Blobs: blobs, Connectors: []channel.Connector{conn}, Undo: -1,
		Limits: ticket.Limits{InlineBody: 10}, Timing: ticket.Timing{Poll: 10 * time.Millisecond},
		Log: slog.New(slog.NewJSONHandler(io.MultiWriter(&v.out, &v.logs), &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
		Key: []byte(keyAge["old"]),
		HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("connection refused")
		})},
	}
	delete(v.secrets, "webhookpath") // an URL is configuration: it is kept, but not logged
	ctx := t.Context()

	desk, err := ticket.New(cfg)
	require.NoError(t, err)
	require.NoError(t, desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}))
	conn.refuse = true
	_, err = desk.Connect(ctx, talkativeConfig{"a@portal.example", v.put("refused")}, ticket.Settings{})
	require.Error(t, err)
	v.show(err)
	conn.refuse = false
	first := talkativeConfig{"a@portal.example", v.put("connected")}
	ch, err := desk.Connect(ctx, first, ticket.Settings{})
	require.NoError(t, err)
	_, err = desk.Connect(ctx, talkativeConfig{"a@portal.example", v.put("taken")}, ticket.Settings{})
	require.Error(t, err)
	v.show(err)
	_, err = desk.Update(ctx, ch.ID, ticket.ChannelPatch{Config: talkativeConfig{"a@portal.example", v.put("updated")}})
	require.NoError(t, err)
	require.NoError(t, conn.env.SaveCredentials(ctx, channel.NewCredentials(map[string]string{"password": v.put("renewed"), "token": v.put("token")})))
	hook := ticket.Webhook{ID: "h", URL: hookURL, Secret: []byte(v.put("hook"))}
	require.NoError(t, desk.PutWebhook(ctx, hook))
	bad := hook
	bad.URL = "ftp://x"
	v.show(hook, &hook, desk.PutWebhook(ctx, bad))
	ring := unseal(t, keyAge["old"], sealed(t, cfg.Store)["keyring"], "keyring")
	var tokens struct {
		Secrets [][]byte `json:"secrets"`
	}
	require.NoError(t, json.Unmarshal(ring, &tokens))
	require.Len(t, tokens.Secrets, 1)
	v.secrets["token ring"] = tokens.Secrets[0]

	// A message goes in and an answer fails to log in, while webhooks fail.
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- desk.Run(run) }()
	require.NoError(t, desk.Accept(ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Raw: channel.Bytes("a body of some bytes"),
		Message: &channel.Message{From: channel.Party{Address: "mai@c.example"}, Subject: "Hi", Text: "x"}}))
	ts, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	m, err := desk.Reply(ctx, ts[0].ID, ticket.Draft{By: "an", Text: "Answer"})
	require.NoError(t, err)
	for e, err := range desk.Follow(ctx, 0) {
		require.NoError(t, err)
		v.show(*e)
		if e.Type == ticket.EventMessageState && e.Data["state"] == string(ticket.StateFailed) {
			break
		}
	}
	m, err = desk.Message(ctx, m.ID)
	require.NoError(t, err)
	require.Contains(t, m.StateDetail, "535 login", "the error is told, without what is secret in it")
	require.Eventually(t, func() bool { return strings.Contains(v.logs.String(), "connection refused") }, 10*time.Second, time.Millisecond, "the webhook failed")
	require.NotContains(t, v.logs.String(), "webhookpath", "its URL is not logged")

	inspect := func(d *ticket.Desk, cfg ticket.Config) {
		list, err := d.Channels(ctx)
		require.NoError(t, err)
		hooks, err := d.Webhooks(ctx)
		require.NoError(t, err)
		findings, err := d.Check(ctx, ch.ID)
		require.NoError(t, err)
		why, err := d.Explain(ctx, m.ID)
		require.NoError(t, err)
		agents, err := d.Agents(ctx)
		require.NoError(t, err)
		v.show(d, cfg, &cfg, list, *list[0], hooks, findings, why, *m, agents)
	}
	inspect(desk, cfg)
	v.search("in use")
	stop()
	require.NoError(t, <-done)

	// Both keys, then the new one alone.
	both := cfg
	both.Key, both.OldKeys = []byte(keyAge["new"]), [][]byte{[]byte(keyAge["old"])}
	desk, err = ticket.New(both)
	require.NoError(t, err)
	opens := conn.opens
	n, err := desk.Reseal(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, n, "the token ring, a channel, a webhook")
	n, err = desk.Reseal(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, desk.Refresh(ctx))
	require.Equal(t, opens, conn.opens, "nothing is opened anew for it")
	for purpose, s := range sealed(t, cfg.Store) {
		plain := unseal(t, keyAge["new"], s, purpose)
		switch purpose {
		case "keyring":
			require.Equal(t, ring, plain)
		case "webhook:h":
			require.Equal(t, v.secrets["hook"], plain)
		default:
			require.Contains(t, string(plain), string(v.secrets["renewed"]))
		}
	}
	inspect(desk, both)
	v.search("after the rotation")

	_, err = ticket.New(cfg)
	require.ErrorIs(t, err, ticket.ErrWrongKey)
	v.show(err)
	after := cfg
	after.Key, after.OldKeys = []byte(keyAge["new"]), nil
	desk, err = ticket.New(after)
	require.NoError(t, err)
	inspect(desk, after)
	require.Equal(t, string(v.secrets["renewed"]), conn.acct.Credentials.Get("password"))
	require.NoError(t, db.Close())
	v.search("after the end")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What no key opens is named, and nothing is changed for its sake.
func TestResealingIsAllOrNothing(t *testing.T) {
	t.Parallel()
	db, err := sqlitestore.Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	defer db.Close()
	ctx, conn := t.Context(), &talkative{}
	cfg := ticket.Config{Store: db.Portal("main"), Connectors: []channel.Connector{conn}, Key: []byte(keyAge["old"])}
	desk, err := ticket.New(cfg)
	require.NoError(t, err)
	ch, err := desk.Connect(ctx, talkativeConfig{"a@portal.example", "pass"}, ticket.Settings{})
	require.NoError(t, err)
	snap, err := cfg.Store.Snapshot(ctx, ticket.Want{Records: []ticket.RecordRef{{Kind: "channel", ID: string(ch.ID)}}})
	require.NoError(t, err)
	for _, rec := range snap.Records {
		var doc map[string]any
		require.NoError(t, json.Unmarshal(rec.Doc, &doc))
		doc["sealed"] = bytes.Repeat([]byte{1}, 60)
		rec.Doc, err = json.Marshal(doc)
		require.NoError(t, err)
		require.NoError(t, cfg.Store.Commit(ctx, &ticket.Changes{At: time.Now(), Records: []*ticket.Record{rec}}))
	}
	before := sealed(t, cfg.Store)
	cfg.Key, cfg.OldKeys = []byte(keyAge["new"]), [][]byte{[]byte(keyAge["old"])}
	desk, err = ticket.New(cfg)
	require.NoError(t, err)
	_, err = desk.Reseal(ctx)
	require.ErrorIs(t, err, ticket.ErrWrongKey)
	require.ErrorContains(t, err, string(ch.ID))
	require.Equal(t, before, sealed(t, cfg.Store))
}

func TestWithoutAKeyThereIsNothingToReseal(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		n, err := o.desk.Reseal(o.ctx)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// The opening that renewed its credentials goes on; another node's is opened
// with the new ones.
func TestRenewedCredentialsReopenTheChannelOnOtherNodesOnly(t *testing.T) {
	t.Parallel()
	db, err := sqlitestore.Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	defer db.Close()
	ctx := t.Context()
	var conns [2]*talkative
	var desks [2]*ticket.Desk
	for i := range desks {
		conns[i] = &talkative{}
		desks[i], err = ticket.New(ticket.Config{Store: db.Portal("main"), Connectors: []channel.Connector{conns[i]}, Key: []byte(keyAge["old"])})
		require.NoError(t, err)
	}
	_, err = desks[0].Connect(ctx, talkativeConfig{"a@portal.example", "first"}, ticket.Settings{})
	require.NoError(t, err)
	require.NoError(t, desks[1].Refresh(ctx))
	before := [2]int{conns[0].opens, conns[1].opens}
	require.NoError(t, conns[0].env.SaveCredentials(ctx, channel.NewCredentials(map[string]string{"password": "renewed"})))
	for range 3 {
		require.NoError(t, desks[0].Refresh(ctx))
		require.NoError(t, desks[1].Refresh(ctx))
	}
	require.Equal(t, [2]int{before[0], before[1] + 1}, [2]int{conns[0].opens, conns[1].opens})
	require.Equal(t, "renewed", conns[1].acct.Credentials.Get("password"))
}
