package account_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestCopiesOfWhatWasSentOnTheFake(t *testing.T) {
	t.Parallel()
	filesCopies(t, func(t *testing.T) *inbox {
		b, _ := newInbox(t)
		return b
	})
}

func TestCopiesOfWhatWasSentOnDovecot(t *testing.T) {
	t.Parallel()
	srv := startDovecot(t)
	filesCopies(t, func(t *testing.T) *inbox { return newInboxAt(t, srv, account.TLS) })
}

// letterTo is a message with a token of its own.
func letterTo(token string, to ...string) *channel.Outbound {
	out := outbound(to...)
	out.Token = token
	out.Date = time.Now()
	return out
}

func filesCopies(t *testing.T, start func(t *testing.T) *inbox) {
	t.Run("a copy is put there once, as read, and is found", func(t *testing.T) {
		b := start(t)
		ch := b.open(t)
		out := letterTo("tok3n0copyonce0000000000", "an@example.com", "bo@example.com")
		find(t, ch, out, channel.FoundUnknown)
		before, seen := b.srv.Count(t, "Sent"), b.srv.Seen(t, "Sent")
		for range 3 {
			require.NoError(t, ch.(channel.Filer).File(t.Context(), out))
		}
		require.Equal(t, before+1, b.srv.Count(t, "Sent"))
		require.Equal(t, seen+1, b.srv.Seen(t, "Sent"))
		rec := find(t, ch, out, channel.FoundYes)
		require.Equal(t, []string{out.Token + "@shop.test"}, rec.ExternalIDs)
		other := *out
		other.Token = "tok3n0copyonce000000000"
		find(t, ch, &other, channel.FoundUnknown) // a part of a Message-ID is not the same one
	})
	t.Run("a large copy arrives whole", func(t *testing.T) {
		b := start(t)
		ch := b.open(t)
		out := letterTo("tok3n0largecopy000000000", "an@example.com")
		out.Text = strings.Repeat(".một dòng dài của một bức thư lớn\n", 60_000)
		require.NoError(t, ch.(channel.Filer).File(t.Context(), out))
		find(t, ch, out, channel.FoundYes)
		if f, ok := b.srv.(fakeIMAP); ok {
			raw := string(f.Mails("Sent")[0].Raw)
			require.Contains(t, raw, "\r\n\r\n")
			require.NotContains(t, strings.ReplaceAll(raw, "\r\n", ""), "\n")
			require.True(t, strings.HasSuffix(raw, "\r\n"))
		}
	})
	t.Run("what is in another folder is not found, and the folder can be named", func(t *testing.T) {
		b := start(t)
		b.conf.IMAP.SentFolder = "Archive"
		out := letterTo("tok3n0otherfolder0000000", "an@example.com")
		require.NoError(t, b.open(t).(channel.Filer).File(t.Context(), out))
		find(t, b.open(t), out, channel.FoundYes)
		b.conf.IMAP.SentFolder = `\Sent`
		find(t, b.open(t), out, channel.FoundUnknown)
	})
}

func find(t *testing.T, ch channel.Channel, out *channel.Outbound, want channel.Found) channel.Receipt {
	t.Helper()
	rec, found, err := ch.(channel.Finder).Find(t.Context(), out)
	require.NoError(t, err)
	require.Equal(t, want, found)
	return rec
}

