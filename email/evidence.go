package email

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// maxEvidence bounds the tokens and the ids of one message's evidence.
const maxEvidence = 50

// tokens returns candidates for tokens of ours, the strongest first: in the ids
// that the mail answers, then in the addresses that it was sent to.
func tokens(m *Mail, env channel.Envelope) []string {
	var out []string
	for _, id := range evidenceIDs(m) {
		out = appendTokens(out, tokenOf(id))
	}
	out = appendTokens(out, tagOf(env.To))
	for _, list := range [][]channel.Party{m.To, m.Cc} {
		for _, p := range list {
			out = appendTokens(out, tagOf(p.Address))
		}
	}
	for _, name := range []string{"X-Original-To", "Delivered-To", "Envelope-To"} {
		for _, v := range m.Header.Values(name) {
			out = appendTokens(out, tagOf(strings.Trim(strings.TrimSpace(v), "<>")))
		}
	}
	return out
}

// evidenceIDs returns In-Reply-To, then References from the last to the first.
func evidenceIDs(m *Mail) []string {
	var out []string
	add := func(id string) {
		if len(out) < maxEvidence && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range m.InReplyTo {
		add(id)
	}
	for _, id := range slices.Backward(m.References) {
		add(id)
	}
	return out
}

// appendTokens adds a candidate that has the shape of a token and is new.
func appendTokens(out []string, candidate string) []string {
	if !isToken(candidate) || len(out) >= maxEvidence || slices.Contains(out, candidate) {
		return out
	}
	return append(out, candidate)
}

// tokenOf returns what may be a token in a message id: its local part, without
// the suffix of an anchor.
func tokenOf(id string) string {
	local, _, _ := strings.Cut(id, "@")
	return strings.TrimSuffix(local, anchorSuffix)
}

// tagOf returns the +tag of an address, or "".
func tagOf(address string) string {
	local, _, _ := strings.Cut(strings.ToLower(address), "@")
	_, tag, _ := strings.Cut(local, "+")
	return tag
}
