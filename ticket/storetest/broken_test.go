package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// recorder is a tb that keeps what a check says about a store.
type recorder struct {
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failures runs one check and returns what it says.
func failures(c check, b ticket.Backend) []string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		c.run(newKit(r, b))
	}()
	<-done
	return r.failed
}

// broken is a backend whose stores are changed by wrap.
type broken struct {
	ticket.Backend
	portal func(b ticket.Backend, name string) ticket.Store
}

func (b broken) Portal(name string) ticket.Store { return b.portal(b.Backend, name) }

// store is a store of which single methods can be replaced.
type store struct {
	ticket.Store
	commit   func(ctx context.Context, c *ticket.Changes) error
	snapshot func(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error)
	claim    func(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error)
	lease    func(ctx context.Context, name, owner string, now, until time.Time) (bool, error)
	events   func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error)
	tickets  func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error)
	dump     func(ctx context.Context, t ticket.Table, p ticket.Page) (*ticket.Changes, ticket.Next, error)
}

func (s *store) Dump(ctx context.Context, t ticket.Table, p ticket.Page) (*ticket.Changes, ticket.Next, error) {
	if s.dump != nil {
		return s.dump(ctx, t, p)
	}
	return s.below().Dump(ctx, t, p)
}

// below is the sound store's ability.
func (s *store) below() ticket.Dumper {
	d, ok := s.Store.(ticket.Dumper)
	if !ok {
		panic("the store below has no Dump")
	}
	return d
}

func (s *store) Commit(ctx context.Context, c *ticket.Changes) error {
	if s.commit != nil {
		return s.commit(ctx, c)
	}
	return s.Store.Commit(ctx, c)
}

func (s *store) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if s.snapshot != nil {
		return s.snapshot(ctx, w)
	}
	return s.Store.Snapshot(ctx, w)
}

func (s *store) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if s.claim != nil {
		return s.claim(ctx, c)
	}
	return s.Store.Claim(ctx, c)
}

func (s *store) Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	if s.lease != nil {
		return s.lease(ctx, name, owner, now, until)
	}
	return s.Store.Lease(ctx, name, owner, now, until)
}

func (s *store) Events(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
	if s.events != nil {
		return s.events(ctx, f, limit)
	}
	return s.Store.Events(ctx, f, limit)
}

func (s *store) Tickets(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	if s.tickets != nil {
		return s.tickets(ctx, f, p)
	}
	return s.Store.Tickets(ctx, f, p)
}

// changed returns a backend each of whose stores is changed by f.
func changed(f func(s *store)) func() ticket.Backend {
	return func() ticket.Backend {
		return broken{memstore.New(), func(b ticket.Backend, name string) ticket.Store {
			s := &store{Store: b.Portal(name)}
			f(s)
			return s
		}}
	}
}

// before returns a change of what commits are given.
func before(f func(c *ticket.Changes)) func() ticket.Backend {
	return changed(func(s *store) {
		s.commit = func(ctx context.Context, c *ticket.Changes) error {
			copied := *c
			f(&copied)
			return s.Store.Commit(ctx, &copied)
		}
	})
}

// inSnapshot returns a change of what snapshots give.
func inSnapshot(f func(s *ticket.Snapshot)) func() ticket.Backend {
	return changed(func(s *store) {
		s.snapshot = func(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
			snap, err := s.Store.Snapshot(ctx, w)
			if err == nil {
				f(snap)
			}
			return snap, err
		}
	})
}

func TestASoundStorePasses(t *testing.T) {
	t.Parallel()
	for _, c := range checks() {
		require.Empty(t, failures(c, changed(func(*store) {})()), c.name)
	}
}

func TestNamesOfChecksAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range checks() {
		require.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
}

