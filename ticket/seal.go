package ticket

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrWrongKey says that what is sealed in the store was sealed with a key that
// is neither Config.Key nor one of Config.OldKeys.
var ErrWrongKey = errors.New("ticket: the store's secrets are sealed with another key")

// sealer seals secrets at rest: AES-256-GCM, the first four bytes of the key's
// SHA-256 in front to find the key again. Without keys it can do nothing.
type sealer struct {
	keys []sealKey // the first seals, all open
}

type sealKey struct {
	id   [4]byte
	aead cipher.AEAD
}

func newSealer(key []byte, old [][]byte) (*sealer, error) {
	s := &sealer{}
	if len(key) == 0 {
		if len(old) > 0 {
			return nil, errors.New("ticket: Config.OldKeys needs Config.Key")
		}
		return s, nil
	}
	for _, k := range append([][]byte{key}, old...) {
		if len(k) != 32 {
			return nil, fmt.Errorf("ticket: Config.Key must have 32 bytes, not %d", len(k))
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, fmt.Errorf("ticket: make cipher: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("ticket: make cipher: %w", err)
		}
		sum := sha256.Sum256(k)
		s.keys = append(s.keys, sealKey{id: [4]byte(sum[:4]), aead: aead})
	}
	return s, nil
}

func (s *sealer) enabled() bool { return len(s.keys) > 0 }

// seal seals plain for the given purpose; the purpose must be the same to open.
func (s *sealer) seal(plain []byte, purpose string) ([]byte, error) {
	if !s.enabled() {
		return nil, errors.New("ticket: Config.Key is needed to keep secrets")
	}
	k := s.keys[0]
	out := append([]byte(nil), k.id[:]...)
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails, by its documentation
	out = append(out, nonce...)
	return k.aead.Seal(out, nonce, plain, []byte(purpose)), nil
}

// open undoes seal. It returns ErrWrongKey if no key fits.
func (s *sealer) open(sealed []byte, purpose string) ([]byte, error) {
	plain, _, err := s.openBy(sealed, purpose)
	return plain, err
}

// openBy also reports whether it was the key that seals now.
func (s *sealer) openBy(sealed []byte, purpose string) (plain []byte, current bool, err error) {
	for i, k := range s.keys {
		n := len(k.id) + k.aead.NonceSize()
		if len(sealed) < n || [4]byte(sealed[:4]) != k.id {
			continue
		}
		if plain, err := k.aead.Open(nil, sealed[4:n], sealed[n:], []byte(purpose)); err == nil {
			return plain, i == 0, nil
		}
	}
	if len(s.keys) == 0 {
		return nil, false, fmt.Errorf("%w, and Config.Key is empty", ErrWrongKey)
	}
	return nil, false, ErrWrongKey
}
