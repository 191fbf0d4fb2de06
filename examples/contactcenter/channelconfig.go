package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

// kindGmail is a kind of channel that a later part of the library brings.
const kindGmail = "email.gmail"

// serverIn is a mail server as it is given.
type serverIn struct {
	Host     *string           `json:"host"`
	Port     *int              `json:"port"`
	Security *account.Security `json:"security"`
	Insecure *bool             `json:"insecure"`
}

func (in *serverIn) merge(s account.Server) account.Server {
	if in == nil {
		return s
	}
	if in.Security != nil && in.Port == nil {
		s.Port = 0 // the usual one for it
	}
	set(&s.Host, in.Host)
	set(&s.Port, in.Port)
	set(&s.Security, in.Security)
	set(&s.Insecure, in.Insecure)
	return s
}

// accountIn is the configuration of an email.account as it is given.
type accountIn struct {
	Address     *string          `json:"address"`
	Username    *string          `json:"username"`
	Password    *string          `json:"password"`
	Auth        *account.Auth    `json:"auth"`
	Reports     *account.Reports `json:"reports"`
	SMTP        *serverIn        `json:"smtp"`
	IMAP        json.RawMessage  `json:"imap"`
	ForwardedTo *string          `json:"forwarded_to"`
}

func (in accountIn) merge(a account.Account) (account.Account, error) {
	switch {
	case string(in.IMAP) == "null":
		a.IMAP = nil // no longer
	case len(in.IMAP) > 0:
		var given imapIn
		if err := decodeJSON("config.imap", in.IMAP, &given); err != nil {
			return a, err
		}
		if given.Port != nil && *given.Port == 0 {
			return a, badField("config.imap.port", "must be from 1 to 65535")
		}
		a.IMAP = given.merge(a.IMAP)
	}
	if in.Address != nil && *in.Address != a.Address && a.Username == a.Address {
		a.Username = "" // the new address
	}
	if in.SMTP != nil && in.SMTP.Port != nil && *in.SMTP.Port == 0 {
		return a, badField("config.smtp.port", "must be from 1 to 65535")
	}
	set(&a.Address, in.Address)
	set(&a.Username, in.Username)
	set(&a.Password, in.Password)
	set(&a.Auth, in.Auth)
	set(&a.Reports, in.Reports)
	a.SMTP = in.SMTP.merge(a.SMTP)
	setText(&a.ForwardedTo, in.ForwardedTo)
	return a, nil
}

// imapIn is how an account receives, as it is given.
type imapIn struct {
	serverIn
	Folder    *string `json:"folder"`
	After     *string `json:"after"`
	FirstSync *string `json:"first_sync"`

	Sent       *string `json:"sent"`
	SentFolder *string `json:"sent_folder"`
}

func (in imapIn) merge(saved *account.IMAP) *account.IMAP {
	var out account.IMAP
	if saved != nil {
		out = *saved
	}
	out.Server = in.serverIn.merge(out.Server)
	set(&out.Folder, in.Folder)
	set(&out.After, in.After)
	set(&out.FirstSync, in.FirstSync)
	set(&out.Sent, in.Sent)
	set(&out.SentFolder, in.SentFolder)
	return &out
}

type mailboxIn struct {
	LocalPart string `json:"local_part"`
}

// readConfig reads the configuration of a new channel.
func readConfig(kind, name string, raw json.RawMessage) (channel.Config, error) {
	switch kind {
	case "":
		return nil, badField("kind", "is missing")
	case string(hosted.Kind), string(account.Kind), string(facebook.Kind):
	case kindGmail:
		return nil, notAvailableError{"kind " + kind}
	default:
		return nil, badField("kind", "there is no kind %q", oneLineString(kind))
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, badField("config", "is missing")
	}
	if kind == string(facebook.Kind) {
		return readPage(name, raw)
	}
	if kind == string(hosted.Kind) {
		var in mailboxIn
		if err := decodeJSON("config", raw, &in); err != nil {
			return nil, err
		}
		return hosted.Mailbox{LocalPart: in.LocalPart, Name: name}, nil
	}
	var in accountIn
	if err := decodeJSON("config", raw, &in); err != nil {
		return nil, err
	}
	return in.merge(account.Account{Name: name})
}

// patchConfig puts what is given over the configuration of a channel.
func patchConfig(old *ticket.Channel, raw json.RawMessage) (channel.Config, error) {
	if old.Kind == hosted.Kind {
		var in mailboxIn
		if err := decodeJSON("config", raw, &in); err != nil {
			return nil, err
		}
		if in.LocalPart == "" {
			return nil, badField("config.local_part", "must not be empty")
		}
		return hosted.Mailbox{LocalPart: in.LocalPart, Name: old.Name}, nil
	}
	if old.Kind == facebook.Kind {
		return patchPage(old, raw)
	}
	if old.Kind != account.Kind {
		return nil, notAvailableError{"changing the configuration of " + string(old.Kind)}
	}
	var in accountIn
	if err := decodeJSON("config", raw, &in); err != nil {
		return nil, err
	}
	var saved account.Account
	if err := json.Unmarshal(old.Config, &saved); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	saved.Name, saved.ForwardedTo = old.Name, old.ReceivesVia
	next, err := in.merge(saved)
	if err != nil {
		return nil, err
	}
	if in.Password == nil && next.Auth == account.AuthPassword {
		return keepPassword{next}, nil
	}
	return next, nil
}

// keepPassword is an account whose password is not given anew: the engine keeps
// the saved one when there are no credentials.
type keepPassword struct{ given account.Account }

func (k keepPassword) Account() (channel.Account, error) {
	k.given.Password = "kept" // passes the check; what counts is saved
	out, err := k.given.Account()
	out.Credentials = channel.Credentials{}
	return out, err
}

// configError names the field of a configuration as the caller gave it.
func configError(kind string, err error) error {
	var fe *channel.FieldError
	if errors.As(err, &fe) && kind == string(hosted.Kind) && fe.Field == "address" {
		return badField("config.local_part", "%s", fe.Problem)
	}
	return within("config", err, besideConfig...)
}
