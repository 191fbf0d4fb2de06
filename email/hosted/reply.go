package hosted

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
)

// go-smtp finds its errors by type assertion: a wrapped one, or any other, goes
// out as a permanent failure with its text. So every answer is made here, with
// fixed text, and returned as it is.

func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

func replyQueued(id string) *smtp.SMTPError {
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "OK: queued as "+id)
}

func replyTryLater() *smtp.SMTPError {
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "Cannot take mail at the moment, try again later")
}

func replyInactive() *smtp.SMTPError {
	return reply(450, smtp.EnhancedCode{4, 2, 1}, "Mailbox is not in service at the moment, try again later")
}

func replyRejected() *smtp.SMTPError {
	return reply(550, smtp.EnhancedCode{5, 7, 1}, "Message refused")
}

func replyUnknown() *smtp.SMTPError {
	return reply(550, smtp.EnhancedCode{5, 1, 1}, "No such mailbox here")
}

func replyBadRecipient() *smtp.SMTPError {
	return reply(501, smtp.EnhancedCode{5, 1, 3}, "Bad recipient address")
}

func replyBadSender() *smtp.SMTPError {
	return reply(501, smtp.EnhancedCode{5, 1, 7}, "Bad sender address")
}

func replySequence() *smtp.SMTPError {
	return reply(503, smtp.EnhancedCode{5, 5, 1}, "Bad sequence of commands")
}

func replyStopping() *smtp.SMTPError {
	return reply(421, smtp.EnhancedCode{4, 3, 2}, "Shutting down, try again later")
}

func replyTooManyMessages() *smtp.SMTPError {
	return reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many messages on one connection")
}

func replyTooManyUnknown() *smtp.SMTPError {
	return reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many unknown recipients")
}

func replyFull() *smtp.SMTPError {
	return reply(452, smtp.EnhancedCode{4, 3, 1}, "Not enough storage at the moment, try again later")
}

func replyBroken() *smtp.SMTPError {
	return reply(451, smtp.EnhancedCode{4, 4, 2}, "Message was cut off or came too slowly")
}

func replyBareNewline() *smtp.SMTPError {
	return reply(550, smtp.EnhancedCode{5, 5, 2}, "Lines must end with CR LF: bare CR or bare LF in the message")
}

func replyLongLine(limit int) *smtp.SMTPError {
	return reply(554, smtp.EnhancedCode{5, 6, 0}, "A line of the message is longer than "+strconv.Itoa(limit)+" bytes")
}

func replyNUL() *smtp.SMTPError {
	return reply(550, smtp.EnhancedCode{5, 6, 0}, "NUL in the message")
}

func replyLoop() *smtp.SMTPError {
	return reply(554, smtp.EnhancedCode{5, 4, 6}, "Too many hops: mail loop")
}

// replyTo returns the answer to an error of Accept.
func replyTo(err error) *smtp.SMTPError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, channel.ErrRejected):
		return replyRejected()
	case errors.Is(err, channel.ErrInactive):
		return replyInactive()
	}
	return replyTryLater()
}

// replyToRead returns the answer to an error of reading or spooling a message.
func replyToRead(err error, l *Limits) *smtp.SMTPError {
	var own *smtp.SMTPError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errLongLine):
		return replyLongLine(l.DataLine)
	case errors.Is(err, channel.ErrRejected):
		return replyRejected()
	case errors.Is(err, errSpoolFull), errors.Is(err, syscall.ENOSPC):
		return replyFull()
	case errors.Is(err, errSpool):
		return replyTryLater()
	}
	return replyBroken()
}

// worse returns the answer that a sender must get for both: one that makes it
// try again goes before a final one, and either before none.
func worse(a, b *smtp.SMTPError) *smtp.SMTPError {
	rank := func(e *smtp.SMTPError) int {
		switch {
		case e == nil:
			return 0
		case e.Code == 451:
			return 3
		case e.Temporary():
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// corrected returns what to answer instead of p, or nothing: go-smtp has some
// answers for which RFC 5321 section 4.3.2, RFC 1870 and RFC 3030 have other
// codes. TestAnswersAreThoseOfTheRFC notices if a new version words them anew.
func (c *conn) corrected(p []byte) string {
	switch string(p) {
	case "502 5.5.1 Please introduce yourself first.\r\n":
		return "503 5.5.1 Say EHLO first\r\n"
	case "502 5.5.1 Missing MAIL FROM command.\r\n":
		return "503 5.5.1 Say MAIL first\r\n"
	case "502 5.5.1 Missing RCPT TO command.\r\n":
		return "503 5.5.1 Say MAIL and RCPT first\r\n"
	case "502 5.5.1 MAIL not allowed during message transfer\r\n",
		"502 5.5.1 RCPT not allowed during message transfer\r\n",
		"502 5.5.1 DATA not allowed during message transfer\r\n":
		return "503 5.5.1 Not within a message in chunks\r\n"
	case "501 5.5.2 Bad command\r\n":
		return "500 5.5.2 Command not recognized\r\n"
	case "500 5.4.0 Too long line, closing connection\r\n":
		return "500 5.5.2 Line too long\r\n"
	case "500 5.5.4 Unknown MAIL FROM argument\r\n", "500 5.5.4 Unknown RCPT TO argument\r\n":
		return "555 5.5.4 Parameter not recognized\r\n"
	case "501 5.5.4 Unable to parse SIZE as an integer\r\n":
		if c.overSize {
			return "552 5.3.4 Max message size exceeded\r\n"
		}
	}
	return ""
}
