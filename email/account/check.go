package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/anteroom/anteroom/channel"
)

// Check connects and logs in as a send does and asks whether the server lets
// the account send under its address; no mail leaves. The findings' codes are
//
//	dns               the server's name cannot be looked up
//	connect           the server cannot be reached
//	greeting          what answers is no SMTP server, or it turns us away
//	tls               no safe connection; the text names the certificate's problem
//	starttls_missing  STARTTLS is asked for and not offered
//	auth_mechanism    no way to log in that both sides know
//	login, token      user name, password or OAuth grant do not work
//	sender            the server does not let this account send as its address
//	insecure          a warning: the password crosses the network in clear
//	ok                all is well
//
// It ends within Timeouts.Check.
func (m *mailbox) Check(ctx context.Context) []channel.Finding {
	findings, f := m.mailer.check(ctx, m.conf.Address)
	m.report(f)
	if m.conf.SMTP.Security == None && !isLoopback(m.conf.SMTP.Host) {
		findings = append(findings, channel.Finding{
			Code: "insecure", Severity: channel.SeverityWarning,
			Text: "password and mails cross the network in clear",
			Fix:  "Choose security tls or starttls if the server knows either.",
		})
	}
	return findings
}

// check returns findings, and the failure that says how the channel is: nil if
// logging in works, even where the server has something against the sender.
func (m mailer) check(ctx context.Context, from string) ([]channel.Finding, *failure) {
	ctx, cancel := context.WithTimeout(ctx, m.link.timeouts.Check)
	defer cancel()
	s, f := m.open(ctx)
	if f != nil {
		if errors.Is(f.err, context.DeadlineExceeded) {
			f = &failure{
				stage: f.stage,
				code:  [...]string{stageConnect: "connect", stageGreeting: "greeting", stageLogin: "login"}[min(f.stage, stageLogin)],
				text:  fmt.Sprintf("%s did not answer within %s", m.link.server.address(), m.link.timeouts.Check),
				fix:   "Check host, port and security: port 465 wants tls, 587 wants starttls.",
			}
		}
		return []channel.Finding{f.finding()}, f
	}
	defer s.quit()
	if f := s.probe(from); f != nil {
		if f.authorization {
			return []channel.Finding{f.finding()}, f
		}
		finding := f.finding()
		if f.reply != nil {
			finding.Code = "sender"
			finding.Text = "the server does not take mail from " + oneLine(from, nil) + ": " + f.text
			finding.Fix = "The address must be the account's own, or be allowed for it at the provider."
		}
		return []channel.Finding{finding}, nil
	}
	how := "over TLS"
	if !s.encrypted {
		how = "in clear text"
	}
	text := "connected " + how + " to " + m.link.server.address()
	if m.login.auth != AuthNone {
		text += " and logged in"
	}
	return []channel.Finding{{Code: "ok", Severity: channel.SeverityOK, Text: text}}, nil
}

// probe begins a transaction and drops it.
func (s *session) probe(from string) *failure {
	wire := ""
	if from != "" {
		var err error
		if wire, err = wireAddress(from); err != nil {
			return &failure{stage: stageMail, code: "sender", text: "the sender's address " + err.Error()}
		}
	}
	line := "MAIL FROM:<" + wire + ">"
	if !isASCII(wire) {
		if f := s.fits(submission{utf8: true}); f != nil {
			f.code = "sender"
			return f
		}
		line += " SMTPUTF8"
	}
	r, f := s.command(stageMail, line)
	if f != nil {
		return f
	}
	if r.class() != 2 {
		return refused(stageMail, r, s.secrets)
	}
	_, f = s.command(stageMail, "RSET")
	return f
}
