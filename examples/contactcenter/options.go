package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/anteroom/anteroom/ticket"
)

// options is what the command line and the environment say.
type options struct {
	store, data, blobs string
	storeListen        string
	portal, domain     string
	node               string
	http, smtp, lmtp   string
	tlsCert, tlsKey    string
	relay              string
	undo, lease        time.Duration
	config             string
	demo, demoExit     bool
	exportTo           string
	importFrom         string
	reinstate          bool
	demoPace           float64 // how long things take in the demo; 1 is for people

	passwordRounds int // of hashing; fewer in tests

	engine func(*ticket.Config) // changes the engine's configuration, in tests

	token, key string // from the environment; empty means made in data
	publicURL  string

	facebookID, facebookSecret, facebookVerify, facebookGraph string
	facebookPictures                                          bool
}

// notAvailable says that a part of the library is still to come.
type notAvailableError struct{ what string }

func (e notAvailableError) Error() string { return e.what + " is not available yet" }

func parseOptions(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	o := options{demoPace: 1, passwordRounds: passwordRounds, token: getenv("ANTEROOM_TOKEN"), key: getenv("ANTEROOM_KEY"), publicURL: getenv("PUBLIC_URL"),
		facebookID: getenv("FACEBOOK_APP_ID"), facebookSecret: getenv("FACEBOOK_APP_SECRET"), facebookVerify: getenv("FACEBOOK_VERIFY_TOKEN"),
		facebookGraph: getenv("FACEBOOK_GRAPH"), facebookPictures: getenv("FACEBOOK_COMMENT_PICTURES") == "1"}
	fs := flag.NewFlagSet("contactcenter", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.store, "store", "", "`where` the data is: sqlite:PATH, memory:, postgres://USER@HOST/DATABASE (default sqlite:anteroom.db in -data)")
	fs.StringVar(&o.storeListen, "store-listen", "", "with PostgreSQL behind a pooler: the connection `string` past it by which processes are told of each other's writes, or off, to poll for them (default that of -store)")
	fs.StringVar(&o.data, "data", "anteroom-data", "`folder` for database, blobs and keys")
	fs.StringVar(&o.blobs, "blobs", "", "`where` large bodies go: file://DIR, or the URL of a bucket whose driver is linked (default a folder in -data)")
	fs.StringVar(&o.portal, "portal", "main", "the portal's `name`, the key of everything it stores")
	fs.StringVar(&o.node, "node", "", "this process's `name` among those that share the store (default a random one)")
	fs.StringVar(&o.domain, "domain", "portal.localhost", "the portal's mail `domain`")
	fs.StringVar(&o.http, "http", "127.0.0.1:8080", "`address` of the API and the browser pages; port 0 picks one")
	fs.StringVar(&o.smtp, "smtp", "127.0.0.1:2525", "`address` of the mail server; port 0 picks one")
	fs.StringVar(&o.lmtp, "lmtp", "", "`address` of the LMTP server; empty is off")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the certificate for STARTTLS and HTTPS, reloaded when it changes")
	fs.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with its key")
	fs.StringVar(&o.relay, "relay", "", "SMTP server, `host:port`, for what the portal itself sends")
	fs.DurationVar(&o.undo, "undo", 10*time.Second, "the default undo window")
	fs.DurationVar(&o.lease, "lease", time.Minute, "how long after a process was last heard of others take over what it was doing, the mailboxes that it reads too")
	fs.StringVar(&o.config, "config", "", "JSON `file` with agents, queues and channels to ensure at start")
	fs.BoolVar(&o.demo, "demo", false, "act out a morning with customers and mail servers on this machine")
	fs.BoolVar(&o.demoExit, "demo-exit", false, "with -demo: end after the summary")
	fs.StringVar(&o.exportTo, "export", "", "retire the portal, write it to this `file` (- is standard output) and end")
	fs.StringVar(&o.importFrom, "import", "", "read an empty portal from this `file` (- is standard input) and end")
	fs.BoolVar(&o.reinstate, "reinstate", false, "undo the retirement of a portal that did not move after all, and end")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("there are no arguments besides flags, but %q was given", fs.Arg(0))
	}
	return o, o.check()
}

