package email_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/anteroom/anteroom/email"
)

func TestTextFromHTML(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"a<br>b<br><br>c":                "a\nb\n\nc",
		"<p>a</p><p>b</p>":               "a\n\nb",
		"<div>a</div><div>b</div>":       "a\nb",
		"<h1>T</h1>x":                    "T\n\nx",
		"a <b>b</b> c":                   "a b c",
		"a\n   b\t c":                    "a b c",
		"<ul><li>a</li><li>b</li></ul>c": "- a\n- b\n\nc",
		"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a b\nc",
		`<a href="https://x.example/y">here</a>`:                          "here (https://x.example/y)",
		`<a href="https://x.example">https://x.example/</a>`:              "https://x.example/",
		`<a href="mailto:a@x.example">Ann</a>`:                            "Ann",
		`<a href="javascript:x">y</a>`:                                    "y",
		"<blockquote>a<br>b</blockquote>c":                                "> a\n> b\nc",
		"<blockquote>a<blockquote>b</blockquote></blockquote>":            "> a\n> > b",
		"<pre>a\n  b</pre>":                                               "a\n  b",
		"<style>x</style><script>y</script><title>z</title>a":             "a",
		"<head><title>z</title><meta charset=x></head><body>a":            "a",
		"a<!-- b -->c<!--[if mso]>d<![endif]-->":                          "ac",
		`<span style="display: none">x</span>a`:                           "a",
		`<div style="display:none">x<div>y</div>z</div>a`:                 "a",
		`<img alt="logo" src="x">`:                                        "[logo]",
		"a&nbsp;b &lt;c&gt; &eacute;":                                     "a b <c> é",
		"</div></p>a</blockquote>":                                        "a",
		"<p>a<hr>b":                                                       "a\n---\nb",
		"<head><title>never closed<body>a</body>":                         "",
		strings.Repeat("<blockquote>", 25) + "a":                          strings.Repeat("> ", 20) + "a",
	} {
		require.Equal(t, want, email.TextFromHTML(in), in)
	}
	require.LessOrEqual(t, len(email.TextFromHTML(strings.Repeat("<blockquote><br>", 150_000))), 3<<20)
}

func TestSanitizeHTMLKeepsWhatMailLooksLike(t *testing.T) {
	t.Parallel()
	in := `<table width="600" bgcolor="#ffffff"><tr><td style="color:red;font-size:12px" align="center"><b>Xin chào</b><br><a href="https://x.example/?a=1&amp;b=2">link</a></td></tr></table><blockquote type="cite">q</blockquote>`
	got := email.SanitizeHTML(in, email.SanitizeOptions{})
	for _, want := range []string{`width="600"`, `bgcolor="#ffffff"`, "color: red", "font-size: 12px", "<b>Xin chào</b>", `href="https://x.example/?a=1&amp;b=2"`, `target="_blank"`, "nofollow", "noreferrer", `type="cite"`} {
		require.Contains(t, got, want)
	}
}

