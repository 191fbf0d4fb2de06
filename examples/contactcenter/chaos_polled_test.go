//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// polled is a mailbox that one process at a time reads by IMAP.
type polled struct {
	c       *town
	server  *emailtest.IMAP
	door    *door // before the server
	channel string
	sender  *sender // who writes to it; nothing goes by SMTP
}

// openPolled connects the mailbox, and keeps a log of who writes for it.
func (c *town) openPolled() *polled {
	c.t.Helper()
	p := &polled{c: c, server: emailtest.NewIMAP(c.t, emailtest.IMAPWithUser("poll@shop.example", "geheim")), sender: newSender(c.site, 100)}
	p.door = c.openDoor(p.server.Addr())
	c.exec(fenceTokens)
	ch := c.connect(object{"kind": "email.account", "name": "Hộp thư", "settings": object{"queue": "support"}, "config": object{
		"address": "poll@shop.example", "password": "geheim",
		"smtp": object{"host": c.shop.Host(), "port": c.shop.Port(), "security": "none"},
		"imap": object{"host": p.server.Host(), "port": p.door.port(), "security": "none", "after": "leave", "first_sync": "all"},
	}})
	p.channel = ch
	c.exec(strings.ReplaceAll(fenceLog, "CHANNEL", ch))
	return p
}

// connect makes a channel with customers of its own.
func (c *town) connect(body object) (id string) {
	c.t.Helper()
	status, out, err := c.call(c.t.Context(), "POST", "/api/channels", body)
	require.NoError(c.t, err)
	require.Equal(c.t, 201, status, out)
	id = text(out, "id")
	c.apart = append(c.apart, id)
	return id
}

// run puts mails into the mailbox until ctx ends, some of them twice.
func (p *polled) run(ctx context.Context) {
	x := p.sender
	for ctx.Err() == nil {
		var l *sentMail
		if len(x.threads) > 0 && x.rnd.IntN(3) == 0 {
			t := x.threads[x.rnd.IntN(len(x.threads))]
			l = x.write(t, 0, t.ids...)
		} else {
			l = x.write(x.newThread(), 0)
		}
		for range 1 + x.rnd.IntN(5)/4 {
			l.tries++
			p.server.Add("INBOX", l.raw, time.Now())
		}
		linger(ctx, time.Duration(200+x.rnd.IntN(400))*time.Millisecond)
	}
}

// finish waits until the mailbox is read, for as long as it goes on.
func (p *polled) finish() {
	c := p.c
	c.t.Helper()
	copies := p.copies()
	read := func() int { return c.count("SELECT count(*) FROM anteroom.items WHERE channel = $1", p.channel) }
	for have := read(); have < copies; have = read() {
		require.Eventually(c.t, func() bool { return read() > have }, 2*time.Minute, 100*time.Millisecond, "of %d mails %d are read", copies, have)
	}
}

// copies is how many mails are in the mailbox.
func (p *polled) copies() (n int) {
	for _, l := range p.sender.letters {
		n += l.tries
	}
	return n
}

// check wants each mail once.
func (p *polled) check() {
	c, t := p.c, p.c.t
	t.Helper()
	want, got := map[[sha256.Size]byte]bool{}, map[[sha256.Size]byte]int{}
	for _, l := range p.sender.letters {
		want[l.sum()] = true
	}
	conversations := 0
	for _, v := range c.pages("/api/conversations", "conversations") {
		if text(v, "channel") != p.channel {
			continue
		}
		conversations++
		messages, _ := c.get("/api/conversations/" + text(v, "id"))["messages"].([]any)
		for _, m := range messages {
			sum := sha256.Sum256(c.download("/api/messages/" + text(m, "id") + "/raw"))
			require.True(t, want[sum], "message %s is what a customer wrote", text(m, "id"))
			got[sum]++
			require.Equal(t, 1, got[sum], "message %s", text(m, "id"))
		}
	}
	require.Len(t, got, len(want), "every mail of the mailbox is a message")
	require.Equal(t, len(p.sender.threads), conversations)
	t.Logf("polled: %d mails in %d threads", len(want), conversations)
}

// The database keeps a log: whenever a lease gets another owner it has a new
// token, and whatever is written for the channel is noted with the token that is
// valid, its owner, and the process that writes.
const (
	fenceTokens = `
		CREATE TABLE fence_tokens (token bigserial, name text, owner text, until bigint, prior text, ended bigint, at timestamptz DEFAULT clock_timestamp());
		CREATE FUNCTION fence_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF TG_OP = 'INSERT' THEN INSERT INTO public.fence_tokens (name, owner, until) VALUES (NEW.name, NEW.owner, NEW.until);
			ELSIF NEW.owner <> OLD.owner THEN INSERT INTO public.fence_tokens (name, owner, until, prior, ended) VALUES (NEW.name, NEW.owner, NEW.until, OLD.owner, OLD.until); END IF;
			RETURN NULL; END $$;
		CREATE TRIGGER fence AFTER INSERT OR UPDATE ON anteroom.leases FOR EACH ROW EXECUTE FUNCTION fence_lease();`
	fenceLog = `
		CREATE TABLE fence_log (n bigserial, token bigint, owner text, process text, what text, at timestamptz DEFAULT clock_timestamp());
		CREATE FUNCTION fence_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO public.fence_log (token, owner, process, what)
				SELECT (SELECT max(token) FROM public.fence_tokens WHERE name = 'receive:CHANNEL'),
					coalesce((SELECT owner FROM anteroom.leases WHERE name = 'receive:CHANNEL'), 'nobody'), current_setting('application_name'), TG_TABLE_NAME;
			RETURN NULL; END $$;
		CREATE TRIGGER fence AFTER INSERT ON anteroom.items FOR EACH ROW WHEN (NEW.channel = 'CHANNEL') EXECUTE FUNCTION fence_write();
		CREATE TRIGGER fence AFTER INSERT OR UPDATE ON anteroom.records FOR EACH ROW WHEN (NEW.kind = 'state' AND NEW.id = 'CHANNEL') EXECUTE FUNCTION fence_write();`
)

// checkFences wants whatever was written for a channel to be of the process that
// had its lease at that moment, and tokens that only rise: no two processes had
// it at once.
func (c *town) checkFences(channel string) {
	t := c.t
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT token, owner, process, what FROM fence_log ORDER BY n")
	require.NoError(t, err)
	type entry struct {
		Token                int64
		Owner, Process, What string
	}
	log, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	require.NoError(t, err)
	last, wrote, items := int64(0), map[int64]string{}, 0
	for _, e := range log {
		holder, _, _ := strings.Cut(e.Owner, "/")
		require.Equal(t, holder, e.Process, "%s was written under the lease of %s", e.What, e.Owner)
		require.GreaterOrEqual(t, e.Token, last, "an older token came back")
		last = e.Token
		wrote[e.Token] = e.Process
		if e.What == "items" {
			items++
		}
	}
	require.Positive(t, items)
	t.Logf("fences: %d items and %d cursors of the polled mailbox under %d tokens, of %d that were given out",
		items, len(log)-items, len(wrote), c.count("SELECT count(*) FROM fence_tokens WHERE name = 'receive:'||$1", channel))
	require.Greater(t, len(wrote), 1, "another process took over")
}
