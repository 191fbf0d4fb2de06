package email

import (
	"regexp"
	"slices"
	"strings"
)

// maxSignature is how many lines may follow a delimiter without its blank,
// which programs drop: further up, two dashes are a rule in a text.
const maxSignature = 20

// splitSignature cuts the signature off: below "-- " (RFC 3676 section 4.3),
// what the HTML marks, or a line that a phone writes. Nothing cleverer.
func splitSignature(lines []textLine) (text, signature []textLine) {
	i := signatureStart(lines)
	if i < 0 || !hasWord(lines[:i]) {
		return lines, nil
	}
	sig := lines[i:]
	if isSignatureDelimiter(sig[0].text) {
		sig = sig[1:]
	}
	return trimLines(lines[:i]), trimLines(sig)
}

// signatureStart finds the line where the signature begins, or -1.
func signatureStart(lines []textLine) int {
	end := len(lines)
	for end > 0 && strings.TrimSpace(lines[end-1].text) == "" {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if lines[i].text == "-- " {
			return i
		}
	}
	for i := end - 1; i >= 0 && i >= end-1-maxSignature; i-- {
		if isSignatureDelimiter(lines[i].text) {
			return i
		}
	}
	// Marked by the HTML, up to the end.
	i := end
	for i > 0 && (lines[i-1].sign || i < end && strings.TrimSpace(lines[i-1].text) == "") {
		i--
	}
	for i < end && strings.TrimSpace(lines[i].text) == "" {
		i++
	}
	if i < end {
		return i
	}
	if end > 0 && isMobileLine(strings.TrimSpace(lines[end-1].text)) {
		return end - 1
	}
	return -1
}

func isSignatureDelimiter(s string) bool {
	s = strings.TrimRight(s, " \t\u00a0\r")
	return s == "--"
}

// mobile matches the line that a phone or an app writes below a mail, by
// language. It is field knowledge.
var mobile = regexp.MustCompile(`(?i)^(sent (from|via|with|using) .{2,60}|get outlook for .{2,30}|(enviado|enviada) (do|da|desde|a partir do|pelo|via|mediante) .{2,60}|obt(er|ener|enha) (o )?outlook para .{2,30}|(đã |được )?gửi (từ|bằng|qua) .{2,60}|tải outlook (dành )?cho .{2,30}|envoyé (de|depuis|à partir de|avec) .{2,60}|(télécharge[rz]|obtenir) outlook pour .{2,30}|(von|mit) .{2,60} gesendet|gesendet (von|mit|über) .{2,60}|outlook für .{2,30} (beziehen|herunterladen)|inviato (da|dal|dall'|con|tramite) ?.{2,60}|(ottieni|scarica) outlook per .{2,30}|verstuurd (vanaf|met|via) .{2,60}|verzonden (vanaf|met|via) .{2,60}|skickat från .{2,60}|sendt fra .{2,60}|lähetetty .{2,60}|wysłane? z .{2,60}|odesláno z .{2,60}|отправлено (с|из) .{2,60}|надіслано з .{2,60}|.{2,40} ?('|’)?(den|dan|mdan|umdan) gönderildi|dikirim dari .{2,60}|发自我的 ?.{2,40}|從我的 ?.{2,40}傳送|從我的 ?.{2,40}寄出|.{2,40}から送信|나의 .{2,40}에서 보냄|.{2,40}에서 보냄)[.!]?$`)

// mobileOpeners are how the alternatives of mobile begin.
var mobileOpeners = openers{
	heads:   "sen get env obt von mit ges out inv ott sca ver ski dik ode wys",
	letters: "đĐgGtTlLwWoOоОнН发從나",
}

// mobileParts are in those that begin with anything.
var mobileParts = []string{"nderildi", "から送信", "에서 보냄"}

// isMobileLine reports whether a line is one that a phone writes below a mail.
func isMobileLine(s string) bool {
	s = strings.Trim(s, "<>[]")
	return len(s) < 160 && mayBeMobile(s) && mobile.MatchString(s)
}

// mayBeMobile tells cheaply most lines that mobile does not match.
func mayBeMobile(s string) bool {
	if mobileOpeners.may(s) {
		return true
	}
	if isASCII(s) {
		return false
	}
	lower := asciiLower(s)
	return slices.ContainsFunc(mobileParts, func(p string) bool { return strings.Contains(lower, p) })
}
