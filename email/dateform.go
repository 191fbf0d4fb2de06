package email

import (
	"strings"
	"time"
)

// commonDate reads the form in which nearly all dates are written, as
// mail.ParseDate would: "Mon, 4 Nov 2024 10:30:00 +0700", the day of the week and
// the seconds optional (RFC 5322 section 3.3). That function tries one form after
// the other, and each failure makes an error.
func commonDate(s string) (time.Time, bool) {
	var none time.Time
	if len(s) > 5 && s[3] == ',' {
		if s[4] != ' ' || strings.Index("MonTueWedThuFriSatSun", s[:3])%3 != 0 {
			return none, false
		}
		s = s[5:]
	}
	digits := 1
	if len(s) > 1 && s[1] != ' ' {
		digits = 2
	}
	// "4 Nov 2024 10:30", then ":00", then " +0700"
	if len(s) < digits+len(" Nov 2024 10:30 +0700") {
		return none, false
	}
	day, ok1 := number(s[:digits])
	s = s[digits:]
	month := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", s[1:4])
	year, ok2 := number(s[5:9])
	hour, ok3 := number(s[10:12])
	minute, ok4 := number(s[13:15])
	if s[0] != ' ' || s[4] != ' ' || s[9] != ' ' || s[12] != ':' || month < 0 || month%3 != 0 || !ok1 || !ok2 || !ok3 || !ok4 {
		return none, false
	}
	s = s[15:]
	second, ok5 := 0, true
	if len(s) > 3 && s[0] == ':' {
		second, ok5 = number(s[1:3])
		s = s[3:]
	}
	if len(s) != len(" +0700") || s[0] != ' ' || s[1] != '+' && s[1] != '-' {
		return none, false
	}
	zoneHours, ok6 := number(s[2:4])
	zoneMinutes, ok7 := number(s[4:6])
	if !ok5 || !ok6 || !ok7 || year < 1000 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 || zoneHours > 14 || zoneMinutes > 59 {
		return none, false // what is rare or wrong is for the others to tell
	}
	zone := time.UTC
	if offset := zoneHours*3600 + zoneMinutes*60; offset > 0 {
		if s[1] == '-' {
			offset = -offset
		}
		zone = time.FixedZone("", offset)
	}
	return time.Date(year, time.Month(month/3+1), day, hour, minute, second, 0, zone), true
}

// number reads digits only.
func number(s string) (n int, ok bool) {
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, s != ""
}