func TestACopyIsNeverMadeTwice(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]emailtest.Fault{
		"the answer is lost":              {At: emailtest.AtStored, Drop: true},
		"the answer is another":           {At: emailtest.AtStored, Reply: "NO [SERVERBUG] oh"},
		"the connection breaks before it": {At: emailtest.AtAppend, Drop: true},
		"the server refuses":              {At: emailtest.AtAppend, Reply: "NO [OVERQUOTA] full"},
		"the search fails":                {At: emailtest.AtSearch, Reply: "NO not now"},
		"the search breaks":               {At: emailtest.AtSearch, Drop: true},
		"the folder does not open":        {At: emailtest.AtSelect, Reply: "NO [INUSE] not now"},
		"the list of folders breaks":      {At: "LIST", Drop: true},
		"the login is refused":            {At: emailtest.AtLogin, Reply: "NO [UNAVAILABLE] later"},
		"the server turns us away":        {At: emailtest.AtConnect, Drop: true},
		"the Message-ID cannot be read":   {At: emailtest.AtFetch, Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			if fault.At == emailtest.AtFetch {
				srv.Add("Sent", []byte("Message-ID: <tok3n0nevertwice00000000@shop.test>\r\n\r\n"), time.Now())
			}
			fault.Times = 1
			srv.Fault(fault)
			f := b.open(t).(channel.Filer)
			out := letterTo("tok3n0nevertwice00000000", "an@example.com")
			se := sendError(t, f.File(t.Context(), out))
			require.NotEqual(t, channel.Rejected, se.Outcome, "it is worth another try")
			require.NotEmpty(t, se.Reason)
			if name == "the answer is lost" {
				require.Equal(t, channel.Unknown, se.Outcome)
				require.GreaterOrEqual(t, se.After, time.Minute, "the server may still be at it")
			}
			require.NoError(t, f.File(t.Context(), out))
			require.Len(t, srv.Mails("Sent"), 1)
		})
	}
}

func TestASilentServerDoesNotHoldUpForEver(t *testing.T) {
	t.Parallel()
	for _, at := range []emailtest.Point{emailtest.AtAppend, emailtest.AtStored, emailtest.AtSearch, "LIST"} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			b.connector.Receiving.Command, b.connector.Receiving.Fetch = 300*time.Millisecond, 300*time.Millisecond
			srv.Fault(emailtest.Fault{At: at, Hang: true})
			se := sendError(t, b.open(t).(channel.Filer).File(t.Context(), letterTo("tok3n0silent000000000000", "an@example.com")))
			require.Equal(t, "timeout", se.Code)
			if at == emailtest.AtSearch {
				_, found, err := b.open(t).(channel.Finder).Find(t.Context(), letterTo("tok3n0silent000000000000", "an@example.com"))
				require.Error(t, err)
				require.Equal(t, channel.FoundUnknown, found)
			}
		})
	}
}

func TestContentThatCannotBeReadLeavesNoCopy(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	out := letterTo("tok3n0content00000000000", "an@example.com")
	out.Attachments = []channel.Attachment{{Name: "a.bin", Type: "application/octet-stream", Size: 1 << 20, Body: &fading{reads: 1}}}
	err := b.open(t).(channel.Filer).File(t.Context(), out)
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
	require.Empty(t, srv.Mails("Sent"))
}

func TestWhoPutsCopiesThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sent, host  string
		files, asks bool
	}{
		{"", "imap.example.com", true, true},
		{"auto", "imap.example.com", true, true},
		{"", "imap.gmail.com", false, true},
		{"auto", "Outlook.Office365.com", false, true},
		{"", "notgmail.com", true, true},
		{"append", "imap.gmail.com", true, true},
		{"server", "imap.example.com", false, true},
		{"none", "imap.example.com", false, false},
	} {
		b, _ := newInbox(t)
		b.conf.IMAP.Sent, b.conf.IMAP.Host = c.sent, c.host
		asked := false
		b.env.Dial = refuseDial(&asked)
		ch := b.open(t)
		_, files := ch.(channel.Filer)
		require.Equal(t, c.files, files, "%+v", c)
		_, found, _ := ch.(channel.Finder).Find(t.Context(), letterTo("tok3n0who000000000000000", "an@example.com"))
		require.Equal(t, channel.FoundUnknown, found)
		require.Equal(t, c.asks, asked, "%+v", c)
	}
	w := setup(t)
	_, finds := w.open(t).(channel.Finder)
	require.False(t, finds, "without IMAP nothing can be found")
}

