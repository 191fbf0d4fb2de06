// Package emailtest has mail servers for tests: an SMTP and an IMAP server in
// memory that fail on demand, and starters for a real Postfix, Dovecot and Cyrus.
// A host tests its own use of mail accounts with them, offline and without another
// library.
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
// Of IMAP the points are commands, and the inside of a mail's content:
//
//	in := emailtest.NewIMAP(t, emailtest.IMAPWithUser("help@example.com", "secret"))
//	in.Add("INBOX", mail, time.Now())
//	in.Fault(emailtest.Fault{At: emailtest.AtFetch, Hang: true, Times: 1})
//	in.Fault(emailtest.Fault{At: emailtest.AtFetch, UID: 7, Drop: true})          // one poison mail
//	in.Fault(emailtest.Fault{At: emailtest.AtLiteral, Bytes: 1000, Drop: true})   // in the middle of a mail
//	in.Fault(emailtest.Fault{At: emailtest.AtLiteral, Slow: time.Millisecond})    // byte by byte
//	in.Fault(emailtest.Fault{At: emailtest.AtLogin, Reply: "NO [UNAVAILABLE] later", Times: 3})
//	in.Fault(emailtest.Fault{At: emailtest.AtFetch, Reply: "NO [LIMIT] slow down", Times: 2})
//	in.Fault(emailtest.Fault{At: emailtest.AtStored, Drop: true})                 // appended, and the answer lost
//	in.Fault(emailtest.Fault{At: emailtest.AtDone, Hang: true})                   // dead while idling
//	in.Deafen(true)        // IDLE says nothing any more
//	in.Announce("INBOX")   // EXISTS again, without news
//	in.Renumber("INBOX")   // another UIDVALIDITY, other UIDs
//	in.Disconnect()
//
// [SMTP].Hide strips an extension, such as STARTTLS, from what the server
// announces, and [IMAP].Hide a capability; [WithCertificateFor] gives it a
// certificate for another name.
//
// # Concurrency
//
// Everything is safe for concurrent use. A server and all its connections end
// with the test, or with Close.
package emailtest
