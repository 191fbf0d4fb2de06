package account

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// stage is how far an exchange had come.
type stage int

const (
	stageConnect  stage = iota // dial, DNS, TLS
	stageGreeting              // 220 and EHLO
	stageLogin
	stageMail
	stageRcpt
	stageData  // DATA and the body
	stageFinal // from the first byte of the final dot on: the point of no return
)

// retryConnect is how long to leave an unreachable server alone.
const retryConnect = time.Minute

// failure is why an exchange ended, found out where it happened. Everything
// that a person or the engine is told derives from it.
type failure struct {
	stage stage
	code  string
	// reply is the server's answer, if that is what ended it.
	reply *reply
	text  string // for people, one clean line
	fix   string
	// authorization says that the credentials do not work.
	authorization bool
	// rejected says that the message cannot go through this server, though
	// no answer said so.
	rejected bool
	// err is the cause, where it is safe to show.
	err error
}

func (f *failure) Error() string { return "account: " + f.text }
func (f *failure) Unwrap() error { return f.err }

// outcome is the classification of reference 3.7 in one place.
func (f *failure) outcome() channel.Outcome {
	switch {
	case f.rejected:
		return channel.Rejected
	case f.reply == nil:
		if f.stage == stageFinal {
			return channel.Unknown
		}
		return channel.NotSent
	case f.stage < stageMail || f.authorization:
		// The server has a quarrel with us, not with the message.
		return channel.NotSent
	case f.reply.class() == 5:
		return channel.Rejected
	case f.reply.class() == 4:
		return channel.NotSent
	case f.stage == stageFinal:
		// An answer that SMTP does not know here says nothing.
		return channel.Unknown
	}
	return channel.NotSent
}

// sendError returns f as a Send must return it.
func (f *failure) sendError() *channel.SendError {
	e := &channel.SendError{
		Outcome: f.outcome(), Code: f.code, Reason: f.text, Fix: f.fix,
		Authorization: f.authorization, Err: f.err,
	}
	if f.stage <= stageGreeting && e.Outcome == channel.NotSent && f.code != "interrupted" {
		e.After = retryConnect
	}
	return e
}

// finding returns f as a Check reports it.
func (f *failure) finding() channel.Finding {
	code := f.code
	if strings.HasPrefix(code, "imap_") {
		code = "folder"
	}
	if strings.HasPrefix(code, "smtp_") {
		code = map[stage]string{
			stageConnect: "connect", stageGreeting: "greeting", stageLogin: "login",
		}[f.stage]
		if code == "" {
			code = "sender"
		}
		if f.authorization {
			code = "login"
		}
	}
	return channel.Finding{Code: code, Severity: channel.SeverityError, Text: f.text, Fix: f.fix}
}

// interrupt says that the caller's context ended. Its deadline tells against
// the server, as a timeout does; a cancellation tells nothing.
func (f *failure) interrupt(ctx context.Context, when string) {
	f.err = ctx.Err()
	f.code, f.text = "timeout", "the time for it ran out "+when
	if errors.Is(f.err, context.Canceled) {
		f.code, f.text = "interrupted", "interrupted "+when
	}
}

// refused makes a failure of an answer that is not the one hoped for.
func refused(at stage, r reply, secrets []string) *failure {
	f := &failure{stage: at, code: fmt.Sprintf("smtp_%03d", r.code), reply: &r, text: r.text(secrets)}
	switch {
	case isAuthorization(at, r):
		f.authorization = true
		f.fix = "Check user name and password. Many providers want an app password, or OAuth, for programs."
	case at <= stageGreeting:
		f.fix = "The server turned the connection away before any message. Ask its operator, or try later."
	case isSize(at, r):
		f.code = "too_large"
		f.fix = "Send fewer or smaller attachments."
	}
	return f
}

// isAuthorization reports whether r is about the account's credentials: 530,
// 534 and 535 by RFC 4954 section 6 wherever they come, and any final answer to AUTH itself.
func isAuthorization(at stage, r reply) bool {
	if at == stageLogin && r.class() == 5 {
		return true
	}
	return r.code == 530 || r.code == 534 || r.code == 535
}

