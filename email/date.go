package email

import (
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	dateISO   = regexp.MustCompile(`\b(\d{4})-(\d{1,2})-(\d{1,2})\b`)
	dateDay   = regexp.MustCompile(`\b(\d{1,2})(?:\.|,|st|nd|rd|th)?[ -]+(?:de )?(\pL{3,})\.?,?[ -]+(?:de )?(\d{4}|\d{2})\b`)
	dateMonth = regexp.MustCompile(`\b(\pL{3,})\.? +(\d{1,2})(?:,| )`) // asctime, American
	dateYear  = regexp.MustCompile(`\b(\d{4})\b`)
	dateClock = regexp.MustCompile(`\b(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?:\.\d+)?(?: *([AaPp])\.?[Mm]\b)?`)
	dateZone  = regexp.MustCompile(`(?:[+-]\d{2}:?\d{2}|\bUTC|\bGMT|\b[A-Z]{3,4}|Z)\b`)
	dateShift = regexp.MustCompile(`([+-])(\d{2}):?(\d{2})\b`)
)

// parseDate reads a date leniently: RFC 5322 section 3.3 and what is written in
// its place. It returns the zero time if it cannot.
func parseDate(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 200 {
		return time.Time{}
	}
	if t, ok := commonDate(s); ok {
		return plausible(t)
	}
	return otherDate(s)
}

// otherDate reads the forms that commonDate does not.
func otherDate(s string) time.Time {
	if t, err := mail.ParseDate(s); err == nil {
		if name, off := t.Zone(); off == 0 && name != "" {
			// The standard library knows no zone by name but UTC.
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zoneOf(name))
		}
		return plausible(t)
	}
	if i := strings.IndexByte(s, '('); i > 0 {
		s = strings.TrimSpace(s[:i])
	}
	year, month, day, rest := dateParts(s)
	if day == 0 {
		return time.Time{}
	}
	h, m, sec, rest := clockParts(rest)
	return plausible(time.Date(year, time.Month(month), day, h, m, sec, 0, zoneOf(rest)))
}

// plausible drops dates that no mail has, and those that cannot be written in
// RFC 3339.
func plausible(t time.Time) time.Time {
	if y := t.Year(); y < 1970 || y > 2200 {
		return time.Time{}
	}
	return t
}

// dateParts finds the day and returns what is left of s.
func dateParts(s string) (year, month, day int, rest string) {
	if i := dateISO.FindStringSubmatchIndex(s); i != nil {
		year, month, day = atoi(s[i[2]:i[3]]), atoi(s[i[4]:i[5]]), atoi(s[i[6]:i[7]])
		rest = strings.Replace(s[:i[0]]+" "+s[i[1]:], " T", " ", 1)
	} else if i := dateISOT.FindStringSubmatchIndex(s); i != nil {
		year, month, day = atoi(s[i[2]:i[3]]), atoi(s[i[4]:i[5]]), atoi(s[i[6]:i[7]])
		rest = s[i[1]:]
	} else if i := dateDay.FindStringSubmatchIndex(s); i != nil && monthOf(s[i[4]:i[5]]) > 0 {
		day, month, year = atoi(s[i[2]:i[3]]), monthOf(s[i[4]:i[5]]), atoi(s[i[6]:i[7]])
		rest = s[i[1]:]
	} else {
		for _, i := range dateMonth.FindAllStringSubmatchIndex(s, 4) {
			month = monthOf(s[i[2]:i[3]])
			if month == 0 {
				continue
			}
			y := dateYear.FindStringIndex(s[i[5]:])
			if y == nil {
				return 0, 0, 0, s
			}
			day, year = atoi(s[i[4]:i[5]]), atoi(s[i[5]+y[0]:i[5]+y[1]])
			rest = s[i[5]:i[5]+y[0]] + " " + s[i[5]+y[1]:]
			break
		}
	}
	if year > 0 && year < 70 {
		year += 2000
	} else if year < 100 {
		year += 1900
	}
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, 0, 0, s
	}
	return year, month, day, rest
}

// dateISOT is an ISO date with a time that follows a T.
var dateISOT = regexp.MustCompile(`\b(\d{4})-(\d{1,2})-(\d{1,2})T`)

// clockParts finds the time of day and returns what follows.
func clockParts(s string) (h, m, sec int, rest string) {
	i := dateClock.FindStringSubmatchIndex(s)
	if i == nil {
		return 0, 0, 0, s
	}
	h, m = atoi(s[i[2]:i[3]]), atoi(s[i[4]:i[5]])
	if i[6] >= 0 {
		sec = atoi(s[i[6]:i[7]])
	}
	if i[8] >= 0 {
		h %= 12
		if s[i[8]] == 'p' || s[i[8]] == 'P' {
			h += 12
		}
	}
	if h > 23 || m > 59 || sec > 60 {
		return 0, 0, 0, s[i[1]:]
	}
	return h, m, sec, s[i[1]:]
}

// zoneOf reads a zone: an offset counts, a name does only where RFC 5322 section
// 4.3 defines it; everything else is UTC.
func zoneOf(s string) *time.Location {
	if m := dateShift.FindStringSubmatch(s); m != nil {
		off := atoi(m[2])*3600 + atoi(m[3])*60
		if m[1] == "-" {
			off = -off
		}
		if off > -86400 && off < 86400 {
			return time.FixedZone("", off)
		}
		return time.UTC
	}
	hours := map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "CET": 1, "CEST": 2, "BST": 1, "ICT": 7, "JST": 9}
	if h, ok := hours[dateZone.FindString(s)]; ok {
		return time.FixedZone("", h*3600)
	}
	return time.UTC
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// monthOf reads a month's name in the languages that mailers write dates in.
func monthOf(name string) int {
	r := []rune(strings.ToLower(name))
	if len(r) < 3 {
		return 0
	}
	switch string(r[:3]) {
	case "jan", "ene", "gen", "янв":
		return 1
	case "feb", "fev", "fév", "фев":
		return 2
	case "mar", "mär", "mrt", "мар":
		return 3
	case "apr", "avr", "abr", "апр":
		return 4
	case "may", "mai", "mag", "mei", "maj", "май", "мая":
		return 5
	case "jun", "giu", "июн":
		return 6
	case "jul", "lug", "июл":
		return 7
	case "aug", "ago", "aoû", "aou", "авг":
		return 8
	case "sep", "set", "сен":
		return 9
	case "oct", "okt", "ott", "out", "окт":
		return 10
	case "nov", "ноя":
		return 11
	case "dec", "dez", "dic", "déc", "des", "дек":
		return 12
	}
	switch s := string(r); {
	case strings.HasPrefix(s, "juin"):
		return 6
	case strings.HasPrefix(s, "juil"):
		return 7
	}
	return 0
}
