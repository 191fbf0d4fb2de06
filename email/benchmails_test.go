package email_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"mime/quotedprintable"
	"strings"
)

// benchMail is a mail whose reading is measured.
type benchMail struct {
	name   string
	raw    []byte
	size   int  // about
	quoted bool // it has a quoted mail
}

// benchMails returns the kinds of mail that a mailbox gets, as their writers
// form them.
func benchMails() []benchMail {
	text := benchText(2100 - len(plainHeader))
	plain := "Content-Type: text/plain; charset=utf-8\r\n\r\n"
	return []benchMail{
		{"text-2KB", []byte(plainHeader + plain + text), 2100, false},
		{"text-2KB-traced", []byte(tracedHeader + plain + text), 5300, false},
		{"html-30KB", []byte(plainHeader + "Content-Type: text/html; charset=utf-8\r\n\r\n" + benchHTML(30_000)), 30_000, false},
		{"newsletter-30KB", benchNewsletter(), 30_000, false},
		{"reply-30KB", benchReply(), 30_000, true},
		{"attachment-5MB", benchAttachment(5 << 20), 5 << 20, false},
	}
}

// tracedHeader is what a mail has gathered on its way through two providers.
var tracedHeader = "Return-Path: <ann@example.com>\r\n" +
	"Received: from mail-ed1-f41.example.com (mail-ed1-f41.example.com [192.0.2.41])\r\n\tby mx.help.example (Postfix) with ESMTPS id 4XyzAB1cdEz9sQ\r\n\tfor <support@help.example>; Mon, 4 Nov 2024 03:30:02 +0000 (UTC)\r\n" +
	"Received: by mail-ed1-f41.example.com with SMTP id 4fb4d7f45d1cf-5c9388a00cfso4710632a12.3\r\n        for <support@help.example>; Sun, 03 Nov 2024 19:30:01 -0800 (PST)\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=20230601; t=1730691001; x=1731295801; darn=help.example;\r\n        h=to:subject:message-id:date:from:mime-version:from:to:cc:subject:date:message-id:reply-to;\r\n        bh=" + strings.Repeat("aB3x", 11) + ";\r\n        b=" + strings.Repeat(strings.Repeat("k9Zq", 16)+"\r\n         ", 5) + "\r\n" +
	"X-Google-DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=1e100.net; s=20230601; t=1730691001; x=1731295801;\r\n        h=to:subject:message-id:date:from:mime-version:x-gm-message-state:from:to:cc:subject:date:message-id:reply-to;\r\n        bh=" + strings.Repeat("aB3x", 11) + ";\r\n        b=" + strings.Repeat(strings.Repeat("m7Wp", 16)+"\r\n         ", 5) + "\r\n" +
	"ARC-Seal: i=1; a=rsa-sha256; t=1730691001; cv=none; d=example.com; s=arc-20240605;\r\n        b=" + strings.Repeat(strings.Repeat("Yt5u", 16)+"\r\n         ", 5) + "\r\n" +
	"ARC-Authentication-Results: i=1; mx.example.com;\r\n       dkim=pass header.i=@example.com header.s=20230601 header.b=kZ9q;\r\n       spf=pass (example.com: domain of ann@example.com designates 192.0.2.41 as permitted sender) smtp.mailfrom=ann@example.com;\r\n       dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=example.com\r\n" +
	"X-Gm-Message-State: AOJu0Y" + strings.Repeat("xH4d", 14) + "\r\n" +
	"X-Received: by 2002:a05:6402:51d3:b0:5c9:4ba6:4eac with SMTP id 4fb4d7f45d1cf-5ceb92a9d3fmr9204531a12.21.1730691001; Sun, 03 Nov 2024 19:30:01 -0800 (PST)\r\n" +
	"MIME-Version: 1.0\r\nFrom: =?UTF-8?B?Tmd1eeG7hW4gVGjhu4sgQW4=?= <ann@example.com>\r\nTo: \"Support, Help\" <support@help.example>\r\nDate: Mon, 4 Nov 2024 10:30:00 +0700\r\nMessage-ID: <CAJ=mX1n8Yz@mail.example.com>\r\nReferences: <a1@help.example> <b2@example.com>\r\nIn-Reply-To: <a1@help.example>\r\n" +
	"Subject: =?UTF-8?Q?Re:_=C4=90=C6=A1n_h=C3=A0ng?= =?UTF-8?Q?_s=E1=BB=91_48213?=\r\n"

var benchSentences = []string{
	"Xin chào, tôi đã đặt hàng hôm thứ hai và vẫn chưa nhận được gì.",
	"The parcel has not arrived yet; could you please look where it is?",
	"Số đơn hàng: 48213, giao đến 12 Lê Lợi, Quận 1, TP. Hồ Chí Minh.",
	"I called twice, and each time was told to wait for two more days.",
	"Cảm ơn bạn đã giúp đỡ, tôi mong sớm nhận được câu trả lời.",
	"If it was lost, I would rather have my money back than another one.",
}

