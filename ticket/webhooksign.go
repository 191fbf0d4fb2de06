package ticket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// webhookAge is how far the time of a webhook's request may be off.
const webhookAge = 5 * time.Minute

// SignWebhook sets the headers webhook-id, webhook-timestamp and
// webhook-signature of a webhook's request; see [Webhook]. It is there for the
// tests of receivers.
func SignWebhook(h http.Header, secret []byte, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(webhookMAC(secret, id, timestamp, body)))
}

// VerifyWebhook is for who receives a [Webhook]: it returns nil if a request with
// these headers and this body was signed with the secret within five minutes of
// now. Whoever gets an error answers 401, and nothing has happened. The same event
// may come again, with the same webhook-id.
func VerifyWebhook(h http.Header, secret []byte, body []byte, now time.Time) error {
	id, timestamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" {
		return errors.New("ticket: webhook: it has no webhook-id or webhook-timestamp")
	}
	if len(secret) == 0 { // not configured: anybody can sign with it
		return errors.New("ticket: webhook: the secret is empty")
	}
	want := webhookMAC(secret, id, timestamp, body)
	signed := false
	for sig := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		// Several may stand there while a secret is replaced.
		mac, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sig, "v1,"))
		signed = signed || err == nil && hmac.Equal(mac, want)
	}
	if !signed {
		return errors.New("ticket: webhook: the signature is not of this secret and body")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > webhookAge {
		return errors.New("ticket: webhook: it was signed too long ago, or the clocks differ")
	}
	return nil
}

func webhookMAC(secret []byte, id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(m, id+"."+timestamp+".") // never fails
	m.Write(body)
	return m.Sum(nil)
}
