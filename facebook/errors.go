package facebook

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Class says what to do about an error.
type Class int

// Classes of errors.
const (
	ClassUnknown       Class = iota // temporary, or not understood; a send may have happened
	ClassRetry                      // surely not done; try again, after [Error].After at least
	ClassFinal                      // will never succeed
	ClassAuthorization              // a person must grant something, or connect the Page again
)

// Error is an error of the Graph API
// (https://developers.facebook.com/docs/graph-api/guides/error-handling).
type Error struct {
	Status        int // of HTTP
	Code, Subcode int
	Message       string // Facebook's words, one line
	Transient     bool
	TraceID       string // for Facebook's support
	After         time.Duration
	// local says that the call was not made.
	local bool
}

// Error returns code, subcode and Facebook's words.
func (e *Error) Error() string {
	s := fmt.Sprintf("facebook: graph error %d", e.Code)
	if e.Subcode != 0 {
		s += fmt.Sprintf("/%d", e.Subcode)
	}
	if e.Code == 0 {
		s = fmt.Sprintf("facebook: the API answered with HTTP status %d", e.Status)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// known is what we know about an error.
type known struct {
	class Class
	code  string // for machines
	why   string
	fix   string
	after time.Duration
}

// Names of errors that stop all that the Page writes.
const (
	codeRestricted = "page_restricted"
	codeBlocked    = "blocked"
)

// Causes and remedies that several errors share.
const (
	fixReconnect = "Connect the Page again."
	fixAdmin     = "Let somebody who runs the Page connect it again, granting everything that is asked for."
	fixDefault   = "In the Page's settings, open Advanced messaging, Conversation routing, and choose this app as the default app."
	fixWindow    = "Wait until the customer writes again."
)

// subcodes are looked up first, in either position, since both occur for the
// numbers of Messenger
// (https://developers.facebook.com/documentation/business-messaging/messenger-platform/error-codes).
var subcodes = map[int]known{
	2018278: {ClassFinal, "window_closed", "the customer's last act is too long ago", fixWindow, 0},
	2018065: {ClassFinal, "window_closed", "the customer's last act is too long ago", fixWindow, 0},
	2534022: {ClassFinal, "window_closed", "the customer's last act is too long ago", fixWindow, 0},
	1893063: {ClassRetry, codeRestricted, "Facebook does not let the Page send for now", "See the Page's quality in its settings.", time.Hour},
	2018022: {ClassRetry, "too_many", "too many messages were sent", "", 10 * time.Minute},
	2018338: {ClassRetry, "too_many", "too many tagged messages were sent", "", time.Hour},
	2018108: {ClassFinal, "unavailable", "this person cannot be written to now", "", 0},
	1545041: {ClassFinal, "unavailable", "this person cannot be written to now", "", 0},
	2018028: {ClassFinal, "standard_access", "the app may only write to people with a role on it", "Have the app reviewed for advanced access to pages_messaging.", 0},
	2018001: {ClassFinal, "no_such_person", "the Page does not know this person", "", 0},
	2018008: {ClassFinal, "attachment", "Facebook could not fetch the attachment", "", 0},
	2018047: {ClassFinal, "attachment", "the attachment is not what its type says", "", 0},
	2018074: {ClassFinal, "attachment", "the attachment is not known any more", "", 0},
	2018109: {ClassFinal, "attachment_too_large", "the attachment is too large", "Images may have 8 MB, other files 25 MB.", 0},
	2018294: {ClassFinal, "attachment", "the video is broken, or took too long", "", 0},
	2018300: {ClassFinal, "thread_owner", "another app controls the conversation", fixDefault, 0},
	2534037: {ClassFinal, "thread_owner", "another app controls the conversation", fixDefault, 0},
	2018321: {ClassFinal, "thread_owner", "Messenger itself leads the conversation, for an ad", "Wait until the customer is through the questions of the ad.", 0},
	2018171: {ClassFinal, "thread_owner", "the app may not take control of the conversation", fixDefault, 0},
	2018218: {ClassFinal, "no_profile", "this person has no profile", "", 0},
	2018247: {ClassFinal, "no_profile", "the app may not read profiles", "Have the app reviewed for Business Asset User Profile Access.", 0},
	36007:   {ClassFinal, "code_expired", "the login took too long", "Begin the login again.", 0},
	36008:   {ClassFinal, "redirect_mismatch", "the redirect address is not the registered one", "Register the callback's address in the app's settings.", 0},
	36009:   {ClassFinal, "code_used", "the login was used before", "Begin the login again.", 0},
	458:     {ClassAuthorization, "app_removed", "the app was removed by the person who connected the Page", fixReconnect, 0},
	459:     {ClassAuthorization, "checkpoint", "the person who connected the Page must log in to Facebook first", "Let them log in to Facebook, then connect the Page again.", 0},
	464:     {ClassAuthorization, "checkpoint", "the person who connected the Page must confirm their account first", "Let them log in to Facebook, then connect the Page again.", 0},
	490:     {ClassAuthorization, "checkpoint", "the person who connected the Page must log in to Facebook first", "Let them log in to Facebook, then connect the Page again.", 0},
	460:     {ClassAuthorization, "password_changed", "the person who connected the Page changed their password", fixReconnect, 0},
	463:     {ClassAuthorization, "token_expired", "the access token has expired", fixReconnect, 0},
	467:     {ClassAuthorization, "token_invalid", "the access token is not valid any more", fixReconnect, 0},
	492:     {ClassAuthorization, "role_lost", "the person who connected the Page does not run it any more", fixAdmin, 0},
	2069032: {ClassAuthorization, "wrong_token", "the token is not a Page's", fixReconnect, 0},
	2069030: {ClassFinal, "page_type", "Facebook does not offer this for Pages of this kind", "", 0},
	2069031: {ClassFinal, "page_type", "Facebook does not offer this for Pages of this kind", "", 0},
	2069033: {ClassFinal, "page_type", "Facebook does not offer this for Pages of this kind", "", 0},
	2853006: {ClassAuthorization, "task_missing", "the person who connected the Page lacks a task on it", fixAdmin, 0},
	33:      {ClassFinal, "gone", "it is removed, or cannot be seen", "", 0},
}

// codes are looked up next.
var codes = map[int]known{
	4:       {ClassRetry, "throttled", "the app has called Facebook too often", "", 5 * time.Minute},
	17:      {ClassRetry, "throttled", "Facebook was called too often", "", 5 * time.Minute},
	32:      {ClassRetry, "throttled", "Facebook was called too often for this Page", "", 5 * time.Minute},
	341:     {ClassRetry, "throttled", "Facebook was called too often", "", 5 * time.Minute},
	613:     {ClassRetry, "throttled", "Facebook was called too often", "", time.Minute},
	80001:   {ClassRetry, "throttled", "Facebook was called too often for this Page", "", 5 * time.Minute},
	80006:   {ClassRetry, "throttled", "too many messages for this Page", "", 5 * time.Minute},
	368:     {ClassRetry, codeBlocked, "Facebook blocks this for a while, for its policies", "See the Page's quality in its settings.", 6 * time.Hour},
	3:       {ClassAuthorization, "capability", "the app lacks a capability", "See the app's settings at Facebook.", 0},
	10:      {ClassAuthorization, "permission", "a permission is missing", fixAdmin, 0},
	102:     {ClassAuthorization, "token_invalid", "the access token is not valid", fixReconnect, 0},
	190:     {ClassAuthorization, "token_invalid", "the access token is not valid", fixReconnect, 0},
	12:      {ClassFinal, "deprecated", "Facebook does not offer this any more", "", 0},
	27:      {ClassFinal, "no_routing", "conversation routing is off for this Page", "", 0},
	100:     {ClassFinal, "refused", "Facebook refuses a part of it", "", 0},
	506:     {ClassFinal, "repeated", "the same was written just before", "", 0},
	551:     {ClassFinal, "unavailable", "this person cannot be written to now", "", 0},
	803:     {ClassFinal, "gone", "it does not exist", "", 0},
	1705:    {ClassFinal, "as_user", "Facebook took the comment for a person's", fixReconnect, 0},
	2500:    {ClassFinal, "refused", "Facebook does not know this call", "", 0},
	10900:   {ClassFinal, "private_reply_used", "it was answered privately before", "Answer in Messenger, once the customer has written there.", 0},
	10903:   {ClassFinal, "private_reply_impossible", "it cannot be answered privately, or not any more", "Answer by a public comment.", 0},
	9000001: {ClassFinal, "gone", "it was deleted, or is too old to be read", "", 0},
}

// lookup decides by code and subcode first, then by what is said of the nature of
// the error, then by the HTTP status.
func (e *Error) lookup() known {
	if k, ok := subcodes[e.Subcode]; ok {
		return k
	}
	if e.Code >= 1_000_000 {
		if k, ok := subcodes[e.Code]; ok {
			return k
		}
	}
	k, ok := codes[e.Code]
	switch {
	case e.Code == 10 && e.Subcode != 0: // some rule about this one message, not the permission
		return known{ClassFinal, "refused", "Facebook refuses it", "", 0}
	case ok:
		return k
	case e.Code >= 200 && e.Code <= 299:
		return known{ClassAuthorization, "permission", "a permission is missing", fixAdmin, 0}
	case e.Code == 1, e.Code == 2, e.Transient:
		return known{ClassUnknown, "temporary", "Facebook has trouble", "", 0}
	case e.Status == http.StatusTooManyRequests:
		return known{ClassRetry, "throttled", "Facebook was called too often", "", 5 * time.Minute}
	case e.Code != 0 && e.Status < 500:
		return known{ClassFinal, "refused", "Facebook refuses it", "", 0}
	}
	return known{ClassUnknown, "temporary", "Facebook has trouble", "", 0}
}

// Class says what to do about the error.
func (e *Error) Class() Class { return e.lookup().class }

// Name names the error for machines, such as "window_closed".
func (e *Error) Name() string { return e.lookup().code }

// Fix says what a person can do, where that is known.
func (e *Error) Fix() string { return e.lookup().fix }

func (e *Error) reason() string {
	if e.Message == "" {
		return e.lookup().why
	}
	return e.lookup().why + " (Facebook: " + e.Message + ")"
}

func (e *Error) pause() time.Duration { return max(e.After, e.lookup().after) }

// gone reports whether err says that something does not exist any more.
func gone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Name() == "gone"
}

// final reports whether trying again is of no use.
func final(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Class() == ClassFinal || e.Class() == ClassAuthorization)
}

// sendError is how a send ended. handed says that the call may have been made.
func sendError(err error, handed bool) *channel.SendError {
	if se, ok := errors.AsType[*channel.SendError](err); ok {
		return se
	}
	ge, ok := errors.AsType[*Error](err)
	if !ok {
		se := &channel.SendError{Outcome: channel.NotSent, Code: "connect", Reason: "Facebook could not be reached", Err: err}
		if handed && !errors.Is(err, errNotConnected) {
			se.Outcome, se.Code, se.Reason = channel.Unknown, "no_answer", "Facebook's answer was lost"
		}
		return se
	}
	k := ge.lookup()
	se := &channel.SendError{Code: k.code, Reason: ge.reason(), Fix: k.fix, After: ge.pause(), Err: err}
	switch k.class {
	case ClassUnknown:
		se.Outcome = channel.Unknown
		if !handed || ge.local {
			se.Outcome = channel.NotSent
		}
	case ClassRetry:
		se.Outcome = channel.NotSent
	case ClassFinal:
		se.Outcome = channel.Rejected
	case ClassAuthorization:
		se.Outcome, se.Authorization = channel.NotSent, true
	}
	return se
}
