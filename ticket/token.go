package ticket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

// A token names an outgoing message and proves that we made it: version byte,
// the message's id (16 bytes) and an HMAC-SHA-256 of both, cut to 10 bytes, in
// lower-case base32. It travels as Message-ID and in reply addresses. It names
// the message, not the ticket, so that it stays valid when tickets are merged.
const (
	tokenOfMessage = 1 // the version byte: what the id names
	tokenOfNotice  = 2 // a notice to an agent, by its work's id
	tokenOfProbe   = 3 // a probe, by its own id

	tokenMAC   = 10
	tokenBytes = 1 + 16 + tokenMAC
)

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// keyRing holds the portal's secrets for tokens, the newest first. Tokens of
// older ones stay valid.
type keyRing struct {
	Secrets [][]byte `json:"secrets"`
}

func (k *keyRing) mac(secret, payload []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("anteroom message token\x00"))
	h.Write(payload)
	return h.Sum(nil)[:tokenMAC]
}

// mint returns the token of what an id names, or "" for an id that is not ours.
func (k *keyRing) mint(version byte, id string) string {
	u, err := uuid.Parse(id)
	if err != nil || len(k.Secrets) == 0 {
		return ""
	}
	b := make([]byte, 0, tokenBytes)
	b = append(b, version)
	b = append(b, u[:]...)
	b = append(b, k.mac(k.Secrets[0], b)...)
	return tokenEncoding.EncodeToString(b)
}

// verify returns the message that a token names, if the token is ours.
func (k *keyRing) verify(version byte, token string) (MessageID, bool) {
	token = strings.ToLower(token)
	b, err := tokenEncoding.DecodeString(token)
	// A token has one spelling: the bits of its last letter that carry nothing
	// are zero.
	if err != nil || len(b) != tokenBytes || b[0] != version || tokenEncoding.EncodeToString(b) != token {
		return "", false
	}
	payload, mac := b[:tokenBytes-tokenMAC], b[tokenBytes-tokenMAC:]
	for _, s := range k.Secrets {
		if hmac.Equal(mac, k.mac(s, payload)) {
			return MessageID(uuid.UUID(payload[1:]).String()), true
		}
	}
	return "", false
}