func TestSanitizeHTMLDropsWhatHarms(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<a href="javascript:alert(1)">x</a>`, `<a href=" java&#10;script:alert(1)">x</a>`, `<iframe src="https://evil.example"></iframe>`,
		`<form action="https://evil.example"><input name=a></form>`, `<svg onload=alert(1)><script>alert(1)</script></svg>`, `<math><mi xlink:href="javascript:alert(1)">x</mi></math>`,
		`<object data="x"></object>`, `<embed src=x>`, `<link rel=stylesheet href=https://evil.example>`, `<style>@import "https://evil.example"</style>`, `<base href="https://evil.example/">`,
		`<div style="position:fixed;top:0">x</div>`, `<div style="background:url(https://evil.example/x.gif)">x</div>`, `<div style="width:expression(alert(1))">x</div>`, `<td background="https://evil.example/x.gif">`,
		`<meta http-equiv=refresh content="0;url=https://evil.example">`, `<a href="/admin/delete">x</a>`, `<a href="data:text/html,<script>alert(1)</script>">x</a>`, `<img src="data:image/svg+xml;base64,PHN2Zz4=">`,
		`<!--[if mso]><script>alert(1)</script><![endif]-->`, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<img src="https://evil.example/pixel.gif">`, `<img srcset="https://evil.example/x 2x">`,
		`<video src="https://evil.example/v"></video>`, `<textarea></textarea><script>alert(1)</script>`, `<a href="vbscript:x">y</a>`, `<img src="//evil.example/x">`, `<div style="color:red;` + strings.Repeat("a", 5000) + `">x`,
		`<template><script>alert(1)</script></template>`, `<p style="list-style-image:url(https://evil.example)">x`, "<scr\x00ipt>alert(1)</scr\x00ipt>", `<img src="file:///etc/passwd">`, `<title><img src=x onerror=alert(1)></title>`,
	} {
		got := email.SanitizeHTML(in, email.SanitizeOptions{})
		checkSafe(t, got, false)
		require.NotContains(t, got, "evil.example", in)
		require.NotContains(t, got, "alert(1)", in)
	}
}

// checkSafe reads sanitised HTML again and looks for anything that could act.
func checkSafe(t testing.TB, s string, remote bool) {
	t.Helper()
	requireText(t, s)
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken, html.DoctypeToken:
			t.Fatalf("comment in %q", s)
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			switch tok.Data {
			case "script", "style", "iframe", "object", "embed", "form", "input", "svg", "math", "link", "meta", "base", "video", "audio", "textarea", "template", "title", "noscript", "button", "select", "frame", "applet":
				t.Fatalf("<%s> in %q", tok.Data, s)
			}
			for _, a := range tok.Attr {
				checkAttribute(t, tok.Data, a, remote)
			}
		}
	}
}

func checkAttribute(t testing.TB, tag string, a html.Attribute, remote bool) {
	t.Helper()
	v := strings.ToLower(a.Val)
	require.False(t, strings.HasPrefix(a.Key, "on"), a.Key)
	switch a.Key {
	case "href":
		require.Regexp(t, `^(https?:|mailto:|tel:)`, v)
	case "src":
		require.Equal(t, "img", tag)
		if !remote {
			require.Regexp(t, `^(cid:|data:image/(png|gif|jpe?g|webp);base64,)`, v)
		}
	case "style":
		for _, bad := range []string{"url", "expression", "position", "fixed", "absolute", "import", "behavior"} {
			require.NotContains(t, v, bad)
		}
	case "srcset", "background", "action", "formaction", "data", "poster", "id", "class", "name", "srcdoc", "ping":
		t.Fatalf("attribute %s", a.Key)
	}
}

func TestSanitizeHTMLOnImages(t *testing.T) {
	t.Parallel()
	in := `<img src="cid:logo@x" alt="L"><img src="cid:a%40b"><img src="cid:none"><img src="https://x.example/a.png"><img src="//x.example/b.png"><img src="data:image/png;base64,iVBORw0KGgo=">`
	got := email.SanitizeHTML(in, email.SanitizeOptions{})
	require.Contains(t, got, `src="cid:logo@x"`)
	require.Contains(t, got, `alt="L"`)
	require.Contains(t, got, `src="data:image/png;base64,iVBORw0KGgo="`)
	require.NotContains(t, got, "x.example")

	got = email.SanitizeHTML(in, email.SanitizeOptions{RemoteImages: true, ResolveCID: func(id string) string {
		if id == "none" {
			return ""
		}
		return "/blobs/" + id
	}})
	require.Contains(t, got, `src="/blobs/logo@x"`)
	require.Contains(t, got, `src="/blobs/a@b"`)
	require.NotContains(t, got, "none")
	require.Contains(t, got, `src="https://x.example/a.png"`)
	require.Contains(t, got, `src="https://x.example/b.png"`)

	got = email.SanitizeHTML(`<img src="cid:x">`, email.SanitizeOptions{ResolveCID: func(string) string { return "javascript:alert(1)" }})
	require.NotContains(t, got, "javascript")
}

func TestSanitizeHTMLIsBounded(t *testing.T) {
	t.Parallel()
	got := email.SanitizeHTML(strings.Repeat("é", 1<<20+1000), email.SanitizeOptions{})
	require.LessOrEqual(t, len(got), 2<<20)
	requireText(t, got)
	checkSafe(t, email.SanitizeHTML(strings.Repeat("<div>", 30_000), email.SanitizeOptions{}), false)
}
