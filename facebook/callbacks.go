package facebook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Deauthorize returns what Facebook calls when somebody removes the app: the
// tokens that they granted are forgotten, and their Pages need authorization
// (https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow).
// The answers are 200, 403 for a request that is not Facebook's, and 503 when it
// could not be done.
func (a *App) Deauthorize() http.Handler {
	return a.callback(func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusOK) })
}

// DeleteData returns what Facebook calls when somebody asks for the deletion of
// their data. What is held of somebody who granted a Page is their id and their
// tokens; both are erased. Customers are known by other ids, which this callback
// never names: erase them by the engine. status is the address of
// [App.DeletionStatus], where the person may see that it is done
// (https://developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback).
func (a *App) DeleteData(status string) http.Handler {
	return a.callback(func(w http.ResponseWriter, user string) {
		code := a.confirmation(user, a.now())
		b, err := json.Marshal(map[string]string{"url": status + "?code=" + url.QueryEscape(code), "confirmation_code": code})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	})
}

// DeletionStatus returns a page that tells a person by their confirmation code
// that their data is deleted. Nothing is kept for it: the code proves itself.
func (a *App) DeletionStatus() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !a.confirmed(r.URL.Query().Get("code")) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "This confirmation code is not known.\n")
			return
		}
		_, _ = io.WriteString(w, "Your data is deleted.\n")
	})
}

// confirmation is a code that proves that a deletion was done: 8 bytes of its
// time and who it was for, not to be read out of it, and a sum over them.
func (a *App) confirmation(user string, at time.Time) string {
	id := codeSum(a.secret(), "who:"+user+at.UTC().Format(time.RFC3339))[:16]
	return id + codeSum(a.secret(), "code:"+id)[:32]
}

// confirmed knows the codes of all secrets, since people keep theirs.
func (a *App) confirmed(code string) bool {
	return len(code) == 48 && slices.ContainsFunc(a.Secrets, func(secret string) bool {
		return secret != "" && hmac.Equal([]byte(code[16:]), []byte(codeSum(secret, "code:"+code[:16])[:32]))
	})
}

func codeSum(secret, s string) string {
	mac := hmac.New(sha256.New, []byte("anteroom deletion:"+secret))
	mac.Write([]byte(s))
	return hex.EncodeToString(mac.Sum(nil))
}

// maxSigned bounds the body of a callback.
const maxSigned = 64 << 10

func (a *App) callback(done func(w http.ResponseWriter, user string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSigned))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		req, err := readSignedRequest(a.Secrets, form.Get("signed_request"))
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if err := a.forget(context.WithoutCancel(r.Context()), string(req.UserID)); err != nil {
			a.log().Error("facebook: forget a person's tokens", slog.Any("error", err))
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		done(w, string(req.UserID))
	})
}

// forgetTime bounds it, since Facebook waits for the answer.
const forgetTime = 20 * time.Second

// forget erases what is held of a person who granted Pages, on all Pages of all
// portals that this node serves.
func (a *App) forget(ctx context.Context, user string) error {
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	if err := a.ask(ctx); err != nil {
		return err
	}
	var errs []error
	for _, p := range a.connected() {
		p.mu.Lock()
		theirs := p.secrets.Get(credUser) == user
		p.mu.Unlock()
		if !theirs {
			continue
		}
		if err := p.env.SaveCredentials(ctx, channel.Credentials{}); err != nil {
			errs = append(errs, fmt.Errorf("facebook: forget the token of a Page: %w", err))
			continue
		}
		p.mu.Lock()
		p.secrets = channel.Credentials{}
		p.mu.Unlock()
		p.report()
		p.env.Log.Info("facebook: the person who connected the Page removed the app")
	}
	return errors.Join(errs...)
}
