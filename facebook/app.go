package facebook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Kind is the kind of Pages.
const Kind channel.Kind = "facebook.page"

// App is an app registered with Facebook. It serves the Pages of any number of
// portals, and is their [channel.Connector]. ID, Secrets and VerifyToken are
// required. Fields must not be changed once it is in use, and it must not be
// copied.
type App struct {
	ID string
	// Secrets are the app's secrets: the one in use first. Webhooks signed with
	// any of them are taken, so that none is lost while the secret changes.
	Secrets []string
	// VerifyToken is what Facebook shows when the webhook is set up. Empty
	// refuses every verification.
	VerifyToken string

	// Graph is where the Graph API is. Default https://graph.facebook.com.
	Graph string
	// Dialog is where the login dialog is. Default https://www.facebook.com, or
	// Graph if that is set.
	Dialog string
	// Version of the API, in every path. Default [DefaultVersion].
	Version string
	// HTTP is the client for the API and for media, but for its CheckRedirect: no
	// redirect of the API is followed, and one of media only to MediaHosts.
	// Default: one of its own.
	HTTP *http.Client
	// MediaHosts are the hosts that attachments are fetched from, with all
	// below them, by https. One with a scheme, such as http://127.0.0.1:8080,
	// is that origin only. Default [DefaultMediaHosts].
	MediaHosts []string
	// HumanAgent says that the app may answer up to 7 days after the
	// customer's last act, by the tag HUMAN_AGENT.
	HumanAgent bool
	// CommentPictures says that pictures can be added to public comments: each
	// is uploaded to the Page first, as a photo that is not published. That
	// needs the permission pages_manage_posts, which the login then asks for.
	// Without it such an answer is refused before the call.
	CommentPictures bool

	// Limits bound what others can make the app use.
	Limits Limits
	// Log is told what happens, without contents. Nil discards.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time

	once    sync.Once
	bounds  Limits
	client  *http.Client
	usage   usage
	pace    pacer
	cache   caches
	stats   counters
	refresh refresher
	// profiling has a slot for each look at a profile that is under way.
	profiling chan struct{}

	mu       sync.RWMutex
	pages    map[string]*registration // by Page id
	attached map[*attachment]struct{}
}

// DefaultVersion of the Graph API (https://developers.facebook.com/docs/graph-api/changelog).
const DefaultVersion = "v26.0"

// DefaultMediaHosts returns the hosts of Facebook's content.
func DefaultMediaHosts() []string {
	return []string{"fbcdn.net", "fbsbx.com", "facebook.com", "cdninstagram.com"}
}

// Limits bound what a peer can use. Zero fields have their defaults.
type Limits struct {
	Body        int64         // bytes of a POST; default 4 MiB
	Depth       int           // nesting of its JSON; default 32
	Events      int           // in one POST; default 5000
	Commit      time.Duration // for all its events to be durable; default 4 seconds: Facebook waits 5
	Media       int64         // bytes of one attachment; default 25 MiB
	MediaCount  int           // attachments fetched of one message; default 30
	MediaMemory int64         // bytes of an attachment held in memory, the rest in a file; default 1 MiB
	MediaWait   time.Duration // how long the files of a message are tried, from the first failure on; default 1 hour
	Picture     int64         // bytes of somebody's picture; default 512 KiB
	Pictures    int64         // bytes of the pictures held in memory; default 16 MiB
	Response    int64         // bytes of an answer of the API; default 8 MiB
	Call        time.Duration // for one call of the API; default 30 seconds, and 2 minutes with a file
	Cache       int           // entries of each cache; default 10000
	CacheFor    time.Duration // how long they hold; default 24 hours, of posts and comments an hour
	Upkeep      time.Duration // between looks at a Page's subscription; default 15 minutes
	Gap         time.Duration // a time without the engine that is fetched afterwards; default 5 minutes
	Backfill    int           // conversations, posts and comments read in one backfill; default 20000
	Repair      time.Duration // how long before a gap what was written is compared with what it is now; default 3 days, negative never
	Pace        time.Duration // between reads of conversations of a Page; default 500 ms (2 a second is Facebook's limit)
	Wait        time.Duration // for news of a message that has not come; default 1 hour
	Refresh     time.Duration // between asking the portals for unknown Pages; default 1 second
}

func orDefault[T int | int64 | time.Duration](p *T, def T) {
	if *p == 0 {
		*p = def
	}
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Body, 4<<20)
	orDefault(&l.Depth, 32)
	orDefault(&l.Events, 5000)
	orDefault(&l.Commit, 4*time.Second)
	orDefault(&l.Media, 25<<20)
	orDefault(&l.MediaCount, 30)
	orDefault(&l.MediaMemory, 1<<20)
	orDefault(&l.MediaWait, time.Hour)
	orDefault(&l.Picture, 512<<10)
	orDefault(&l.Pictures, 16<<20)
	orDefault(&l.Response, 8<<20)
	orDefault(&l.Call, 30*time.Second)
	orDefault(&l.Cache, 10000)
	orDefault(&l.CacheFor, 24*time.Hour)
	orDefault(&l.Upkeep, 15*time.Minute)
	orDefault(&l.Gap, 5*time.Minute)
	orDefault(&l.Backfill, 20000)
	orDefault(&l.Repair, 72*time.Hour)
	orDefault(&l.Pace, 500*time.Millisecond)
	orDefault(&l.Wait, time.Hour)
	orDefault(&l.Refresh, time.Second)
	return l
}

// prepare fills in what is not set.
func (a *App) prepare() {
	a.once.Do(func() {
		a.bounds = a.Limits.withDefaults()
		client := http.Client{} // each call has its own time limit
		if a.HTTP != nil {
			client = *a.HTTP
		} else {
			client.Transport = http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
		}
		// A redirect is followed by us, to where files may be fetched from, or not at all.
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		a.client = &client
		a.cache.open(a.bounds.Cache, a.bounds.Pictures)
		a.profiling = make(chan struct{}, maxProfiling)
	})
}

func (a *App) limits() *Limits { a.prepare(); return &a.bounds }

func (a *App) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func (a *App) log() *slog.Logger {
	if a.Log != nil {
		return a.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (a *App) secret() string {
	if len(a.Secrets) == 0 {
		return ""
	}
	return a.Secrets[0]
}

// String names the app, without its secrets.
func (a *App) String() string { return "facebook.App(" + a.ID + ")" }

// Format writes String whatever the verb.
func (a *App) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.String()) }

// Kind returns [Kind].
func (*App) Kind() channel.Kind { return Kind }

// Stats counts what the webhook has seen on this node since it began.
type Stats struct {
	Posts        int64 // taken
	Refused      int64 // for their signature, size or form
	Failed       int64 // not durable: they come again
	Events       int64 // of the posts that were taken
	UnknownPages int64 // events of Pages that nobody has connected
	Rejected     int64 // events that can never be taken
}

type counters struct {
	mu sync.Mutex
	s  Stats
}

func (c *counters) add(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.s)
}

// Stats returns what was counted so far.
func (a *App) Stats() Stats {
	a.stats.mu.Lock()
	defer a.stats.mu.Unlock()
	return a.stats.s
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
