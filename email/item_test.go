package email_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

var ours = email.Own{Addresses: []string{"support@help.example"}, Domains: []string{"in.example"}}

func itemOf(t testing.TB, raw string, c email.Context) *channel.Item {
	t.Helper()
	m := read(t, raw)
	it := email.Item(channel.Bytes(raw), m, c)
	require.NotEmpty(t, it.Keys)
	require.Equal(t, c.Channel, it.Channel)
	kinds := 0
	for _, set := range []bool{it.Message != nil, it.Notice != nil, it.Probe != "", it.Ignored != "", it.Quarantined != ""} {
		if set {
			kinds++
		}
	}
	require.Equal(t, 1, kinds, "an item is one thing")
	return it
}

func torture(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/torture/" + name + ".eml")
	require.NoError(t, err)
	return string(raw)
}

func TestItemOfAPlainMail(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 11, 4, 3, 31, 0, 0, time.UTC)
	env := channel.Envelope{From: "ann@example.com", To: "support@help.example", Known: true}
	it := itemOf(t, plainHeader+"\r\nHello\r\n\r\nOn Mon, 4 Nov 2024, X wrote:\r\n> a\r\n", email.Context{Channel: "c", Via: "v", ViaInferred: true, Own: ours, Key: "k", At: at, Imported: true, Envelope: env})
	require.Equal(t, channel.ID("v"), it.Via)
	require.True(t, it.ViaInferred && it.Imported)
	require.Equal(t, at, it.At)
	require.Len(t, it.Keys, 2)
	require.Equal(t, channel.Key("k"), it.Keys[0])
	require.True(t, strings.HasPrefix(string(it.Keys[1]), "content:"))
	msg := it.Message
	require.Equal(t, channel.Party{Name: "Ann", Address: "ann@example.com"}, msg.From)
	require.Equal(t, "m@example.com", msg.ExternalID)
	require.Equal(t, "Hello\n\nOn Mon, 4 Nov 2024, X wrote:\n> a", msg.Text)
	require.Equal(t, "Hello", msg.NewText)
	require.Equal(t, env, msg.Received)
	require.Empty(t, msg.Quiet)
	require.False(t, msg.NoTicket)
}

func TestItemWithoutMessageIDInventsNone(t *testing.T) {
	t.Parallel()
	it := itemOf(t, "From: a@example.com\r\n\r\nx\r\n", email.Context{})
	require.Empty(t, it.Message.ExternalID)
	require.Len(t, it.Keys, 1)
}

func TestEvidenceComesFromIDsAndAddresses(t *testing.T) {
	t.Parallel()
	tok := func(c string) string { return strings.Repeat(c, 24) }
	raw := "In-Reply-To: <" + tok("a") + "@help.example>\r\nReferences: <" + tok("b") + "@help.example> <" + tok("c") + ".r@help.example> <x@y> <" + tok("a") + "@help.example>\r\n" +
		strings.Replace(plainHeader, "To: support@", "Delivered-To: s+"+tok("f")+"@help.example\r\nCc: support+"+tok("e")+"@help.example\r\nTo: support+short@help.example, support@", 1) + "\r\nx\r\n"
	it := itemOf(t, raw, email.Context{Own: ours, Envelope: channel.Envelope{To: "support+" + tok("d") + "@help.example"}})
	e := it.Message.Evidence
	require.Equal(t, []string{tok("a"), tok("c"), tok("b"), tok("d"), tok("e"), tok("f")}, e.Tokens)
	require.Equal(t, []string{tok("a") + "@help.example", "x@y", tok("c") + ".r@help.example", tok("b") + "@help.example"}, e.IDs)

	var refs strings.Builder
	for i := range 200 {
		fmt.Fprintf(&refs, " <%s%03d@x>\r\n", tok("z"), i)
	}
	e = itemOf(t, "References:"+refs.String()+plainHeader+"\r\n", email.Context{}).Message.Evidence
	require.Len(t, e.Tokens, 50)
	require.Len(t, e.IDs, 50)
	require.Equal(t, tok("z")+"199", e.Tokens[0])
}

func TestAReplyToWhatWasComposedCarriesItsToken(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.References = []string{"first@x", "asked@x"}
	sent := read(t, compose(t, out))
	// A relay gave it another id; the customer's program answers that one.
	reply := "In-Reply-To: <rewritten@relay.example>\r\nReferences:"
	for _, id := range sent.References {
		reply += " <" + id + ">"
	}
	reply += " <rewritten@relay.example>\r\n" + plainHeader + "\r\nthanks\r\n"
	require.Equal(t, []string{token}, itemOf(t, reply, email.Context{}).Message.Evidence.Tokens)
}

