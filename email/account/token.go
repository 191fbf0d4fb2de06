package account

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/oauth2"
)

// tokens asks an account's source for access tokens, without outliving the
// caller's context: a source knows no contexts. One that hangs is asked once,
// however often a token is wanted meanwhile.
type tokens struct {
	source func(context.Context) (oauth2.TokenSource, error)

	mu    sync.Mutex
	asked *tokenAnswer
}

// tokenAnswer is one call of a source. The rest is set when done is closed.
type tokenAnswer struct {
	done  chan struct{}
	token string
	err   error
}

func (t *tokens) get(ctx context.Context) (string, error) {
	a := t.pending()
	if a == nil {
		src, err := t.source(ctx)
		if err != nil {
			return "", err
		}
		a = t.ask(src)
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-a.done:
		return a.token, a.err
	}
}

// pending returns the call that has not ended yet, or nil.
func (t *tokens) pending() *tokenAnswer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

// ask calls the source, unless a call has begun meanwhile.
func (t *tokens) ask(src oauth2.TokenSource) *tokenAnswer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked != nil {
		return t.asked
	}
	a := &tokenAnswer{done: make(chan struct{})}
	t.asked = a
	go func() {
		token, err := src.Token()
		switch {
		case err != nil:
			a.err = err
		case token == nil || token.AccessToken == "":
			a.err = errors.New("account: empty access token")
		default:
			a.token = token.AccessToken
		}
		t.mu.Lock()
		t.asked = nil
		t.mu.Unlock()
		close(a.done)
	}()
	return a
}

// needsPerson reports whether an OAuth error code says that somebody must sign
// in again: RFC 6749 section 5.2, and Microsoft's own after
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func needsPerson(code string) bool {
	return slices.Contains([]string{"invalid_grant", "interaction_required", "login_required", "consent_required"}, code)
}

// tokenFailure leaves the cause's text out, since it may quote the answer of
// the token endpoint.
func tokenFailure(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		return broken(ctx, stageLogin, err)
	}
	f := &failure{stage: stageLogin, code: "token", text: "no access token could be had"}
	var re *oauth2.RetrieveError
	if errors.As(err, &re) && re.ErrorCode != "" {
		f.text += ": " + oneLine(re.ErrorCode, nil)
		f.authorization = needsPerson(re.ErrorCode)
	}
	if f.authorization {
		f.fix = "Sign in again."
	}
	return f
}
