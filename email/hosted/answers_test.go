package hosted

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnswersAreThoseOfTheRFC(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{MessageBytes: 1000}})
	r.mailbox("support", &recorder{})
	for _, tc := range []struct {
		name, setup, command string
		code                 int
		enhanced             string
	}{
		{"mail before hello", "", "MAIL FROM:<a@b.example>", 503, "5.5.1"},
		{"rcpt before hello", "", "RCPT TO:<support@help.example>", 503, "5.5.1"},
		{"data before hello", "", "DATA", 503, "5.5.1"},
		{"rcpt before mail", "EHLO x", "RCPT TO:<support@help.example>", 503, "5.5.1"},
		{"data before rcpt", "EHLO x", "DATA", 503, "5.5.1"},
		{"mail twice", "EHLO x|MAIL FROM:<>", "MAIL FROM:<>", 503, "5.5.1"},
		{"data within chunks", "EHLO x|MAIL FROM:<>|RCPT TO:<support@help.example>|BDAT", "DATA", 503, "5.5.1"},
		{"unknown", "EHLO x", "FROB", 500, "5.5.2"},
		{"unknown and long", "EHLO x", "FROBNICATE now", 500, "5.5.2"},
		{"unknown and short", "EHLO x", "X", 500, "5.5.2"},
		{"web browser", "", "GET / HTTP/1.1", 500, "5.5.2"},
		{"known and not offered", "EHLO x", "EXPN support", 502, "5.5.1"},
		{"size over the limit", "EHLO x", "MAIL FROM:<a@b.example> SIZE=1001", 552, "5.3.4"},
		{"size over 32 bits", "EHLO x", "MAIL FROM:<a@b.example> SIZE=4294967296", 552, "5.3.4"},
		{"size over 64 bits", "EHLO x", "MAIL FROM:<a@b.example> BODY=8BITMIME size=99999999999999999999", 552, "5.3.4"},
		{"size beyond all bounds", "EHLO x", "MAIL FROM:<a@b.example> SIZE=1" + strings.Repeat("0", 400), 552, "5.3.4"},
		{"size is no number", "EHLO x", "MAIL FROM:<a@b.example> SIZE=x", 501, "5.5.4"},
		{"size is negative", "EHLO x", "MAIL FROM:<a@b.example> SIZE=-1", 501, "5.5.4"},
		{"unknown parameter", "EHLO x", "MAIL FROM:<a@b.example> FROB=1", 555, "5.5.4"},
		{"unknown parameter of a recipient", "EHLO x|MAIL FROM:<>", "RCPT TO:<support@help.example> FROB=1", 555, "5.5.4"},
		{"endless command", "EHLO x", "NOOP " + strings.Repeat("x", 5000), 500, "5.5.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := r.dial()
			p.expect(220)
			for c := range strings.SplitSeq(tc.setup, "|") {
				switch c {
				case "":
				case "BDAT":
					p.chunk("x", false, 250)
				default:
					p.do(c, 250)
				}
			}
			p.try(tc.command + "\r\n")
			code, text, err := p.answer()
			require.NoError(t, err)
			require.Equal(t, tc.code, code, text)
			require.True(t, strings.HasPrefix(text, tc.enhanced+" "), text)
			p.conn.Close()
		})
	}
}
