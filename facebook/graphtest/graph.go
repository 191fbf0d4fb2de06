package graphtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options says what a [Graph] is like. The zero value is fine.
type Options struct {
	// URL is where a program that needs an address reaches it. Default: an
	// address that only [Graph.Client] knows.
	URL string
	// Now is the clock. Default time.Now, which is virtual in synctest.
	Now func() time.Time
	// Doubts are played the other way.
	Doubts Doubts
	// RequireProof makes appsecret_proof compulsory (ref 1, D).
	RequireProof bool
	// HumanAgent says that the app may use the tag HUMAN_AGENT (ref 5.1, D).
	HumanAgent bool
	// Batch is how many events a POST holds at most. Default 1; Facebook's
	// bound is 1000 (ref 2.3, D).
	Batch int
}

// Graph is Facebook. Make it with [New]. All methods are safe for concurrent use.
type Graph struct {
	opts Options

	mu       sync.Mutex
	nextID   int64
	pages    map[string]*Page
	people   map[string]*Person // by user id
	tokens   map[string]*token
	codes    map[string]*code
	nodes    map[string]*node   // posts and comments
	threads  map[string]*thread // by page and PSID
	media    map[string]medium
	faults   []*Fault
	calls    []Call
	photos   map[string]*photo // uploaded and not published
	callback *callback
	fields   []string // subscribed at app level
	queue    []*Event
	wake     chan struct{}
	changed  chan struct{}
	posts    int // POSTs made
	sent     []Sent
}

// New returns a Facebook with one app and nobody on it.
func New(opts Options) *Graph {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.URL == "" {
		opts.URL = baseURL
	}
	if opts.Batch <= 0 {
		opts.Batch = 1
	}
	return &Graph{
		opts: opts, nextID: 1029384756000, pages: map[string]*Page{}, people: map[string]*Person{}, tokens: map[string]*token{},
		codes: map[string]*code{}, nodes: map[string]*node{}, threads: map[string]*thread{}, media: map[string]medium{},
		photos: map[string]*photo{}, wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

const (
	appID     = "555666777888"
	appSecret = "0123456789abcdef-app-secret"
	baseURL   = "http://graph.fake"
)

// AppID returns the id of the app.
func (g *Graph) AppID() string { return appID }

// AppSecret returns its secret.
func (g *Graph) AppSecret() string { return appSecret }

// URL returns where the Graph API and the dialog are.
func (g *Graph) URL() string { return g.opts.URL }

// Client returns a client that reaches this Facebook, and nothing else.
func (g *Graph) Client() *http.Client {
	return &http.Client{Transport: (*transport)(g), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// id returns a new id of the usual size (ref 1, D).
func (g *Graph) id() string {
	g.nextID += 7
	return fmt.Sprint(g.nextID)
}

func (g *Graph) now() time.Time { return g.opts.Now() }

// Page is a Page and what Facebook knows about it.
type Page struct {
	g          *Graph
	ID, Name   string
	subscribed []string // fields, of this app
	defaultApp string   // "" when conversation routing is off (ref 9.1, D)
	takeOver   bool     // the app may take control
}

// AddPage makes a Page.
func (g *Graph) AddPage(name string) *Page {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &Page{g: g, ID: g.id(), Name: name, takeOver: true}
	g.pages[p.ID] = p
	return p
}

// SubscribePage subscribes the app to the Page's events, with all fields, as
// POST /{page}/subscribed_apps does.
func (g *Graph) SubscribePage(page string, fields ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(fields) == 0 {
		fields = allFields
	}
	g.pages[page].subscribed = fields
}

// Subscribed returns the fields of a Page that the app is subscribed to.
func (g *Graph) Subscribed(page string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string{}, g.pages[page].subscribed...)
}

// allFields are the fields of Pages that exist here (ref 8.2, D).
var allFields = strings.Fields("messages messaging_postbacks message_echoes message_deliveries message_reads message_reactions " +
	"message_edits messaging_referrals messaging_optins messaging_handovers standby messaging_policy_enforcement feed mention ratings")

// Route sets the Page's default app, as its admin does in the settings: "" turns
// routing off. takeOver says whether our app may take control (ref 9.1, D).
func (p *Page) Route(defaultApp string, takeOver bool) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.defaultApp, p.takeOver = defaultApp, takeOver
}

// Other app ids.
const (
	OtherApp = "111222333444"
	// InboxApp is the Page inbox; two values are documented (ref 3.4, D).
	InboxApp  = "263902037430900"
	inboxEcho = "26390203743090"
)

// Doubts are what the reference is unsure of. False plays the likelier way.
type Doubts struct {
	// NumericIDs sends ids as JSON numbers (ref 1, O).
	NumericIDs bool
	// SecondsInMessaging sends messaging timestamps in seconds (ref 1, D/O).
	SecondsInMessaging bool
	// MiddleParent has a reply to a reply name the reply as parent, not the
	// top comment (ref 4.3, U).
	MiddleParent bool
	// TwoPhotoEvents sends photo and status for one post with a photo (ref
	// 4.3, O).
	TwoPhotoEvents bool
	// NoFrom leaves out who wrote a post or comment (ref 4.3, O).
	NoFrom bool
	// NoMessage leaves out the text of posts and comments (ref 4.3, O).
	NoMessage bool
	// OtherAuthorID has people's ids in feeds differ from their PSIDs (ref 13,
	// U).
	OtherAuthorID bool
	// LongRetry retries webhooks for 36 hours, and never unsubscribes the Page
	// (ref 2.3, D, contradictory).
	LongRetry bool
	// TextInUTF16 counts the length of texts in UTF-16 units (ref 13, U).
	TextInUTF16 bool
	// SubscribeMerges adds fields to those subscribed before (ref 13, U).
	SubscribeMerges bool
	// OtherStatus answers errors with 401, 403, 404, 429, not 400 (ref 11.1, O).
	OtherStatus bool
	// SubcodeAsCode gives the numbers 2018xxx as code (ref 11.2, D).
	SubcodeAsCode bool
	// OtherInboxID gives the other documented app id to the Page inbox.
	OtherInboxID bool
	// NoDeliveryMids leaves out the mids of deliveries (ref 3.5, D).
	NoDeliveryMids bool
	// NoUnsend sends nothing when a message is unsent (ref 3.2, U).
	NoUnsend bool
	// StringBooleans answers success as a string (ref 1, D).
	StringBooleans bool
}

// Variants are the ways in which a suite should run: as likely, and with the
// doubts played the other way, together as far as they do not exclude each other.
func Variants() map[string]Doubts {
	return map[string]Doubts{
		"as likely": {},
		"other forms": {NumericIDs: true, SecondsInMessaging: true, TwoPhotoEvents: true, OtherStatus: true, SubcodeAsCode: true, OtherInboxID: true,
			NoDeliveryMids: true, StringBooleans: true},
		"less is told": {MiddleParent: true, NoFrom: true, NoMessage: true, LongRetry: true, TextInUTF16: true, SubscribeMerges: true, NoUnsend: true},
		"other people": {OtherAuthorID: true, MiddleParent: true},
	}
}

// wait until something changes: closed and replaced at each change.
func (g *Graph) notify() {
	close(g.changed)
	g.changed = make(chan struct{})
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
