// Package emailtest has mail servers for tests: an SMTP server in memory that
// fails on demand, and a starter for a real Postfix. A host tests its own use of
// mail accounts with them, offline and without another library.
//
//	srv := emailtest.NewSMTP(t, emailtest.WithTLS(), emailtest.WithUser("help@example.com", "secret"))
//	connector := account.Connector{TLS: srv.ClientTLS()}
//	// ... send through srv.Host(), srv.Port() ...
//	m, err := srv.Next(ctx)
//
// # Faults
//
// A [Fault] names a point of the session, how often it strikes, and what goes
// wrong there:
//
//	srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "b@example.com", Reply: "450 4.2.0 later", Times: 1})
//	srv.Fault(emailtest.Fault{At: emailtest.AtMail, Hang: true})
//	srv.Fault(emailtest.Fault{At: emailtest.AtBody, Drop: true, Bytes: 1000})
//	srv.Fault(emailtest.Fault{At: emailtest.AtDot, Drop: true})    // not stored, and no answer
//	srv.Fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true}) // stored, and the answer lost
//
// [SMTP].Hide strips an extension, such as STARTTLS, from what the server
// announces; [WithCertificateFor] gives it a certificate for another name.
//
// # Concurrency
//
// Everything is safe for concurrent use. A server and all its connections end
// with the test, or with Close.
package emailtest