// benchText is about n bytes of a person's text.
func benchText(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString(benchSentences[i%len(benchSentences)])
		b.WriteString("\r\n")
		if i%4 == 3 {
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

// benchHTML is a newsletter of about n bytes: tables for layout, a style on each
// cell, tracked links.
func benchHTML(n int) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\r\n<html><head><meta charset=\"utf-8\"><title>News</title>\r\n<style type=\"text/css\">\r\n")
	for i := range 20 {
		fmt.Fprintf(&b, ".c%d { font-family: Arial, Helvetica, sans-serif; font-size: %dpx; color: #333333 !important; }\r\n", i, 10+i)
	}
	b.WriteString("</style></head>\r\n<body bgcolor=\"#f4f4f4\" style=\"margin:0;padding:0\"><div style=\"display:none;max-height:0\">What is new this week &nbsp;&zwnj;&nbsp;&zwnj;</div>\r\n<table width=\"100%\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\"><tbody>\r\n")
	for i := 0; b.Len() < n-400; i++ {
		s := html.EscapeString(benchSentences[i%len(benchSentences)])
		fmt.Fprintf(&b, "<tr><td align=\"center\" class=\"c%d\" style=\"font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:20px;color:#333333;padding:0 20px 10px 20px\">\r\n  <img src=\"https://img.example.com/n/%d.png\" width=\"560\" height=\"120\" alt=\"Offer %d\" style=\"display:block;border:0\">\r\n  <p style=\"margin:0\">%s &ndash; &amp;c.</p>\r\n  <a href=\"https://click.example.com/f/a/%s~~/AAAA%d?x=1&amp;y=2\" target=\"_blank\" style=\"color:#1a73e8;text-decoration:none\"><span>Read on</span></a><!-- %d -->\r\n</td></tr>\r\n", i%20, i, i, s, strings.Repeat("Zk", 20), i, i)
	}
	b.WriteString("</tbody></table>\r\n<p>You get this because you asked. <a href=\"https://click.example.com/unsubscribe\">Unsubscribe</a></p></body></html>\r\n")
	return b.String()
}

// quoted encodes text as quoted-printable.
func quoted(s string) string {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // into memory
	_ = w.Close()
	return b.String()
}

func alternative(text, html string) string {
	return "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"000000000000a1b2c3\"\r\n\r\n" +
		"--000000000000a1b2c3\r\nContent-Type: text/plain; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(text) +
		"\r\n--000000000000a1b2c3\r\nContent-Type: text/html; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(html) +
		"\r\n--000000000000a1b2c3--\r\n"
}

func benchNewsletter() []byte {
	return []byte(plainHeader + "List-Unsubscribe: <https://click.example.com/unsubscribe>\r\n" + alternative(benchText(3000), benchHTML(24_000)))
}

// benchReply is an answer over five quoted mails, as Gmail writes it.
func benchReply() []byte {
	var text, html strings.Builder
	text.WriteString(benchText(600))
	html.WriteString("<div dir=\"ltr\">" + htmlParagraphs(benchText(600)) + "</div><br>")
	for depth := range 5 {
		marks := strings.Repeat(">", depth)
		who := "On Mon, 4 Nov 2024 at 10:30, Help <support@help.example> wrote:"
		if depth%2 == 1 {
			who = "Vào Th 2, 4 thg 11, 2024 vào lúc 10:30 Ann <ann@example.com> đã viết:"
		}
		fmt.Fprintf(&text, "\r\n%s%s\r\n\r\n", marks, who)
		for line := range strings.SplitSeq(strings.TrimSpace(benchText(1150)), "\r\n") {
			fmt.Fprintf(&text, "%s> %s\r\n", marks, line)
		}
		fmt.Fprintf(&html, "<div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">%s<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\"><div dir=\"ltr\">%s</div>", strings.NewReplacer("<", "&lt;<a href=\"mailto:a@example.com\">", ">", "</a>&gt;").Replace(who), htmlParagraphs(benchText(1400)))
	}
	html.WriteString(strings.Repeat("</blockquote></div>", 5))
	return []byte(tracedHeader + alternative(text.String(), html.String()))
}

func htmlParagraphs(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\r\n") {
		if line == "" {
			line = "<br>"
		}
		b.WriteString("<div>" + line + "</div>\r\n")
	}
	return b.String()
}

func benchAttachment(size int) []byte {
	line := base64.StdEncoding.EncodeToString([]byte("%PDF-1.7 1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj")) + "\r\n"
	return []byte(plainHeader + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b-5f\"\r\n\r\n--b-5f\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + benchText(800) +
		"\r\n--b-5f\r\nContent-Type: application/pdf; name=\"order.pdf\"\r\nContent-Disposition: attachment; filename=\"order.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(line, size/len(line)) + "\r\n--b-5f--\r\n")
}