func TestWhatTheProviderFilesIsFoundAndNotDoubled(t *testing.T) {
	t.Parallel()
	b, in := newInbox(t)
	out := emailtest.NewSMTP(t, emailtest.WithUser(address, password), emailtest.WithSentFolder(in, "Sent"))
	b.conf.SMTP = account.Server{Host: out.Host(), Port: out.Port(), Security: account.None}
	out.Fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true})
	ch := b.open(t).(channel.Sender)
	m := letterTo("tok3n0provider0000000000", "an@example.com")
	_, err := ch.Send(t.Context(), m)
	require.Equal(t, channel.Unknown, sendError(t, err).Outcome)
	find(t, ch, m, channel.FoundYes)
	require.NoError(t, ch.(channel.Filer).File(t.Context(), m))
	require.Len(t, in.Mails("Sent"), 1)
}

func TestALateCopyOfTheProviderIsAwaited(t *testing.T) {
	t.Parallel()
	b, in := newInbox(t)
	b.conf.IMAP.Sent = "server"
	out := letterTo("tok3n0late00000000000000", "an@example.com")
	ch := b.open(t)
	go func() {
		for len(in.Commands()) == 0 || !strings.HasPrefix(in.Commands()[len(in.Commands())-1], "UID SEARCH") {
			time.Sleep(time.Millisecond)
		}
		in.Add("Sent", []byte("Message-ID:\r\n <"+out.Token+"@shop.test>\r\n\r\n"), time.Now())
	}()
	find(t, ch, out, channel.FoundYes)
}

func TestTheSentFolderIsFoundByItsName(t *testing.T) {
	t.Parallel()
	b, in := newInbox(t)
	in.Hide("SPECIAL-USE")
	out := letterTo("tok3n0byname000000000000", "an@example.com")
	b.conf.IMAP.SentFolder = "Nowhere"
	se := sendError(t, b.open(t).(channel.Filer).File(t.Context(), out))
	require.Equal(t, "sent_folder", se.Code)
	require.NotEmpty(t, se.Fix)
	findings := b.open(t).(channel.Checker).Check(t.Context())
	require.Contains(t, codes(findings), "sent_folder", "%+v", findings)
	b.conf.IMAP.SentFolder = ""
	require.NoError(t, b.open(t).(channel.Filer).File(t.Context(), out))
	require.Len(t, in.Mails("Sent"), 1)
	for _, f := range b.open(t).(channel.Checker).Check(t.Context()) {
		if f.Code == "ok" && f.Data["server"] == "imap" {
			require.Equal(t, "append Sent", f.Data["sent"]+" "+f.Data["sent_folder"])
		}
	}
}

func TestRefusalsAreKnownBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "gone@example.com", Reply: "550 5.1.1 no such user"})
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "full@example.com", Reply: "452 4.2.2 full"})
	w.srv.Fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true})
	out := outbound("an@example.com", "gone@example.com", "full@example.com")
	var told []channel.Delivery
	out.Refused = func(d channel.Delivery) { told = append(told, d) }
	out.Handed = func(context.Context) error {
		require.Len(t, told, 2)
		return nil
	}
	rec, err := w.open(t).Send(t.Context(), out)
	require.Equal(t, channel.Unknown, sendError(t, err).Outcome)
	require.Equal(t, []channel.Delivery{
		{Recipient: "gone@example.com", State: channel.DeliveryFailed, Detail: "550 5.1.1 no such user", Undeliverable: true},
		{Recipient: "full@example.com", State: channel.DeliveryPending, Detail: "452 4.2.2 full", PutOff: true},
	}, told)
	require.Equal(t, map[string]channel.DeliveryState{"gone@example.com": channel.DeliveryFailed, "full@example.com": channel.DeliveryPending}, stateOf(rec))
}

// fading is content that can be read only so often, and breaks off then.
type fading struct{ reads int }

func (f *fading) Size() int64 { return 1 << 20 }

func (f *fading) Open() (io.ReadCloser, error) {
	f.reads--
	if f.reads < 0 {
		return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, 1<<19), iotest.ErrReader(errors.New("faded")))), nil
	}
	return io.NopCloser(io.LimitReader(zeros{}, 1<<20)), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// refuseDial notes that a connection was wanted, and makes none.
func refuseDial(asked *bool) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		*asked = true
		return nil, errors.New("no network")
	}
}

func codes(fs []channel.Finding) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}