func TestBouncesAreUpdatesBesideTheirMessage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		kind     channel.UpdateKind
		address  string
		noTicket bool
	}{
		"bounce-postfix":    {channel.UpdateBounce, "gone@example.com", false},
		"bounce-exchange":   {channel.UpdateBounce, "gone@corp.example", false},
		"bounce-gmail":      {channel.UpdateBounce, "gone@gmail.com", false},
		"bounce-exim-text":  {channel.UpdateBounce, "gone@example.org", false},
		"bounce-qmail-text": {channel.UpdateBounce, "gone@example.net", false},
		"bounce-delayed":    {channel.UpdateDelayed, "slow@example.com", true},
		"bounce-delivered":  {channel.UpdateDelivered, "ok@example.com", true},
		"report-mdn":        {channel.UpdateRead, "ann@example.com", true},
		"report-arf":        {channel.UpdateComplaint, "user@isp.example", false},
	} {
		it := itemOf(t, torture(t, name), email.Context{Own: ours})
		require.NotNil(t, it.Update, name)
		require.Equal(t, want.kind, it.Update.Kind, name)
		require.Contains(t, it.Update.Tokens, token, name)
		require.Contains(t, it.Update.IDs, token+"@help.example", name)
		require.Len(t, it.Update.Recipients, 1, name)
		require.Equal(t, want.address, it.Update.Recipients[0].Address, name)
		require.Equal(t, want.noTicket, it.Message.NoTicket, name)
		require.True(t, it.Message.Automatic.Is(), name)
	}
	// Nothing says which message it was about.
	require.Nil(t, itemOf(t, torture(t, "bounce-sendmail-text"), email.Context{}).Update)
	// The envelope recipient does (5.6).
	verp := email.Context{Envelope: channel.Envelope{To: "b+" + token + "@help.example"}}
	require.Equal(t, []string{token}, itemOf(t, torture(t, "bounce-sendmail-text"), verp).Update.Tokens)
	// Nobody's opinion on delivery.
	it := itemOf(t, torture(t, "not-a-bounce-person-quotes-error"), email.Context{})
	require.Nil(t, it.Update)
	require.False(t, it.Message.Automatic.Is())
}

func TestABounceNamesOurMessageThoughARelayRenamedIt(t *testing.T) {
	t.Parallel()
	raw := strings.Replace(torture(t, "bounce-postfix"), "Message-ID: <"+token+"@help.example>", "Message-ID: <0100018@ses.example>", 1)
	u := itemOf(t, raw, email.Context{}).Update
	require.Equal(t, []string{token}, u.Tokens)
	require.Equal(t, []string{"0100018@ses.example"}, u.IDs)
}

func TestWhatIsNoMessageIsNone(t *testing.T) {
	t.Parallel()
	it := itemOf(t, torture(t, "report-dmarc"), email.Context{})
	require.Equal(t, channel.CauseReport, it.Ignored)
	it = itemOf(t, strings.Repeat("Received: x\r\n", 100)+plainHeader+"\r\n", email.Context{})
	require.Equal(t, channel.CauseLoop, it.Ignored)
	require.NotEmpty(t, it.Detail)
	require.Empty(t, itemOf(t, strings.Repeat("Received: x\r\n", 99)+plainHeader+"\r\n", email.Context{}).Ignored)

	it = itemOf(t, torture(t, "confirmation-gmail-en"), email.Context{})
	require.Equal(t, "forwarding_confirmation", it.Notice.Code)
	require.Equal(t, "123456789", it.Notice.Data["code"])
	require.True(t, strings.HasPrefix(it.Notice.Data["link"], "https://mail-settings.google.com/mail/vf-"))
	require.Equal(t, "user@example.com", it.Notice.Data["address"])
	require.Equal(t, "forwarding-noreply@google.com", it.Notice.From.Address)
	require.NotNil(t, itemOf(t, torture(t, "confirmation-forged"), email.Context{}).Message)
	require.Equal(t, "yes", it.Notice.Data["unexpected"], "anybody can ask for a forward to us")
	require.Contains(t, it.Notice.Fix, "Do nothing")
	it = itemOf(t, torture(t, "confirmation-gmail-en"), email.Context{Own: email.Own{Addresses: []string{"User@example.com"}}})
	require.NotContains(t, it.Notice.Data, "unexpected")
	require.Contains(t, it.Notice.Fix, "open the link")

	it = itemOf(t, "X-Anteroom-Probe: "+token+"\r\n"+plainHeader+"\r\n", email.Context{})
	require.Equal(t, token, it.Probe)
	other := itemOf(t, "X-Anteroom-Probe: "+token+"\r\n"+plainHeader+"\r\n", email.Context{Via: "hosted"})
	require.NotEqual(t, it.Keys, other.Keys, "each way is proved by itself")
	require.Equal(t, it.Keys, itemOf(t, "X-Anteroom-Probe: "+token+"\r\n"+plainHeader+"\r\nmore", email.Context{}).Keys)
	require.NotNil(t, itemOf(t, "X-Anteroom-Probe: no token\r\n"+plainHeader+"\r\n", email.Context{}).Message)
}