// isSize reports whether the message is too large: 552 to MAIL or after the
// data (RFC 1870 section 6), 523 in the field, 5.3.4 in RFC 3463 terms.
func isSize(at stage, r reply) bool {
	if r.class() != 5 || at == stageRcpt {
		return r.enhanced == "5.3.4"
	}
	return r.code == 552 || r.code == 523 || r.enhanced == "5.3.4"
}

// isTemporary reports whether a refused recipient is worth another try.
func isTemporary(r reply) bool {
	// RFC 5321 section 4.5.3.1.10: 552 for too many recipients means 452.
	return r.class() != 5 || (r.code == 552 && r.enhanced == "5.5.3")
}

// broken makes a failure of an error of the connection.
func broken(ctx context.Context, at stage, err error) *failure {
	f := &failure{stage: at, err: err}
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		// The connection was closed because of the context, so its error
		// says nothing.
		f.interrupt(ctx, "before the server answered")
	case errors.Is(err, errProtocol):
		f.code, f.text = "protocol", "the server does not speak SMTP here: "+oneLine(err.Error(), nil)
		f.fix = "Check host and port."
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		f.code, f.text = "timeout", "the server did not answer in time"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		f.code, f.text = "connection_lost", "the server closed the connection"
	default:
		f.code, f.text = "connection_lost", "the connection was lost: "+oneLine(err.Error(), nil)
	}
	if at == stageGreeting && f.code != "interrupted" {
		f.code = "greeting"
		f.fix = "Check host and port. Port 465 wants security tls; 587 wants starttls."
	}
	if at == stageFinal {
		f.text += "; the message may have been sent"
	}
	return f
}

// dialFailure tells a name that does not exist from a server out of reach.
func dialFailure(ctx context.Context, s Server, err error) *failure {
	f := &failure{stage: stageConnect, err: err}
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		f.interrupt(ctx, "while connecting")
	case errors.As(err, &dns):
		f.code = "dns"
		f.text = fmt.Sprintf("the name %s could not be looked up: %s", s.Host, oneLine(dns.Err, nil))
		f.fix = "Check the host name for typing errors."
		if !dns.IsNotFound {
			f.fix = "The name servers did not answer; check this machine's network."
		}
	default:
		f.code = "connect"
		f.text = fmt.Sprintf("%s cannot be reached: %s", s.address(), oneLine(err.Error(), nil))
		f.fix = "Check host and port, and that no firewall blocks outgoing connections to that port."
	}
	return f
}

// tlsFailure names what is wrong with the certificate or the handshake.
func tlsFailure(ctx context.Context, s Server, err error) *failure {
	f := &failure{stage: stageConnect, code: "tls", err: err}
	var (
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		timeout net.Error
	)
	switch {
	case ctx.Err() != nil:
		f.interrupt(ctx, "during the TLS handshake")
	case errors.As(err, &host):
		f.text = fmt.Sprintf("the certificate of %s is made out to another name: %s", s.Host, oneLine(host.Error(), nil))
		f.fix = "Use the host name that the provider gives, which must be one of the certificate's names."
	case errors.As(err, &unknown):
		f.text = fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted here", s.Host)
		f.fix = "The server needs a certificate of a public authority, or its own authority must be added to the trusted ones."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		f.text = fmt.Sprintf("the certificate of %s has expired or is not yet valid", s.Host)
		f.fix = "The server's operator must renew it. Check this machine's clock too."
	case errors.As(err, &invalid):
		f.text = fmt.Sprintf("the certificate of %s is not valid: %s", s.Host, oneLine(invalid.Error(), nil))
		f.fix = "The server's operator must replace it."
	case errors.As(err, &record):
		f.text = s.address() + " does not speak TLS from the start"
		f.fix = "Choose security starttls, or the provider's TLS port (465)."
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		f.text = s.address() + " did not finish the TLS handshake in time"
		f.fix = "Check host, port and security."
	default:
		f.text = fmt.Sprintf("no TLS connection with %s: %s", s.address(), oneLine(err.Error(), nil))
		f.fix = "Check host, port and security."
	}
	return f
}