// moves reports whether the program moves the portal instead of running it.
func (o *options) moves() bool { return o.exportTo != "" || o.importFrom != "" || o.reinstate }

func (o *options) check() error {
	if o.exportTo != "" && o.importFrom != "" || o.reinstate && (o.exportTo != "" || o.importFrom != "") || o.moves() && o.demo {
		return errors.New("-export, -import, -reinstate and -demo go one at a time")
	}
	if o.store == "" {
		o.store = "sqlite:"
	}
	scheme, _, ok := strings.Cut(o.store, ":")
	switch {
	case !ok:
		return fmt.Errorf("-store %q is none of sqlite:PATH, memory: and postgres://USER@HOST/DATABASE", o.store)
	case isPostgres(scheme):
		if o.blobs == "" {
			return fmt.Errorf("-store %s: also name a folder with -blobs, the same for all processes that share the database", scheme)
		}
	case scheme != "sqlite" && scheme != "memory":
		// The rest may hold a password.
		return fmt.Errorf("-store %s: is none of sqlite:PATH, memory: and postgres://USER@HOST/DATABASE", scheme)
	}
	if o.storeListen != "" && !isPostgres(scheme) {
		return fmt.Errorf("-store-listen goes with -store postgres://USER@HOST/DATABASE")
	}
	if err := checkBlobs(o.blobs, scheme); err != nil {
		return err
	}
	if o.portal == "" || len(o.portal) > 100 || strings.ContainsFunc(o.portal, unicode.IsControl) {
		return fmt.Errorf("-portal %q: must be a name of 1 to 100 characters", o.portal)
	}
	if strings.Trim(strings.ToLower(o.domain), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || o.domain == "" {
		return fmt.Errorf("-domain %q: must be a mail domain, such as help.example.com", o.domain)
	}
	for _, a := range []struct{ flag, addr string }{{"http", o.http}, {"smtp", o.smtp}, {"lmtp", o.lmtp}, {"relay", o.relay}} {
		if a.addr == "" && (a.flag == "lmtp" || a.flag == "relay") {
			continue
		}
		_, port, err := net.SplitHostPort(a.addr)
		if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
			return fmt.Errorf("-%s %q: must be host:port", a.flag, a.addr)
		}
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return fmt.Errorf("-tls-cert and -tls-key go together")
	}
	if err := o.checkTimes(); err != nil {
		return err
	}
	if o.demoExit && !o.demo {
		return fmt.Errorf("-demo-exit goes with -demo")
	}
	if o.facebookID != "" && strings.TrimSpace(o.facebookSecret) == "" {
		return fmt.Errorf("FACEBOOK_APP_ID needs FACEBOOK_APP_SECRET")
	}
	if u, err := url.Parse(o.facebookGraph); o.facebookGraph != "" && (err != nil || u.Host == "") {
		return fmt.Errorf("FACEBOOK_GRAPH %q: must be a URL, such as https://graph.facebook.com", o.facebookGraph)
	}
	if u, err := url.Parse(o.publicURL); o.publicURL != "" && (err != nil || u.Host == "") {
		return fmt.Errorf("PUBLIC_URL %q: must be a URL, such as https://help.example.com", o.publicURL)
	}
	return nil
}

func (o *options) checkTimes() error {
	if o.undo < 0 || o.undo > 24*time.Hour {
		return fmt.Errorf("-undo %s: must be from 0s to 24h", o.undo)
	}
	if o.lease < time.Second || o.lease > time.Hour {
		return fmt.Errorf("-lease %s: must be from 1s to 1h", o.lease)
	}
	return nil
}