func TestTheAuthorBehindAGroupIsFound(t *testing.T) {
	t.Parallel()
	jane := channel.Party{Name: "Jane Doe", Address: "jane@example.com"}
	it := itemOf(t, torture(t, "forward-google-group"), email.Context{Own: ours})
	require.Equal(t, jane, it.Message.From)
	require.Equal(t, email.QuietOwnAddress, it.Message.Quiet)
	// By Reply-To alone.
	raw := "Reply-To: jane@example.com\r\n" + strings.Replace(plainHeader, "Ann <ann@", "'Jane Doe' via Support <ann@", 1) + "\r\n"
	require.Equal(t, jane, itemOf(t, raw, email.Context{}).Message.From)
	// A Reply-To alone does not make somebody the author.
	it = itemOf(t, "X-Original-From: eve@evil.example\r\nReply-To: eve@evil.example\r\n"+plainHeader+"\r\n", email.Context{Own: ours})
	require.Equal(t, "ann@example.com", it.Message.From.Address)
}

func TestQuietByContext(t *testing.T) {
	t.Parallel()
	plain := plainHeader + "\r\nx\r\n"
	for name, c := range map[string]struct {
		raw   string
		ctx   email.Context
		quiet string
	}{
		"addressed to us":            {plain, email.Context{Own: ours}, ""},
		"own addresses unknown":      {strings.Replace(plain, "support@help.example", "x@y.example", 1), email.Context{}, ""},
		"not addressed to us":        {strings.Replace(plain, "support@help.example", "x@y.example", 1), email.Context{Own: ours}, email.QuietNotToUs},
		"by a domain of ours":        {strings.Replace(plain, "support@help.example", "any@in.example", 1), email.Context{Own: ours}, ""},
		"with a tag":                 {strings.Replace(plain, "support@help.example", "Support+x@Help.example", 1), email.Context{Own: ours}, ""},
		"from ourselves":             {strings.Replace(plain, "ann@example.com", "Support@help.example", 1), email.Context{Own: ours}, email.QuietOwnAddress},
		"from a domain of ours":      {strings.Replace(plain, "ann@example.com", "x@in.example", 1), email.Context{Own: ours}, email.QuietOwnAddress},
		"our loop header":            {"X-Loop: support@help.example\r\n" + plain, email.Context{Own: ours}, email.QuietMarkedQuiet},
		"another's loop header":      {"X-Loop: x@y.example\r\n" + plain, email.Context{Own: ours}, ""},
		"resent to us":               {"Resent-To: support@help.example\r\n" + strings.Replace(plain, "To: support@help.example", "To: x@y.example", 1), email.Context{Own: ours}, ""},
		"delivered to us, as Bcc":    {"Delivered-To: support@help.example\r\n" + strings.Replace(plain, "To: support@help.example", "To: x@y.example", 1), email.Context{Own: ours}, email.QuietNotToUs},
		"delivered to us, forwarded": {"Delivered-To: support@help.example\r\n" + strings.Replace(plain, "To: support@help.example", "To: x@y.example", 1), email.Context{Own: ours, Via: "v"}, ""},
		"the mail's own reason":      {strings.Replace(plain, "ann@", "noreply@", 1), email.Context{Own: ours}, email.QuietNoReply},
	} {
		require.Equal(t, c.quiet, itemOf(t, c.raw, c.ctx).Message.Quiet, name)
	}
	it := itemOf(t, plain, email.Context{Envelope: channel.Envelope{Known: true, NullPath: true}})
	require.Equal(t, "MAIL FROM:<>", it.Message.Automatic.Reason)
	require.False(t, itemOf(t, plain, email.Context{}).Message.Automatic.Is())
}
