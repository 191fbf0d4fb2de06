package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const (
	passwordRounds = 600_000 // PBKDF2-HMAC-SHA256, as OWASP advises (2023)
	minPassword    = 8       // bytes
	maxPassword    = 200
	failuresMinute = 10 // wrong passwords of one agent in a minute
	maxFailures    = 10_000
)

// recordLogin is the kind of our own records in the library's store: users are
// the host's, and so are their passwords.
const recordLogin ticket.RecordKind = "contactcenter.login"

// logins keeps the agents' passwords and signs their sessions.
type logins struct {
	store   ticket.Store
	key     []byte
	rounds  int           // of hashing
	hashing chan struct{} // bounds the hashes that are computed at a time

	mu     sync.Mutex
	failed map[string]failures
}

type failures struct {
	minute int64
	n      int
}

// login is the saved form of a password.
type login struct {
	Salt   []byte `json:"salt"`
	Rounds int    `json:"rounds"`
	Hash   []byte `json:"hash"`
}

// mark changes when the password does.
func (l login) mark() string { return base64.RawURLEncoding.EncodeToString(l.Salt) }

func (l *logins) read(ctx context.Context, agent routing.AgentID) (saved login, ok bool, err error) {
	ref := ticket.RecordRef{Kind: recordLogin, ID: string(agent)}
	snap, err := l.store.Snapshot(ctx, ticket.Want{Records: []ticket.RecordRef{ref}})
	if err != nil {
		return saved, false, fmt.Errorf("read login: %w", err)
	}
	rec := snap.Records[ref]
	if rec == nil {
		return saved, false, nil
	}
	if err := json.Unmarshal(rec.Doc, &saved); err != nil {
		return saved, false, fmt.Errorf("read login: %w", err)
	}
	return saved, true, nil
}

func checkPassword(password string) error {
	if len(password) < minPassword || len(password) > maxPassword {
		return badField("password", "must have %d to %d bytes", minPassword, maxPassword)
	}
	return nil
}

// set gives an agent a password.
func (l *logins) set(ctx context.Context, agent routing.AgentID, password string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	saved := login{Salt: randomBytes(16), Rounds: l.rounds}
	var err error
	if saved.Hash, err = l.hash(ctx, password, saved); err != nil {
		return err
	}
	doc, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	ref := ticket.RecordRef{Kind: recordLogin, ID: string(agent)}
	snap, err := l.store.Snapshot(ctx, ticket.Want{Records: []ticket.RecordRef{ref}})
	if err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	rec := &ticket.Record{Kind: ref.Kind, ID: ref.ID, Doc: doc}
	if old := snap.Records[ref]; old != nil {
		rec.Revision = old.Revision
	}
	return l.store.Commit(ctx, &ticket.Changes{At: time.Now().UTC().Truncate(time.Microsecond), Records: []*ticket.Record{rec}})
}

func (l *logins) hash(ctx context.Context, password string, saved login) ([]byte, error) {
	select {
	case l.hashing <- struct{}{}:
		defer func() { <-l.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h, err := pbkdf2.Key(sha256.New, password, saved.Salt, saved.Rounds, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return h, nil
}

// check returns the session cookie's value for an agent and a password. It
// takes as long for an agent that does not exist.
func (l *logins) check(ctx context.Context, agent routing.AgentID, password string) (string, time.Time, error) {
	wrong := &apiError{status: http.StatusUnauthorized, Code: "unauthorized", Message: "agent or password is wrong"}
	if !l.mayTry(string(agent)) {
		return "", time.Time{}, &apiError{status: http.StatusTooManyRequests, Code: "too_many", Message: "too many wrong passwords; wait a minute"}
	}
	saved, exists, err := l.read(ctx, agent)
	if err != nil {
		return "", time.Time{}, err
	}
	against := login{Salt: make([]byte, 16), Rounds: l.rounds}
	if exists {
		against = saved
	}
	if len(password) > maxPassword {
		return "", time.Time{}, wrong
	}
	got, err := l.hash(ctx, password, against)
	if err != nil {
		return "", time.Time{}, err
	}
	if !exists || !sameSecret(string(got), string(saved.Hash)) {
		l.countFailure(string(agent))
		return "", time.Time{}, wrong
	}
	expires := time.Now().Add(sessionTime)
	return l.cookie(agent, saved.mark(), expires), expires, nil
}

func (l *logins) mayTry(agent string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failed[agent]
	return f.minute != time.Now().Unix()/60 || f.n < failuresMinute
}

func (l *logins) countFailure(agent string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	minute := time.Now().Unix() / 60
	if len(l.failed) > maxFailures {
		clear(l.failed) // names of nobody, tried one after another
	}
	f := l.failed[agent]
	if f.minute != minute {
		f = failures{minute: minute}
	}
	f.n++
	l.failed[agent] = f
}
