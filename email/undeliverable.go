package email

import (
	"regexp"
	"strings"
)

// Undeliverable reports whether the refusal of a mail system says that there is
// no such recipient, now or later. status is the enhanced code (RFC 3463), which
// may be empty, and diagnostic what the system said. A full mailbox, a size, a
// policy or suspected spam say nothing about the address, and neither does what
// may pass.
func Undeliverable(status, diagnostic string) bool {
	if !statusCode.MatchString(status) {
		status = statusCode.FindString(diagnostic)
	}
	if notTheAddress.MatchString(diagnostic) {
		return false
	}
	switch {
	case status == "", status == "5.0.0", status == "5.5.0": // nothing that is more precise
		c := replyCode.FindString(diagnostic)
		return c == "550" || c == "551" || c == "553"
	case status == "5.1.7", status == "5.1.8", status == "5.1.9": // the sender's address; the path
		return false
	case strings.HasPrefix(status, "5.1."):
		return true
	case status == "5.4.1": // Exchange says so of recipients that it does not know
		return strings.Contains(asciiLower(diagnostic), "recipient address rejected")
	}
	// A mailbox that is switched off; a domain that is not there.
	return status == "5.2.1" || status == "5.4.4" || status == "5.4.310"
}

// notTheAddress is what stands in refusals that are about something else. It is
// field knowledge.
var notTheAddress = regexp.MustCompile(`(?i)(\bspam|spamhaus|blacklist|block ?list|blocked|blocklisted|reputation|polic(y|ies)|\bspf\b|\bdkim\b|\bdmarc\b|authenticat|relay(ing)? (access )?(denied|not permitted)|unable to relay|over ?quota|quota exceeded|mailbox (is )?full|too large|too many|rate limit|at a rate|greylist|content)`)
