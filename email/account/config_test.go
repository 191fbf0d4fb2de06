package account_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
)

func TestBadConfigurationsNameTheField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*account.Account)
		field  string
	}{
		"no address":                           {func(a *account.Account) { a.Address = " " }, "address"},
		"address without a domain":             {func(a *account.Account) { a.Address = "help@" }, "address"},
		"address with a line":                  {func(a *account.Account) { a.Address = "help@shop.test\r\nRCPT TO:<x@y>" }, "address"},
		"address that ends a path":             {func(a *account.Account) { a.Address = "help>@shop.test" }, "address"},
		"name with a line":                     {func(a *account.Account) { a.Name = "x\ny" }, "name"},
		"user name with NUL":                   {func(a *account.Account) { a.Username = "x\x00y" }, "username"},
		"no password":                          {func(a *account.Account) { a.Password = "" }, "password"},
		"password with a line":                 {func(a *account.Account) { a.Password = "x\r\ny" }, "password"},
		"unknown auth":                         {func(a *account.Account) { a.Auth = "kerberos" }, "auth"},
		"no host":                              {func(a *account.Account) { a.SMTP.Host = "" }, "smtp.host"},
		"host is a URL":                        {func(a *account.Account) { a.SMTP.Host = "smtp://mail.shop.test" }, "smtp.host"},
		"host with a port":                     {func(a *account.Account) { a.SMTP.Host = "mail.shop.test:25" }, "smtp.host"},
		"port too high":                        {func(a *account.Account) { a.SMTP.Port = 70000 }, "smtp.port"},
		"unknown security":                     {func(a *account.Account) { a.SMTP.Security = "ssl" }, "smtp.security"},
		"relays only":                          {func(a *account.Account) { a.SMTP.Security = account.Opportunistic }, "smtp.security"},
		"clear text":                           {func(a *account.Account) { a.SMTP.Security = account.None }, "smtp.security"},
		"no IMAP host":                         {imap(func(i *account.IMAP) { i.Host = "" }), "imap.host"},
		"IMAP in clear":                        {imap(func(i *account.IMAP) { i.Security = account.None }), "imap.security"},
		"folder with a line":                   {imap(func(i *account.IMAP) { i.Folder = "a\r\nb" }), "imap.folder"},
		"unknown after":                        {imap(func(i *account.IMAP) { i.After = "burn" }), "imap.after"},
		"moved nowhere":                        {imap(func(i *account.IMAP) { i.After = "move: " }), "imap.after"},
		"moved to itself":                      {imap(func(i *account.IMAP) { i.After = "move:INBOX" }), "imap.after"},
		"moved to the inbox, in other letters": {imap(func(i *account.IMAP) { i.After = "move:Inbox" }), "imap.after"},
		"unknown first sync":                   {imap(func(i *account.IMAP) { i.FirstSync = "yesterday" }), "imap.first_sync"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := account.Account{Address: address, Password: password, SMTP: account.Server{Host: "mail.shop.test"}}
			c.change(&a)
			_, err := a.Account()
			var field *channel.FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, c.field, field.Field)
			require.NotEmpty(t, field.Problem)
		})
	}
}

func imap(change func(*account.IMAP)) func(*account.Account) {
	return func(a *account.Account) {
		a.IMAP = &account.IMAP{Server: account.Server{Host: "imap.shop.test"}}
		change(a.IMAP)
	}
}

func TestIMAPHasDefaultsOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want account.IMAP }{
		"nothing": {
			account.IMAP{Server: account.Server{Host: "h"}},
			account.IMAP{Server: account.Server{Host: "h", Port: 993, Security: account.TLS}, Folder: "INBOX", After: "leave", FirstSync: "none", Sent: "auto"},
		},
		"port 143": {
			account.IMAP{Server: account.Server{Host: "h", Port: 143}, Folder: "inbox", After: "move:Done", FirstSync: "2026-11-01T00:00:00Z"},
			account.IMAP{Server: account.Server{Host: "h", Port: 143, Security: account.STARTTLS}, Folder: "INBOX", After: "move:Done", FirstSync: "2026-11-01T00:00:00Z", Sent: "auto"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			saved, err := account.Account{Address: address, Password: password, SMTP: account.Server{Host: "h"}, IMAP: &c.in}.Account()
			require.NoError(t, err)
			got, err := account.Load(saved)
			require.NoError(t, err)
			require.Equal(t, c.want, *got.IMAP)
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want account.Server }{
		"nothing":           {account.Server{Host: "h"}, account.Server{Host: "h", Port: 465, Security: account.TLS}},
		"port 465":          {account.Server{Host: "h", Port: 465}, account.Server{Host: "h", Port: 465, Security: account.TLS}},
		"port 587":          {account.Server{Host: "h", Port: 587}, account.Server{Host: "h", Port: 587, Security: account.STARTTLS}},
		"another port":      {account.Server{Host: "h", Port: 2525}, account.Server{Host: "h", Port: 2525, Security: account.STARTTLS}},
		"starttls":          {account.Server{Host: "h", Security: account.STARTTLS}, account.Server{Host: "h", Port: 587, Security: account.STARTTLS}},
		"clear on loopback": {account.Server{Host: "::1", Port: 25, Security: account.None}, account.Server{Host: "::1", Port: 25, Security: account.None}},
		"clear on purpose":  {account.Server{Host: "h", Port: 25, Security: account.None, Insecure: true}, account.Server{Host: "h", Port: 25, Security: account.None, Insecure: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			saved, err := account.Account{Address: address, Password: password, SMTP: c.in}.Account()
			require.NoError(t, err)
			got, err := account.Load(saved)
			require.NoError(t, err)
			require.Equal(t, c.want, got.SMTP)
			require.Equal(t, address, got.Username)
			require.Equal(t, account.AuthPassword, got.Auth)
		})
	}
}

func TestASavedAccountHoldsEachThingOnce(t *testing.T) {
	t.Parallel()
	a := account.Account{
		Address: address, Name: "Shop", Password: password,
		SMTP: account.Server{Host: "mail.shop.test"}, ForwardedTo: "c9",
	}
	saved, err := a.Account()
	require.NoError(t, err)
	require.Equal(t, account.Kind, saved.Kind)
	require.Equal(t, "Shop", saved.Name)
	require.Equal(t, channel.ID("c9"), saved.ReceivesVia)
	require.Equal(t, password, saved.Credentials.Get("password"))
	require.JSONEq(t, `{"address":"help@shop.test","username":"help@shop.test","auth":"password",
		"smtp":{"host":"mail.shop.test","port":465,"security":"tls"}}`, string(saved.Config))
	back, err := account.Load(saved)
	require.NoError(t, err)
	require.Equal(t, password, back.Password)
	require.Equal(t, channel.ID("c9"), back.ForwardedTo)
	again, err := back.Account()
	require.NoError(t, err)
	require.Equal(t, string(saved.Config), string(again.Config))
}

func TestAPasswordIsReadFromJSON(t *testing.T) {
	t.Parallel()
	var a account.Account
	require.NoError(t, json.Unmarshal([]byte(`{"address":"help@shop.test","password":"`+password+`",
		"smtp":{"host":"mail.shop.test","port":587,"security":"starttls"},
		"imap":{"host":"imap.shop.test","port":993,"security":"tls","folder":"INBOX","after":"seen","first_sync":"none"}}`), &a))
	require.Equal(t, password, a.Password)
	require.Equal(t, "imap.shop.test", a.IMAP.Host)
	require.Equal(t, "INBOX", a.IMAP.Folder)
}

func TestInfo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	info := w.open(t).Info()
	require.Equal(t, channel.Info{
		ID: "c1", Kind: "email.account", Name: "Shop", Address: address, Scheme: "mailto",
		CanSend: true, CanStart: true, Mail: true,
	}, info)
	w.conf.ForwardedTo = "c9"
	require.True(t, w.open(t).Info().CanReceive)
	_, receives := w.open(t).(channel.Receiver)
	require.False(t, receives)
	w.conf.ForwardedTo = ""
	w.conf.IMAP = &account.IMAP{Server: account.Server{Host: "imap.shop.test"}}
	info = w.open(t).Info()
	require.True(t, info.CanReceive)
	require.True(t, info.Exclusive, "one node reads a folder")
	_, receives = w.open(t).(channel.Receiver)
	require.True(t, receives)
}

func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	w := setup(t)
	good, err := w.conf.Account()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*channel.Account, *account.Connector)
		field  string
	}{
		"another kind": {func(a *channel.Account, _ *account.Connector) { a.Kind = "email.hosted" }, "kind"},
		"no JSON":      {func(a *channel.Account, _ *account.Connector) { a.Config = []byte("{") }, "config"},
		"no password":  {func(a *channel.Account, _ *account.Connector) { a.Credentials = channel.Credentials{} }, "password"},
		"no OAuth here": {func(a *channel.Account, _ *account.Connector) {
			a.Config = []byte(`{"address":"a@b.test","auth":"oauth2","smtp":{"host":"h"}}`)
		}, "auth"},
		"bad own name": {func(_ *channel.Account, c *account.Connector) { c.HelloName = "x y" }, "hello_name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acct, connector := good, w.connector
			c.change(&acct, &connector)
			_, err := connector.Open(t.Context(), acct, w.env)
			var field *channel.FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, c.field, field.Field)
		})
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	p, ok := account.Presets(" Someone@GMail.com ")
	require.True(t, ok)
	require.Equal(t, account.Server{Host: "smtp.gmail.com", Port: 465, Security: account.TLS}, p.SMTP)
	require.Contains(t, p.Hint, "app password")
	for _, unknown := range []string{"a@shop.test", "gmail.com", ""} {
		_, ok := account.Presets(unknown)
		require.False(t, ok, unknown)
	}
	for _, a := range []string{"a@outlook.com", "a@yahoo.com.vn", "a@icloud.com", "a@zoho.com", "a@fastmail.com", "a@ya.ru", "a@gmx.com"} {
		p, ok := account.Presets(a)
		require.True(t, ok, a)
		require.NotEmpty(t, p.Hint)
		conf := account.Account{Address: a, Password: "x", SMTP: p.SMTP}
		_, err := conf.Account()
		require.NoError(t, err, a)
	}
}
