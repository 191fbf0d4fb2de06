package account

import (
	"slices"
	"strings"
)

// Preset is what is known about a mail provider.
type Preset struct {
	Provider string
	SMTP     Server
	IMAP     Server
	Auth     Auth // what to try first
	// Hint is for the person who fills in the form.
	Hint string
}

const hintAppPassword = "The account's own password does not work in programs: make an app password in the provider's security settings (two-step verification must be on)."

// Presets returns what is known about the provider of an address; false if
// nothing. A company's own domain may be hosted by any of them.
func Presets(address string) (Preset, bool) {
	_, domain, ok := cutAddress(strings.ToLower(strings.TrimSpace(address)))
	if !ok {
		return Preset{}, false
	}
	for _, p := range presets() {
		if slices.Contains(p.domains, domain) {
			return p.Preset, true
		}
	}
	return Preset{}, false
}

type domainPreset struct {
	Preset
	domains []string
}

// presets are field knowledge after the pages named. A check of the connection
// tells when one has gone out of date.
func presets() []domainPreset {
	tls := func(host string, port int) Server { return Server{Host: host, Port: port, Security: TLS} }
	starttls := func(host string, port int) Server { return Server{Host: host, Port: port, Security: STARTTLS} }
	return []domainPreset{
		{ // https://support.google.com/mail/answer/7104828
			Preset{"Gmail", tls("smtp.gmail.com", 465), tls("imap.gmail.com", 993), AuthPassword, hintAppPassword},
			[]string{"gmail.com", "googlemail.com"},
		},
		{ // https://support.microsoft.com/office/8361e398-8af4-4e97-b147-6c6c4ac95353
			Preset{
				"Outlook.com", starttls("smtp-mail.outlook.com", 587), tls("outlook.office365.com", 993), AuthOAuth2,
				"Microsoft wants sign-in with OAuth; passwords are being switched off.",
			},
			[]string{"outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.com.br", "outlook.com.vn"},
		},
		{ // https://help.yahoo.com/kb/SLN4075.html
			Preset{"Yahoo", tls("smtp.mail.yahoo.com", 465), tls("imap.mail.yahoo.com", 993), AuthPassword, hintAppPassword},
			[]string{"yahoo.com", "yahoo.com.vn", "yahoo.com.br", "ymail.com", "rocketmail.com"},
		},
		{ // https://support.apple.com/102525
			Preset{"iCloud", starttls("smtp.mail.me.com", 587), tls("imap.mail.me.com", 993), AuthPassword, hintAppPassword},
			[]string{"icloud.com", "me.com", "mac.com"},
		},
		{ // https://www.zoho.com/mail/help/zoho-smtp.html
			Preset{"Zoho", tls("smtp.zoho.com", 465), tls("imap.zoho.com", 993), AuthPassword, hintAppPassword},
			[]string{"zoho.com", "zohomail.com"},
		},
		{ // https://www.fastmail.help/hc/en-us/articles/1500000278342
			Preset{"Fastmail", tls("smtp.fastmail.com", 465), tls("imap.fastmail.com", 993), AuthPassword, hintAppPassword},
			[]string{"fastmail.com", "fastmail.fm"},
		},
		{ // https://yandex.com/support/mail/mail-clients/others.html
			Preset{"Yandex", tls("smtp.yandex.com", 465), tls("imap.yandex.com", 993), AuthPassword, hintAppPassword},
			[]string{"yandex.com", "yandex.ru", "ya.ru"},
		},
		{ // https://support.gmx.com/pop-imap/imap/server.html
			Preset{
				"GMX", starttls("mail.gmx.com", 587), tls("imap.gmx.com", 993), AuthPassword,
				"Allow access by POP3 and IMAP in the mailbox's settings first.",
			},
			[]string{"gmx.com", "gmx.us"},
		},
	}
}

// filesItself reports whether the provider of an IMAP server is known to put
// what is sent by SMTP into the Sent folder by itself (Gmail and Microsoft). Of
// others that may be a setting of the account: what they filed is found before
// anything is appended.
func filesItself(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range []string{"gmail.com", "googlemail.com", "outlook.com", "office365.com", "office.com", "hotmail.com", "live.com"} {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}
