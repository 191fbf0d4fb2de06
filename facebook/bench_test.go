package facebook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

const benchConnections = 64

// BenchmarkWebhook sends signed POSTs of 1 KB over 64 connections, to the webhook
// with a desk on SQLite, and to a bare handler that checks the signature and
// commits a hand-written transaction with the same rows, grouped. They are taken
// in turns. The metrics: throughput of ours over that of the bound, and p99 of
// ours over that of the bound.
func BenchmarkWebhook(b *testing.B) {
	fb := graphtest.New(graphtest.Options{})
	page := fb.AddPage("Shop")
	ours, bound := startOurs(b, fb, page), startBound(b, fb)
	var here, there time.Duration
	var p99here, p99there []time.Duration
	b.ResetTimer()
	for left := b.N; left > 0; left -= 4000 {
		n := min(left, 4000)
		bodies := benchBodies(fb, page, n)
		t, p := load(b, fb, ours, bodies)
		here, p99here = here+t, append(p99here, p)
		t, p = load(b, fb, bound, benchBodies(fb, page, n))
		there, p99there = there+t, append(p99there, p)
	}
	slices.Sort(p99here)
	slices.Sort(p99there)
	b.ReportMetric(float64(there)/float64(here), "of-bound")
	b.ReportMetric(float64(p99here[len(p99here)/2])/float64(p99there[len(p99there)/2]), "p99-of-bound")
	b.ReportMetric(float64(b.N)/here.Seconds(), "posts/s")
}

var benchCount atomic.Int64

func benchBodies(fb *graphtest.Graph, page *graphtest.Page, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = fb.Body(&graphtest.Event{Page: page.ID, Source: "messaging", Body: map[string]any{"sender": map[string]any{"id": "24680135792468"},
			"recipient": map[string]any{"id": page.ID}, "timestamp": time.Now().UnixMilli(),
			"message": map[string]any{"mid": fmt.Sprint("m_", benchCount.Add(1), "_bench"), "text": strings.Repeat("còn hàng không ", 45)}}})
	}
	return out
}

// load posts the bodies and returns how long that took, and the p99 of one.
func load(b *testing.B, fb *graphtest.Graph, url string, bodies [][]byte) (time.Duration, time.Duration) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wg sync.WaitGroup
	took := make([]time.Duration, len(bodies))
	signatures := make([]string, len(bodies))
	for i, body := range bodies {
		signatures[i] = fb.Sign(body)
	}
	began := time.Now()
	for range benchConnections {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(bodies); i = next.Add(1) - 1 {
				at := time.Now()
				req, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(bodies[i]))
				req.Header.Set("X-Hub-Signature-256", signatures[i])
				resp, err := client.Do(req)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("post: %v %v", resp, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took[i] = time.Since(at)
			}
		})
	}
	wg.Wait()
	total := time.Since(began)
	slices.Sort(took)
	return total, took[len(took)*99/100]
}

func startOurs(b *testing.B, fb *graphtest.Graph, page *graphtest.Page) string {
	b.Helper()
	db, err := sqlitestore.Open(filepath.Join(b.TempDir(), "ours.db"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	app := newApp(fb)
	desk, err := ticket.New(ticket.Config{Store: db.Portal("main"), Connectors: []channel.Connector{app}, Key: make([]byte, 32)})
	require.NoError(b, err)
	ch, err := desk.Connect(b.Context(), facebook.Page{ID: page.ID}, ticket.Settings{})
	require.NoError(b, err)
	// The desk does not run, so that only what comes before the 200 is measured.
	opened, err := app.Open(b.Context(), channel.Account{ID: ch.ID, Kind: facebook.Kind, Config: ch.Config}, channel.Env{Portal: "main", Now: time.Now})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- opened.(channel.Receiver).Receive(ctx, desk) }()
	b.Cleanup(func() { cancel(); <-done })
	srv := httptest.NewServer(app.Webhook())
	b.Cleanup(srv.Close)
	require.Eventually(b, func() bool {
		body := benchBodies(fb, page, 1)[0]
		req, _ := http.NewRequest(http.MethodPost, srv.URL, bytes.NewReader(body))
		req.Header.Set("X-Hub-Signature-256", fb.Sign(body))
		resp, err := http.DefaultClient.Do(req)
		return err == nil && resp.StatusCode == http.StatusOK
	}, 10*time.Second, time.Millisecond)
	return srv.URL
}

// startBound is the least that a durable webhook does: the signature, and one
// transaction for all that wait.
func startBound(b *testing.B, fb *graphtest.Graph) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bound.db")
	made, err := sqlitestore.Open(path) // for the same tables
	require.NoError(b, err)
	require.NoError(b, made.Close())
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	require.NoError(b, err)
	db.SetMaxOpenConns(1)
	var prepared []*sql.Stmt
	for _, q := range []string{
		"INSERT INTO keys VALUES (1, ?, 'item', ?)",
		"INSERT INTO bodies (portal, id, data) VALUES (1, ?, ?)",
		"INSERT INTO items VALUES (1, ?, 1, 'ch', ?, 'waiting', '', NULL, ?)",
		"INSERT INTO ledger VALUES (1, ?, 'ch', 'waiting', '', 1) ON CONFLICT DO UPDATE SET count = count + 1",
		"INSERT INTO works VALUES (1, ?, 1, 'ch', ?, 0, 0, 0, '', 0, ?)",
	} {
		stmt, err := db.Prepare(q)
		require.NoError(b, err)
		prepared = append(prepared, stmt)
	}
	type waiting struct {
		body []byte
		done chan error
	}
	queue := make(chan waiting, 2*benchConnections)
	var writer sync.WaitGroup
	writer.Go(func() {
		for first := range queue {
			group := []waiting{first}
			for more := true; more; {
				select {
				case w := <-queue:
					group = append(group, w)
				default:
					more = false
				}
			}
			err := func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				for _, w := range group {
					key := sha256.Sum256(w.body)
					item, raw, work := uuid.NewString(), uuid.NewString(), uuid.NewString()
					day := time.Now().UTC().Format(time.DateOnly)
					for i, args := range [][]any{
						{key[:], item},
						{raw, w.body},
						{item, day, `{"id":"` + item + `","channel":"ch","day":"` + day + `","disposition":"waiting","raw":{"id":"` + raw + `","size":1024}}`},
						{day},
						{work, time.Now().UnixMicro(), `{"id":"` + work + `","kind":"interpret","lane":"ch","item":"` + item + `"}`},
					} {
						if _, err := tx.Stmt(prepared[i]).Exec(args...); err != nil {
							_ = tx.Rollback()
							return err
						}
					}
				}
				return tx.Commit()
			}()
			for _, w := range group {
				w.done <- err
			}
		}
	})
	b.Cleanup(func() { close(queue); writer.Wait(); db.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(fb.AppSecret()))
		mac.Write(body)
		if err != nil || !hmac.Equal([]byte(fmt.Sprintf("sha256=%x", mac.Sum(nil))), []byte(r.Header.Get("X-Hub-Signature-256"))) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		one := waiting{body, make(chan error, 1)}
		queue <- one
		if err := <-one.done; err != nil {
			b.Error(err)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	b.Cleanup(srv.Close)
	return srv.URL
}
