package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Check looks at both directions at once: at sending as an account without IMAP
// does, and at receiving by connecting, logging in and opening the folder, which
// changes nothing. Findings about receiving have Data["server"] "imap" and the
// same codes, and besides
//
//	folder        the folder is not there, or cannot be opened or be read
//	after_folder  a warning: mails are to be moved to a folder that is not there
//	after         a warning: the server has no safe way to move mails
//	sent_folder   a warning: there is no folder for copies of what is sent
//
// The ok says in Data["sent"] and Data["sent_folder"] what becomes of copies, and
// lists the folders that can be chosen in Data["folders"], a line each, if the
// server's list can be read.
// It ends within Timeouts.Check.
func (m *receivingMailbox) Check(ctx context.Context) []channel.Finding {
	in := make(chan []channel.Finding, 1)
	go func() { in <- m.checkIMAP(ctx) }()
	return append(m.mailbox.Check(ctx), <-in...)
}

func (m *receivingMailbox) checkIMAP(ctx context.Context) []channel.Finding {
	limit := m.mailer.link.timeouts.Check
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	findings, f := m.lookIn(ctx)
	if f != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			code := map[stage]string{stageConnect: "connect", stageGreeting: "greeting", stageLogin: "login"}[f.stage]
			if code == "" {
				code = "folder"
			}
			f = &failure{
				stage: f.stage, code: code, text: fmt.Sprintf("%s did not answer within %s", m.link.server.address(), limit),
				fix: "Check host, port and security: port 993 wants tls, 143 wants starttls.",
			}
		}
		findings = []channel.Finding{f.finding()}
	}
	if m.link.server.Security == None && !isLoopback(m.link.server.Host) {
		findings = append(findings, channel.Finding{
			Code: "insecure", Severity: channel.SeverityWarning,
			Text: "password and mails cross the network in clear",
			Fix:  "Choose security tls or starttls if the server knows either.",
		})
	}
	for i := range findings {
		if findings[i].Data == nil {
			findings[i].Data = map[string]string{}
		}
		findings[i].Data["server"] = "imap"
	}
	return findings
}

// lookIn does what receiving does before the first mail.
func (m *receivingMailbox) lookIn(ctx context.Context) ([]channel.Finding, *failure) {
	c, f := m.link.open(ctx)
	if f != nil {
		return nil, f
	}
	defer c.logout()
	folder, f := c.resolve(m.conf.IMAP.Folder)
	if f != nil {
		return nil, f
	}
	if _, err := c.examine(folder); err != nil {
		return nil, c.folderFailure(folder, err)
	}
	var findings []channel.Finding
	target, moves := strings.CutPrefix(m.conf.IMAP.After, afterMove)
	safely := !moves || c.movesSafely()
	found := !moves
	if moves {
		like, err := c.folders(target)
		if err != nil {
			return nil, c.failed(stageMail, err)
		}
		found = slices.ContainsFunc(like, func(f folderInfo) bool { return f.name == target })
	}
	if !found {
		findings = append(findings, channel.Finding{
			Code: "after_folder", Severity: channel.SeverityWarning,
			Text: "there is no folder " + oneLine(target, nil) + " to move mails to; until there is, they stay where they are",
			Fix:  "Make the folder, or choose another.",
		})
	}
	if !safely {
		findings = append(findings, channel.Finding{
			Code: "after", Severity: channel.SeverityWarning,
			Text: "the server has no safe way to move mails; they stay where they are",
			Fix:  "Choose leave or seen.",
		})
	}
	data := map[string]string{"sent": m.conf.IMAP.files()}
	if data["sent"] != sentNone {
		sent, f := c.sentFolder(m.conf.IMAP.SentFolder)
		if f != nil {
			finding := f.finding()
			finding.Code, finding.Severity = "sent_folder", channel.SeverityWarning
			findings = append(findings, finding)
		}
		data["sent_folder"] = oneLine(sent, nil)
	}
	// Last, since one folder with a name that is no modified UTF-7 breaks off
	// the connection.
	if all, err := c.folders(allFolders); err == nil {
		var names []string
		for _, f := range all {
			if f.unfit() == "" {
				names = append(names, oneLine(f.name, nil))
			}
		}
		data["folders"] = strings.Join(names, "\n")
	}
	return append(findings, channel.Finding{
		Code: "ok", Severity: channel.SeverityOK, Data: data,
		Text: fmt.Sprintf("connected to %s, and the folder %s can be read", m.link.server.address(), oneLine(folder, nil)),
	}), nil
}
