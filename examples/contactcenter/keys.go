package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyBytes    = 32
	maxTokenLen = 512
)

// loadKey returns the key that seals secrets: that of the environment, or the
// one in the data folder, which is made the first time.
func loadKey(given, folder string) ([]byte, error) {
	text, from := given, "ANTEROOM_KEY"
	if text == "" {
		from = filepath.Join(folder, "key")
		var err error
		if text, err = keepSecret(from, base64.StdEncoding.EncodeToString(randomBytes(keyBytes))); err != nil {
			return nil, err
		}
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("%s must hold %d bytes in base64", from, keyBytes)
	}
	return key, nil
}

// loadToken returns the API token, likewise.
func loadToken(given, folder string) (string, error) {
	if given == "" {
		var err error
		given, err = keepSecret(filepath.Join(folder, "token"), base64.RawURLEncoding.EncodeToString(randomBytes(24)))
		if err != nil {
			return "", err
		}
	}
	given = strings.TrimSpace(given)
	if given == "" || len(given) > maxTokenLen || strings.ContainsFunc(given, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", errors.New("the API token (ANTEROOM_TOKEN) must be printable ASCII without blanks, at most 512 characters")
	}
	return given, nil
}

// keepSecret returns what is in the file, after writing fresh there if there
// is none. Only the owner can read it.
func keepSecret(path, fresh string) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		return string(b), nil
	}
	if err != nil {
		return "", fmt.Errorf("keep secret: %w", err)
	}
	_, err = f.WriteString(fresh + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("keep secret: %w", errors.Join(err, os.Remove(path)))
	}
	return fresh, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return b
}

// deriveKey makes a key for one purpose, so that the sealing key itself is
// used for nothing else.
func deriveKey(key []byte, purpose string) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "anteroom contactcenter "+purpose, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return k, nil
}
