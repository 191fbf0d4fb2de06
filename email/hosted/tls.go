package hosted

import "crypto/tls"

// serverTLS returns the configuration for STARTTLS made from the host's. Each
// handshake asks GetCertificate, so a new certificate needs no restart.
func (s *Server) serverTLS() *tls.Config {
	if s.TLS == nil {
		return nil
	}
	cfg := s.TLS.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	// Names for HTTP, as autocert sets them, would break a client that offers
	// others.
	cfg.NextProtos = nil
	if get := cfg.GetCertificate; get != nil {
		name := s.hostname()
		cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Many mail servers name no host, which certificate managers refuse.
			if hello.ServerName == "" {
				named := *hello
				named.ServerName = name
				hello = &named
			}
			return get(hello)
		}
	}
	return cfg
}
