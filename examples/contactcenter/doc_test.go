package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFirstStepsOfTheDocumentationWork(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	commands := regexp.MustCompile(`(?s)\tcurl -H "Authorization: Bearer \$TOKEN"( -X [A-Z]+)? --json '([^']*)' \$URL(\S+)`).FindAllStringSubmatch(string(doc), -1)
	require.Len(t, commands, strings.Count(string(doc), "\tcurl "), "each says that it sends JSON")
	require.Len(t, commands, 3)
	r := start(t, testOptions(t))
	for _, c := range commands {
		method := strings.TrimPrefix(c[1], " -X ")
		if method == "" {
			method = "POST"
		}
		resp := r.request(method, c[3], strings.ReplaceAll(c[2], "\n//", ""))
		require.Less(t, resp.StatusCode, 300, c[0])
	}
	r.mail("mai@c.example", "support@portal.localhost", "From: mai@c.example\nSubject: Hello\n\nHello\n")
	r.eventually("/api/tickets", firstTicket)
}
