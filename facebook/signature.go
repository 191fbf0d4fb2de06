package facebook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
)

// signed reports whether header is the signature of body with one of the
// secrets, in constant time
// (https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads).
func signed(secrets []string, body []byte, header string) bool {
	given, ok := strings.CutPrefix(header, "sha256=")
	sum, err := hex.DecodeString(given)
	if !ok || err != nil || len(sum) != sha256.Size {
		return false
	}
	good := false
	for _, s := range secrets {
		if s == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), sum) {
			good = true
		}
	}
	return good
}

// proof is the appsecret_proof of a token
// (https://developers.facebook.com/docs/facebook-login/security).
func proof(secret, token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// signedRequest is what Facebook tells in a callback about a person.
type signedRequest struct {
	Algorithm string `json:"algorithm"`
	UserID    ident  `json:"user_id"`
}

var errForged = errors.New("facebook: the signed request is not Facebook's")

// readSignedRequest verifies and reads a signed_request
// (https://developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback).
func readSignedRequest(secrets []string, s string) (signedRequest, error) {
	var out signedRequest
	sig, payload, ok := strings.Cut(s, ".")
	sum, err := decodeBase64URL(sig)
	if !ok || err != nil || !signed(secrets, []byte(payload), "sha256="+hex.EncodeToString(sum)) {
		return out, errForged
	}
	b, err := decodeBase64URL(payload)
	if err != nil {
		return out, errForged
	}
	if json.Unmarshal(b, &out) != nil || out.Algorithm != "HMAC-SHA256" || out.UserID == "" {
		return signedRequest{}, errForged
	}
	return out, nil
}

func decodeBase64URL(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
