package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// pemOf returns a certificate of ca in the form of files.
func pemOf(t *testing.T, ca *emailtest.CA, name string) (cert, key []byte) {
	t.Helper()
	c, err := ca.Certificate(name)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// bin is a folder that the end of all tests removes.
var bin = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "contactcenter-test-") })

// program is the built program, made once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := bin()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "contactcenter")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &os.PathError{Op: "build", Path: string(out), Err: err}
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := cluster.Main(m)
	if dir, err := bin(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func TestTheProgramSaysReadyServesAndEndsWith0(t *testing.T) {
	t.Parallel()
	path, err := program()
	require.NoError(t, err)
	data := t.TempDir()
	for round, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := exec.Command(path, "-data", data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0")
		cmd.Env = []string{"HOME=" + t.TempDir()}
		logs := &lockedBuffer{}
		cmd.Stderr = logs
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		out := bufio.NewReader(stdout)
		line, err := out.ReadBytes('\n')
		require.NoError(t, err, logs.String())
		var ready struct {
			Ready             bool
			HTTP, SMTP, Token string
		}
		require.NoError(t, json.Unmarshal(line, &ready))
		require.True(t, ready.Ready)
		token, err := os.ReadFile(filepath.Join(data, "token"))
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(token)), ready.Token)
		do := func(method, path, body string) int {
			req, err := http.NewRequest(method, ready.HTTP+path, strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+ready.Token)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		}
		require.Equal(t, 200, do("GET", "/healthz", ""))
		if round == 0 {
			require.Equal(t, 201, do("POST", "/api/channels", `{"kind":"email.hosted","config":{"local_part":"support"}}`))
		}
		require.NoError(t, smtp.SendMail(ready.SMTP, nil, "a@b.example", []string{"support@portal.localhost"}, []byte("Subject: x\r\n\r\nx\r\n")), "ready means ready")
		require.NoError(t, cmd.Process.Signal(sig))
		rest, err := io.ReadAll(out)
		require.NoError(t, err)
		require.Empty(t, rest, "nothing but the one line on standard output")
		require.NoError(t, cmd.Wait(), logs.String())
		require.NotContains(t, logs.String(), ready.Token)
	}
	for _, name := range []string{"key", "token"} {
		st, err := os.Stat(filepath.Join(data, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), name)
	}
}

// lockedBuffer can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// attempt runs the program in this process, expecting it not to start.
func attempt(t *testing.T, env map[string]string, args ...string) (int, string) {
	t.Helper()
	var logs bytes.Buffer
	code := run(t.Context(), args, func(k string) string { return env[k] }, io.Discard, &logs)
	return code, logs.String()
}

func TestAWrongKeyIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	r := start(t, opts)
	r.office(nil, nil)
	r.stop()
	other := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	args := []string{"-data", opts.data, "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0"}
	code, logs := attempt(t, map[string]string{"ANTEROOM_KEY": other}, args...)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "ANTEROOM_KEY")
	require.NotContains(t, logs, other)
	code, logs = attempt(t, map[string]string{"ANTEROOM_KEY": "short"}, args...)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "32 bytes")
	code, _ = attempt(t, map[string]string{"ANTEROOM_TOKEN": "with blank"}, args...)
	require.Equal(t, 1, code)
}

func TestBadFlagsAreRefusedAtStart(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"with -blobs":          {"-store", "postgres://x"},
		"gocloud.dev/blob/s3":  {"-blobs", "s3://bucket"},
		"mem:// forgets":       {"-blobs", "mem://"},
		"-blobs":               {"-blobs", "ftp://x"},
		"-store":               {"-store", "mysql:x"},
		"-smtp":                {"-smtp", "nowhere"},
		"-http":                {"-http", "127.0.0.1:99999"},
		"-relay":               {"-relay", "mail"},
		"-tls-cert":            {"-tls-cert", "x"},
		"-undo":                {"-undo", "-1s"},
		"-lease":               {"-lease", "1ms"},
		"-domain":              {"-domain", "a b"},
		"-portal":              {"-portal", ""},
		"there are no argumen": {"serve"},
		"flag provided but":    {"-nonsense"},
		"goes with -demo":      {"-demo-exit"},
		"go one at a time":     {"-export", "a", "-import", "b"},
	} {
		code, logs := attempt(t, nil, args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, logs, want, args)
	}
	code, _ := attempt(t, nil, "-h")
	require.Zero(t, code)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	code, logs := attempt(t, nil, "-data", t.TempDir(), "-store", "memory:", "-http", taken.Addr().String(), "-smtp", "127.0.0.1:0")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "listen for http")
}

func TestTheConfigFileIsEnsuredAtEachStart(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.config = filepath.Join(t.TempDir(), "config.json")
	write := func(name string) {
		require.NoError(t, os.WriteFile(opts.config, []byte(`{
			"agents": [{"id": "an", "name": "Nguyễn An", "password": "mat-khau-1"}],
			"queues": [{"id": "support", "name": "`+name+`", "agents": ["an"]}],
			"channels": [
				{"kind": "email.hosted", "name": "`+name+`", "config": {"local_part": "support"}, "settings": {"queue": "support"}},
				{"kind": "email.account", "config": {"address": "help@shop.example", "password": "x", "forwarded_to": "support@portal.localhost",
					"smtp": {"host": "127.0.0.1", "port": 25, "security": "none"}}}]}`), 0o600))
	}
	write("một")
	r := start(t, opts)
	first := r.call("GET", "/api/channels", nil, 200)
	require.Equal(t, text(first, "channels", 0, "id"), text(first, "channels", 1, "forwarded_to"))
	r.stop()
	write("hai")
	r = start(t, opts)
	second := r.call("GET", "/api/channels", nil, 200)
	require.Len(t, second["channels"], 2, "nothing is made twice")
	require.Equal(t, text(first, "channels", 0, "id"), text(second, "channels", 0, "id"))
	require.Equal(t, text(first, "channels", 1, "forward_address"), text(second, "channels", 1, "forward_address"))
	require.Equal(t, "hai", text(second, "channels", 0, "name"))
	r.stop()

	require.NoError(t, os.WriteFile(opts.config, []byte(`{"queues": [{"id": "x", "agents": ["nobody"]}]}`), 0o600))
	_, err := openHost(t.Context(), opts, r.host.log)
	require.ErrorContains(t, err, "queues[0]: agents")
}

func TestTheDemoPlaysAndAddsUp(t *testing.T) {
	t.Parallel()
	opts := testOptions(t, "-demo", "-demo-exit")
	opts.demoPace = 0.15
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, runDemo(ctx, opts, start(t, testOptions(t, "-store", "memory:")).host.log, &out))
	s := out.String()
	require.True(t, strings.HasPrefix(s, `{"ready":true,"http":`), "the ready line comes first")
	for _, want := range []string{"Lê Minh Châu", "João Conceição", "Emma Clarke", "takes the answer back in time", "the mail came back",
		"joins the ticket by its thread", "holds a mail: unmatched", "the ticket is open again", "is away; a robot answers",
		"comments: Giá bao nhiêu vậy shop?", "reads under the comment: Dạ ghế này", "gets in Messenger: Dạ còn màu đen", "the answer is on Facebook",
		"18 received = 12 messages + 3 applied + 0 notices + 2 ignored + 1 quarantined: adds up (and 1 duplicates)",
		"1 bounced, 1 cancelled, 9 sent", "7 mails at the customers' servers and 2 answers on Facebook, 1 came back, of 10 that left"} {
		require.Contains(t, s, want, s)
	}
	require.NotContains(t, s, "could not")
}
