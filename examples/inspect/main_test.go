package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const mail = "From: =?utf-8?q?Ngh=C4=A9a?= <nghia@example.vn>\r\nSubject: Hi\r\nDate: Mon, 4 Nov 2024 10:30:00 +0700\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p onclick=x>Hello &lt;you&gt;</p><script>x</script>\r\n" +
	"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFilesBecomeLinesInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := write(t, dir, "a.eml", mail)
	missing := filepath.Join(dir, "missing.eml")
	b := write(t, dir, "b.eml", "\x00\xff not a mail")
	var out bytes.Buffer
	require.NoError(t, run([]string{a, missing, dir, b}, strings.NewReader("ignored"), &out))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 4)

	var got []map[string]any
	for _, l := range lines {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(l), &v))
		for _, key := range []string{
			"file", "message_id", "in_reply_to", "references", "date", "from", "sender", "reply_to", "to", "cc", "subject", "text", "html", "new_text", "new_text_unsigned",
			"signature", "attachments", "automatic", "bounce", "report", "forwarded", "confirmation", "defects",
		} {
			require.Contains(t, v, key)
		}
		for _, key := range []string{"in_reply_to", "references", "from", "to", "attachments", "defects"} {
			require.NotNil(t, v[key], key)
		}
		got = append(got, v)
	}
	require.Equal(t, a, got[0]["file"])
	require.NotContains(t, got[0], "error")
	require.Equal(t, "2024-11-04T03:30:00Z", got[0]["date"])
	require.Equal(t, []any{map[string]any{"name": "Nghĩa", "address": "nghia@example.vn"}}, got[0]["from"])
	require.Equal(t, "Hello <you>", got[0]["text"])
	require.Equal(t, "<p>Hello &lt;you&gt;</p>", strings.TrimSpace(got[0]["html"].(string)))
	require.Equal(t, []any{map[string]any{
		"filename": "a.pdf", "type": "application/pdf", "size": 3.0, "inline": false, "content_id": "",
		"sha256": "1d393b0081b632c54654eb08c345ff76b92ae4efe0768b4c0f64b9ebbe920492",
	}}, got[0]["attachments"])
	require.Equal(t, map[string]any{"is": false, "kind": "", "reason": ""}, got[0]["automatic"])
	require.NotEmpty(t, got[1]["error"])
	require.NotEmpty(t, got[2]["error"])
	require.NotContains(t, got[3], "error")
	require.NotEmpty(t, got[3]["text"])
}

func TestPathsOnStandardInputAreAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "a.eml", mail)
	inR, inW, err := os.Pipe()
	require.NoError(t, err)
	outR, outW, err := os.Pipe()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		defer outW.Close()
		done <- run(nil, inR, outW)
	}()
	dec := json.NewDecoder(outR)
	for range 2 {
		_, err = inW.WriteString(path + "\n\n")
		require.NoError(t, err)
		var v map[string]any
		require.NoError(t, dec.Decode(&v))
		require.Equal(t, "Hi", v["subject"])
	}
	require.NoError(t, inW.Close())
	require.NoError(t, <-done)
	require.NoError(t, outR.Close())
	require.NoError(t, inR.Close())
}
