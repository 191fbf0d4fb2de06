package account

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// filingMailbox is an account that puts copies of what it sends into its Sent
// folder.
type filingMailbox struct {
	*receivingMailbox
}

var (
	_ channel.Finder = (*receivingMailbox)(nil)
	_ channel.Filer  = (*filingMailbox)(nil)
)

// retryFiling is how long to wait after an APPEND of which nobody heard: the
// server may still be at it, and a look would find nothing yet.
const retryFiling = time.Minute

// File puts a copy into the Sent folder, marked as seen, unless one with the
// same Message-ID is there: of an earlier try, or of the provider's own.
func (m *filingMailbox) File(ctx context.Context, out *channel.Outbound) error {
	_, sub, id, err := prepare(m.outgoing(out))
	if err != nil {
		return err
	}
	c, f := m.link.open(ctx)
	if f != nil {
		return f.sendError()
	}
	defer c.logout()
	folder, f := c.sentFolder(m.conf.IMAP.SentFolder)
	if f != nil {
		return f.sendError()
	}
	found, f := c.holds(folder, id, out.Date)
	if f != nil {
		return f.sendError()
	}
	if found {
		return nil
	}
	if f := c.append(folder, sub); f != nil {
		e := f.sendError()
		if e.Outcome == channel.Unknown {
			e.After = retryFiling
		}
		return e
	}
	return nil
}

// Find looks into the Sent folder. What is there was sent: the provider put it
// there, or we did because it was. That it is not there proves nothing.
func (m *receivingMailbox) Find(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	files := m.conf.IMAP.files()
	if files == sentNone {
		return channel.Receipt{}, channel.FoundUnknown, nil
	}
	_, _, id, err := prepare(m.outgoing(out))
	if err != nil {
		return channel.Receipt{}, channel.FoundUnknown, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.mailer.link.timeouts.Find)
	defer cancel()
	c, f := m.link.open(ctx)
	if f != nil {
		return channel.Receipt{}, channel.FoundUnknown, f
	}
	defer c.logout()
	folder, f := c.sentFolder(m.conf.IMAP.SentFolder)
	if f != nil {
		return channel.Receipt{}, channel.FoundUnknown, f
	}
	// A provider may take a moment to put it there.
	for pause := time.Second; ; pause *= 2 {
		found, f := c.holds(folder, id, out.Date)
		switch {
		case f != nil && ctx.Err() != nil:
			return channel.Receipt{}, channel.FoundUnknown, nil
		case f != nil:
			return channel.Receipt{}, channel.FoundUnknown, f
		case found:
			return channel.Receipt{ExternalIDs: []string{id}, Detail: "found in the folder " + oneLine(folder, nil)}, channel.FoundYes, nil
		}
		if end, ok := ctx.Deadline(); files != sentServer || ok && time.Until(end) < pause {
			return channel.Receipt{}, channel.FoundUnknown, nil
		}
		if rest(ctx, pause); ctx.Err() != nil {
			return channel.Receipt{}, channel.FoundUnknown, ctx.Err()
		}
	}
}

// sentFolder finds the folder of what was sent: the one that is configured, by
// name or special use, or the server's own.
func (c *imapConn) sentFolder(configured string) (string, *failure) {
	use := `\sent`
	if strings.HasPrefix(configured, `\`) {
		use = strings.ToLower(configured)
	} else if configured != "" {
		use = ""
	}
	// A list of all comes last, since one name that is no modified UTF-7 breaks
	// off the connection.
	lists := []func() ([]folderInfo, error){c.specialFolders}
	switch {
	case use == "":
		lists = []func() ([]folderInfo, error){func() ([]folderInfo, error) { return c.folders(configured) }}
	case configured == "":
		for _, pattern := range []string{"*Sent*", allFolders} {
			lists = append(lists, func() ([]folderInfo, error) { return c.folders(pattern) })
		}
	}
	for _, list := range lists {
		all, err := list()
		if err != nil {
			return "", c.failed(stageMail, err)
		}
		for _, f := range all {
			if use == "" && f.name == configured || use != "" && slices.Contains(f.use, use) {
				return f.name, nil
			}
		}
		if configured == "" {
			if name, ok := usualSent(all); ok {
				return name, nil
			}
		}
	}
	text := "the server names no folder for what was sent, and none has a usual name"
	if configured != "" {
		text = "there is no folder " + oneLine(configured, nil) + " for what was sent"
	}
	return "", &failure{
		stage: stageMail, code: "sent_folder", text: text,
		fix: "Name the folder in imap.sent_folder, or choose none in imap.sent.",
	}
}

// usualSent returns the folder that has a name which mail programs give to that
// of what was sent, the most usual first. The names are field knowledge.
func usualSent(all []folderInfo) (string, bool) {
	for _, usual := range []string{
		"Sent", "Sent Items", "Sent Messages", "Sent Mail", "Sent-Mail", "Enviados", "Itens enviados", "Elementos enviados", "Mensagens enviadas",
		"Thư đã gửi", "Đã gửi", "Gesendet", "Gesendete Objekte", "Gesendete Elemente", "Envoyés", "Éléments envoyés", "Messages envoyés",
		"Posta inviata", "Inviata", "Verzonden", "Verzonden items", "Отправленные", "已发送", "送信済み",
	} {
		for _, f := range all {
			last := f.name[strings.LastIndexAny(f.name, "/.")+1:]
			if strings.EqualFold(last, usual) && f.unfit() == "" {
				return f.name, true
			}
		}
	}
	return "", false
}
