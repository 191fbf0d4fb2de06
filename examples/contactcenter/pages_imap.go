package main

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/email/account"
)

// imapForm is how an account receives, as the form shows it.
type imapForm struct{ account.IMAP }

// IMAP is empty where the account does not receive by IMAP.
func (d channelData) IMAP() imapForm {
	if d.Account.IMAP == nil {
		return imapForm{}
	}
	return imapForm{*d.Account.IMAP}
}

// After is what happens to a mail, without the folder that it is moved to.
func (d channelData) After() string {
	name, _, _ := strings.Cut(d.IMAP().IMAP.After, ":")
	return name
}

// AfterFolder is where mails are moved to.
func (d channelData) AfterFolder() string {
	_, folder, _ := strings.Cut(d.IMAP().IMAP.After, ":")
	return folder
}

// FirstSync is none, all or since.
func (d channelData) FirstSync() string {
	switch first := d.IMAP().IMAP.FirstSync; first {
	case "", "none", "all":
		return first
	}
	return "since"
}

// Since is the day from which history is taken in.
func (d channelData) Since() string {
	at, err := time.Parse(time.RFC3339, d.IMAP().IMAP.FirstSync)
	if err != nil {
		return ""
	}
	return at.Format(time.DateOnly)
}

// Folders are those that the check has found.
func (d channelData) Folders() []string {
	for _, f := range d.Findings {
		if all := f.Data["folders"]; all != "" {
			return strings.Split(all, "\n")
		}
	}
	return nil
}

// imapFields reads how an account receives by IMAP.
func imapFields(f url.Values) (map[string]any, error) {
	text := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	out := map[string]any{"host": text("imap_host"), "security": text("imap_security"), "folder": text("folder")}
	if port := text("imap_port"); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, badField("config.imap.port", "must be a number")
		}
		out["port"] = n
	}
	out["sent"], out["sent_folder"] = text("sent"), text("sent_folder")
	out["after"] = text("after")
	if out["after"] == "move" {
		out["after"] = "move:" + text("after_folder")
	}
	out["first_sync"] = text("first_sync")
	if out["first_sync"] == "since" {
		at, err := time.Parse(time.DateOnly, text("since"))
		if err != nil {
			return nil, badField("config.imap.first_sync", "choose the day from which mails are taken in")
		}
		out["first_sync"] = at.Format(time.RFC3339)
	}
	return out, nil
}

// typedIMAP is what was typed about IMAP, as far as it can be shown again.
func typedIMAP(f url.Values) *account.IMAP {
	if f.Get("imap_on") != "on" {
		return nil
	}
	out := &account.IMAP{
		Server: account.Server{Host: f.Get("imap_host"), Security: account.Security(f.Get("imap_security"))},
		Folder: f.Get("folder"), After: f.Get("after"), FirstSync: f.Get("first_sync"),
		Sent: f.Get("sent"), SentFolder: f.Get("sent_folder"),
	}
	out.Port, _ = strconv.Atoi(f.Get("imap_port"))
	if out.After == "move" {
		out.After += ":" + f.Get("after_folder")
	}
	if out.FirstSync == "since" {
		out.FirstSync = f.Get("since") + "T00:00:00Z"
	}
	return out
}
