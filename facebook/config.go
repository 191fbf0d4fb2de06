package facebook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Page is the configuration of a Page.
type Page struct {
	// ID is the Page's id: digits.
	ID string `json:"page_id"`
	// Name is the display name, usually the Page's own.
	Name string `json:"-"`
	// Token is the Page's access token, as [App.Finish] returns it. Empty
	// leaves the one that is saved.
	Token string `json:"-"`
	// User is the app-scoped id of the person who granted Token. When they
	// remove the app, or ask for deletion, the token is forgotten. Empty: it is
	// asked for when the Page begins to receive.
	User string `json:"-"`
	// Rules say what becomes a ticket.
	Rules Rules `json:"rules"`
}

var _ channel.Config = Page{}

// Names of the credentials.
const (
	credToken = "token"
	credUser  = "user"
)

// Account returns the account to save. The error is a *channel.FieldError for
// "page_id", "access_token" or a field of "rules".
func (p Page) Account() (channel.Account, error) {
	p.ID = strings.TrimSpace(p.ID)
	if !plausibleID(p.ID) {
		return channel.Account{}, channel.BadField("page_id", "must be the id of a Page: digits")
	}
	if len(p.Token) > 4096 || strings.ContainsFunc(p.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return channel.Account{}, channel.BadField("access_token", "is no access token")
	}
	if err := p.Rules.check(); err != nil {
		return channel.Account{}, err
	}
	config, err := json.Marshal(p)
	if err != nil {
		return channel.Account{}, err
	}
	acct := channel.Account{Kind: Kind, Name: p.Name, Config: config}
	if p.Token != "" {
		secrets := map[string]string{credToken: p.Token}
		if p.User != "" {
			secrets[credUser] = p.User
		}
		acct.Credentials = channel.NewCredentials(secrets)
	}
	return acct, nil
}

// String names the Page, without the token.
func (p Page) String() string { return string(Kind) + " " + p.ID }

// Format writes String whatever the verb.
func (p Page) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

func plausibleID(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "0123456789") == ""
}
