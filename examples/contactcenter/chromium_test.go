package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// chromium is a real browser, driven by its DevTools protocol over a pipe
// (https://chromedevtools.github.io/devtools-protocol/).
type chromium struct {
	t       *testing.T
	to      *os.File
	session string

	mu       sync.Mutex
	next     int
	waiting  map[int]chan json.RawMessage
	problems []string // what the browser logged as errors
}

// openChromium starts a browser that ends with the test. Without one the test
// is skipped; with ANTEROOM_REQUIRE=all in the environment it fails instead.
func openChromium(t *testing.T) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ANTEROOM_REQUIRE") == "all" {
			t.Fatal("chromium is not installed, and ANTEROOM_REQUIRE=all")
		}
		t.Skip("chromium is not installed")
	}
	theirIn, ourOut, err := os.Pipe()
	require.NoError(t, err)
	ourIn, theirOut, err := os.Pipe()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "chromium-test-")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--remote-debugging-pipe", "--user-data-dir="+dir, "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.WaitDelay = 10 * time.Second
	require.NoError(t, cmd.Start())
	require.NoError(t, theirIn.Close())
	require.NoError(t, theirOut.Close())
	c := &chromium{t: t, to: ourOut, waiting: map[int]chan json.RawMessage{}}
	var reading sync.WaitGroup
	reading.Go(func() { c.read(ourIn) })
	t.Cleanup(func() {
		_ = ourOut.Close() // it ends by itself then
		done := time.AfterFunc(10*time.Second, cancel)
		_ = cmd.Wait()
		done.Stop()
		cancel()
		_ = ourIn.Close()
		reading.Wait()
		_ = os.RemoveAll(dir)
	})
	var target struct{ TargetID string }
	c.do("Target.createTarget", object{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	c.do("Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		c.do(domain+".enable", object{}, nil)
	}
	return c
}

// read takes in answers and what the browser tells, divided by NUL.
func (c *chromium) read(from *os.File) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Result json.RawMessage
			Params json.RawMessage
		}
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		if m.Method == "Log.entryAdded" && strings.Contains(string(m.Params), `"level":"error"`) || m.Method == "Runtime.exceptionThrown" {
			c.problems = append(c.problems, string(m.Params))
		}
		waiting := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if waiting != nil {
			waiting <- m.Result
		}
	}
}

func (c *chromium) do(method string, params object, result any) {
	c.t.Helper()
	c.mu.Lock()
	c.next++
	id, answered := c.next, make(chan json.RawMessage, 1)
	c.waiting[id] = answered
	c.mu.Unlock()
	call := object{"id": id, "method": method, "params": params}
	if c.session != "" {
		call["sessionId"] = c.session
	}
	b, err := json.Marshal(call)
	require.NoError(c.t, err)
	_, err = c.to.Write(append(b, 0))
	require.NoError(c.t, err)
	select {
	case got := <-answered:
		if result != nil {
			require.NoError(c.t, json.Unmarshal(got, result))
		}
	case <-time.After(60 * time.Second):
		c.t.Fatalf("the browser did not answer %s", method)
	}
}

// js evaluates an expression in the page.
func (c *chromium) js(expression string) any {
	c.t.Helper()
	var out struct {
		Result struct{ Value any }
	}
	c.do("Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	return out.Result.Value
}

// until waits until an expression is true.
func (c *chromium) until(expression string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.js(expression) == true }, 30*time.Second, 30*time.Millisecond, "%s in %v; %v", expression, c.js("document.body.innerText"), c.trouble())
}

// trouble is what the browser logged as errors.
func (c *chromium) trouble() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.problems)
}

func (c *chromium) shows(text string) string {
	return fmt.Sprintf("document.body.innerText.includes(%q)", text)
}

func TestTheInboxIsLiveInARealBrowser(t *testing.T) {
	t.Parallel()
	c := openChromium(t)
	provider := emailtest.NewSMTP(t, emailtest.WithUser("help@shop.example", "geheim"))
	r := start(t, testOptions(t, "-undo", "1h"))
	r.office(provider, nil)

	c.do("Page.navigate", object{"url": r.host.baseURL() + "/inbox"}, nil)
	c.until(`document.querySelector("[name=password]") !== null`)
	c.js(`document.querySelector("[name=agent]").value = "an"; document.querySelector("[name=password]").value = "mat-khau-1"; document.forms[0].requestSubmit()`)
	c.until(c.shows("No tickets here"))
	require.Equal(t, "/inbox", c.js("location.pathname"))
	require.NotContains(t, c.js("document.cookie"), sessionCookie, "scripts cannot read the session")

	// A mail shows without a new page.
	c.js("window.marker = 1")
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	c.until(c.shows("Đơn hàng bị trễ"))
	require.EqualValues(t, 1, c.js("window.marker"))
	id := text(r.eventually("/api/tickets", firstTicket), "tickets", 0, "id")

	c.js(`document.querySelector(".subject a").click()`)
	c.until(c.shows("Chào shop, đơn hàng của tôi ở đâu?"))
	c.js(`document.querySelector("[name=text]").value = "Đang đến."; document.querySelector(".composer .primary").click()`)
	c.until(`/Leaves in \d+ s/.test(document.body.innerText)`)
	c.js(`document.querySelector(".undo button").click()`)
	c.until(c.shows("cancelled"))
	require.Empty(t, provider.Messages())

	// What comes in joins the page, and what is being written stays.
	c.js(`window.marker = 2; document.querySelector("[name=text]").value = "nửa câu"`)
	r.mail("chau@khach.example", "support@portal.localhost", `From: chau@khach.example
To: support@portal.localhost
Subject: Re: x
Message-ID: <html@khach.example>
In-Reply-To: <first@khach.example>
Content-Type: text/html; charset=utf-8

<p id="p">Xin <b>chào</b> lần nữa</p><script>parent.hacked = 1</script><img src="x" onerror="parent.hacked = 1">
`)
	frame := `document.querySelector("iframe")`
	c.until(frame + ` !== null && ` + frame + `.contentDocument.body !== null && ` + frame + `.contentDocument.body.innerText.includes("Xin chào lần nữa")`)
	require.EqualValues(t, 2, c.js("window.marker"))
	require.Equal(t, "nửa câu", c.js(`document.querySelector("[name=text]").value`))
	require.Nil(t, c.js("window.hacked"))
	c.until(`parseInt(` + frame + `.style.height) > 0`)
	require.Less(t, c.js(`parseInt(`+frame+`.style.height)`), 100.0, "the frame is as high as the short mail in it")
	require.Equal(t, "/tickets/"+id, c.js("location.pathname"))

	require.Empty(t, c.trouble(), "nothing broke the policy of the pages")
}
