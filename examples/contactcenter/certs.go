package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// certificates serves a certificate from files and reads them again when they
// change. One that cannot be read leaves the old one in use.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	form    string // of the files when they were read
	looked  time.Time
}

// certCheckEvery is the shortest time between two looks at the files.
const certCheckEvery = time.Second

func openCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificates) load() error {
	form, err := c.fileForm()
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	if form == c.form {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	c.current, c.form = &cert, form
	return nil
}

func (c *certificates) fileForm() (string, error) {
	var form strings.Builder
	for _, name := range []string{c.certFile, c.keyFile} {
		st, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&form, "%d %s;", st.Size(), st.ModTime())
	}
	return form.String(), nil
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certCheckEvery {
		c.looked = now
		if err := c.load(); err != nil {
			c.log.Warn("the certificate in use stays", slog.Any("error", err))
		}
	}
	return c.current, nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}
