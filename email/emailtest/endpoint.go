package emailtest

import (
	"crypto/tls"
	"net"
	"strconv"
)

// endpoint is where a server is reached, and whom it is trusted by.
type endpoint struct {
	addr string
	ca   *CA // nil without TLS
}

// newEndpoint returns one on a port of loopback that nobody listens on, with a
// certificate for 127.0.0.1 and localhost and its key as PEM.
func newEndpoint() (endpoint, []byte, error) {
	var pem []byte
	ca, err := NewCA()
	if err != nil {
		return endpoint{}, nil, err
	}
	cert, err := ca.Certificate("127.0.0.1", "localhost")
	if err == nil {
		pem, err = certificatePEM(cert)
	}
	if err != nil {
		return endpoint{}, nil, err
	}
	addr, err := freeAddr()
	return endpoint{addr, ca}, pem, err
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// Addr returns "127.0.0.1:port".
func (e *endpoint) Addr() string { return e.addr }

// Host returns "127.0.0.1".
func (*endpoint) Host() string { return "127.0.0.1" }

// Port returns the port. That of an [IMAP] in memory is 143.
func (e *endpoint) Port() int {
	_, port, _ := net.SplitHostPort(e.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// ClientTLS returns a client configuration that trusts the server's authority
// and no other. It is nil for a [Postfix] without STARTTLS.
func (e *endpoint) ClientTLS() *tls.Config {
	if e.ca == nil {
		return nil
	}
	return &tls.Config{RootCAs: e.ca.Pool()}
}

// CA returns the authority of the server's certificate, nil for a [Postfix]
// without STARTTLS.
func (e *endpoint) CA() *CA { return e.ca }
