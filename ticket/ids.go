package ticket

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/google/uuid"
)

// newID returns a new id that sorts by time (RFC 9562 version 7).
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// Reading random bytes does not fail on a supported system; the
		// panic of crypto/rand says so better than an error nobody expects.
		id = uuid.Must(uuid.NewRandom())
	}
	return id.String()
}

// randomToken returns n random bytes in lower-case hexadecimal.
func randomToken(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}