func TestBrokenStoresAreCaught(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		open  func() ticket.Backend
		catch string // begins the name of a check that must fail
	}{
		"keys are not kept":            {before(func(c *ticket.Changes) { c.Claims = nil }), "a claimed key stands"},
		"a taken key is overwritten":   {before(releaseFirst), "a duplicate key conflicts"},
		"a taken key is a bare error":  {changed(bareConflict), "a duplicate key conflicts"},
		"keys are never released":      {before(func(c *ticket.Changes) { c.Releases = nil }), "a released key is free"},
		"revisions are not checked":    {changed(uncheckedRevisions), "a stale revision conflicts"},
		"inserts overwrite":            {changed(overwriting), "an insert of an existing id conflicts"},
		"bounds are not checked":       {before(unbounded), "a bound is reached"},
		"counters never expire":        {before(func(c *ticket.Changes) { c.Counts = eternal(c.Counts) }), "counters expire"},
		"long names are cut":           {before(cutNames), "names of a thousand bytes"},
		"done work stays":              {before(func(c *ticket.Changes) { c.Done = nil }), "work that is done is gone"},
		"a failed commit half stays":   {changed(halfWritten), "nothing of a failed commit"},
		"bounds race":                  {changed(racingCounters), "bounded counters are never exceeded"},
		"events are lost":              {changed(skippingEvents), "events are numbered"},
		"cursors run ahead":            {changed(unsettledEvents), "followers never skip"},
		"events are of any ticket":     {changed(unfilteredEvents), "events of a ticket"},
		"events are filtered too late": {changed(lateFilteredEvents), "events of a ticket"},
		"events are oldest first":      {changed(oldestEvents), "the newest events come first"},
		"events are after a cursor":    {changed(newestAfter), "the newest events come first"},
		"work is claimed twice":        {changed(sharedClaims), "a claim is exclusive"},
		"leases never expire":          {changed(eternalLeases), "a lease expires"},
		"parked work is claimed":       {before(unparked), "parked work is not claimed"},
		"next is not told":             {changed(noNext), "next is when"},
		"named leases are for all":     {changed(openLeases), "a named lease has one owner"},
		"Follow follows nothing":       {changed(noFollow), "Follow reads from a key"},
		"bodies are never dropped":     {before(func(c *ticket.Changes) { c.DropBodies = nil }), "bodies are added and dropped"},
		"decisions are never dropped":  {before(func(c *ticket.Changes) { c.DropDecisions = nil }), "a decision that is dropped"},
		"dumps leave out the deleted":  {changed(dumpWithoutDeleted), "a dump has everything"},
		"dumps leave out expiry":       {changed(dumpWithoutExpiry), "a dump has everything"},
		"dumps end at a page":          {changed(dumpOfOnePage), "a dump has everything"},
		"dumps are by id":              {changed(dumpByID), "a dump has the tickets by number"},
		"dumps are of any portal":      {leakingPortals, "a dump is of one portal"},
		"dumps begin anew":             {changed(lenientDump), "a dump refuses"},
		"U+0000 is lost":               {inSnapshot(func(s *ticket.Snapshot) { eachText(s, "\x00", "") }), "every field is kept"},
		"astral text is lost":          {inSnapshot(func(s *ticket.Snapshot) { eachText(s, "\U0001F600", "?") }), "every field is kept"},
		"a field is forgotten":         {before(forgetful), "every field is kept"},
		"times are local":              {inSnapshot(localTimes), "every time is kept in UTC"},
		"pointers are shared":          {changed(sharedPointers), "returned values are copies"},
		"portals leak":                 {leakingPortals, "other portals are invisible"},
		"deleted tickets are listed":   {before(undeleted), "a deleted ticket is not listed"},
		"pages are by offset":          {changed(offsetPages), "keyset pages under inserts"},
		"a filter is ignored":          {changed(unfiltered), "every filter of tickets"},
		"any message has a term":       {changed(anyTerm), "all terms must be in one message"},
		"bad cursors begin anew":       {changed(lenientCursors), "a foreign cursor is refused"},
		"contexts are ignored":         {changed(deafStore), "a context that has ended"},
		"blank words change nothing":   {before(unblanked), "an update whose Search is blank leaves nothing"},
		"redacted words are found":     {before(unredacted), "a redacted message is not found"},
		"the changes are not reported": {changed(silentCommits), "revisions count from 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(checks(), func(c check) bool { return strings.HasPrefix(c.name, tc.catch) })
			require.GreaterOrEqual(t, i, 0, "no check begins with %q", tc.catch)
			// A race need not show itself at once.
			for range 50 {
				if len(failures(checks()[i], tc.open())) > 0 {
					return
				}
			}
			t.Fatalf("%q has not been caught", checks()[i].name)
		})
	}
}

func TestBrokenDurabilityIsCaught(t *testing.T) {
	t.Parallel()
	for _, c := range durableChecks() {
		found := failures(check{c.name, func(k *kit) { c.run(k, func() { k.use(memstore.New()) }) }}, memstore.New())
		require.NotEmpty(t, found, c.name)
	}
}

func TestBrokenBlobsAreCaught(t *testing.T) {
	t.Parallel()
	for _, c := range blobChecks() {
		found := failures(check{c.name, func(k *kit) {
			c.run(&blobKit{tb: k.tb, ctx: k.ctx, b: forgetfulBlobs{memstore.NewBlobs()}})
		}}, memstore.New())
		if strings.HasPrefix(c.name, "a blob is read") || strings.HasPrefix(c.name, "of a failed put") {
			require.NotEmpty(t, found, c.name)
		}
	}
}

// forgetfulBlobs keep the first half, also of a put that fails.
type forgetfulBlobs struct{ ticket.Blobs }

func (b forgetfulBlobs) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	var all strings.Builder
	buf := make([]byte, 1000)
	for {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			size := int64(all.Len())
			_, put := b.Blobs.Put(ctx, id, strings.NewReader(all.String()[:size/2]))
			if errors.Is(err, errFailing) {
				return 0, err
			}
			return size, put
		}
	}
}
