package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// apiError is an error as the API tells it.
type apiError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	cause   error
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }
func (e *apiError) Unwrap() error { return e.cause }

func badField(field, format string, args ...any) error {
	return channel.BadField(field, format, args...)
}

func unavailable(err error) *apiError {
	return &apiError{status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the store cannot be used at the moment; try again", cause: err}
}

// within puts the errors of an embedded thing, such as a configuration, under
// the name by which the caller gave it. Fields in beside are the caller's own.
func within(parent string, err error, beside ...string) error {
	var fe *channel.FieldError
	if !errors.As(err, &fe) || strings.HasPrefix(fe.Field, parent+".") {
		return err
	}
	top, _, _ := strings.Cut(fe.Field, ".")
	if slices.Contains(beside, top) {
		return err
	}
	return channel.BadField(parent+"."+fe.Field, "%s", fe.Problem)
}

// classify says how an error is told.
func classify(err error) *apiError {
	var (
		ae *apiError
		fe *channel.FieldError
		na notAvailableError
		tl *http.MaxBytesError
		se *channel.SendError
	)
	is := func(status int, code, field string) *apiError {
		return &apiError{status: status, Code: code, Message: message(err), Field: field}
	}
	switch {
	case errors.As(err, &ae):
		return ae
	case errors.As(err, &fe):
		return &apiError{status: http.StatusBadRequest, Code: "invalid", Message: fe.Error(), Field: fe.Field}
	case errors.As(err, &se): // an action that the network refused
		return &apiError{status: http.StatusConflict, Code: cmp.Or(se.Code, "refused"), Message: strings.TrimSpace(se.Reason + " " + se.Fix), cause: err}
	case errors.As(err, &na):
		return is(http.StatusNotImplemented, "not_available", "")
	case errors.As(err, &tl):
		return &apiError{status: http.StatusRequestEntityTooLarge, Code: "too_large", Field: "body",
			Message: fmt.Sprintf("the request must have at most %d bytes", tl.Limit)}
	case errors.Is(err, ticket.ErrBadCursor):
		return &apiError{status: http.StatusBadRequest, Code: "invalid", Message: "cursor: was not given by this list", Field: "cursor"}
	case errors.Is(err, ticket.ErrNotFound):
		return is(http.StatusNotFound, "not_found", "")
	case errors.Is(err, ticket.ErrConflict):
		return is(http.StatusConflict, "conflict", "revision")
	case errors.Is(err, ticket.ErrTooLate):
		return is(http.StatusConflict, "too_late", "")
	case errors.Is(err, ticket.ErrReceiveOnly):
		return is(http.StatusConflict, "receive_only", "via")
	case errors.Is(err, ticket.ErrInactive):
		return is(http.StatusConflict, "inactive", "channel")
	case errors.Is(err, ticket.ErrNotAble):
		return is(http.StatusConflict, "not_able", "")
	case errors.Is(err, ticket.ErrNoRecipient):
		return is(http.StatusBadRequest, "invalid", "to")
	case errors.Is(err, ticket.ErrWindowClosed):
		return is(http.StatusConflict, "window_closed", "")
	case errors.Is(err, ticket.ErrState):
		return is(http.StatusConflict, "state", "")
	case errors.Is(err, context.Canceled):
		return &apiError{status: 499, Code: "cancelled", Message: "the request was given up"}
	}
	return unavailable(err)
}

// message is an error's text without the package that it comes from.
func message(err error) string { return strings.ReplaceAll(err.Error(), "ticket: ", "") }

// fail answers with an error, in JSON or, for a person, as a page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := classify(err)
	if e.status >= 500 && e.status != http.StatusNotImplemented {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, slog.Any("error", cmp.Or(e.cause, err)))
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.pages.showError(w, r, e)
		return
	}
	_ = answer(w, e.status, map[string]any{"error": e})
}

// answer writes JSON. Errors of writing are the client's.
func answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
	return nil
}
