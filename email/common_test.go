package email

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheCommonFormOfDatesIsReadAsTheOthersAre(t *testing.T) {
	t.Parallel()
	read := 0
	for _, day := range []string{"", "Mon, ", "mon, ", "Sun,", "Xyz, ", "onT, ", "Mon,  "} {
		for _, date := range []string{"4 Nov 2024", "04 Nov 2024", "28 Feb 2023", "29 Feb 2023", "31 Dec 1969", "0 Jan 2024", "1 jan 2024", "1 anF 2024", "1 Jan 24", "1 Jan 0024", "1 May 2300", "1  May 2024", "a May 2024"} {
			for _, clock := range []string{"10:30:00", "10:30", "9:30:00", "24:00:00", "23:59:59", "23:59:60", "10:60:00", "10.30:00", "1a:30:00"} {
				for _, zone := range []string{"+0700", "-0330", "+0000", "-0000", "+1400", "+1500", "+0060", "0700", "GMT", "EST", "+0700 (ICT)", "+07:00", ""} {
					s := day + date + " " + clock + " " + zone
					got, ok := commonDate(s)
					if !ok {
						continue
					}
					read++
					want := otherDate(s)
					require.Equal(t, fmt.Sprint(want.UTC(), want.Format("-0700")), fmt.Sprint(plausible(got).UTC(), plausible(got).Format("-0700")), s)
				}
			}
		}
	}
	require.Greater(t, read, 100)
	_, ok := commonDate("Mon, 4 Nov 2024 10:30:00 +0700")
	require.True(t, ok)
}

func FuzzCommonDate(f *testing.F) {
	f.Add("Mon, 4 Nov 2024 10:30:00 +0700")
	f.Add("4 Nov 2024 10:30 +0000")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := commonDate(s); ok {
			want := otherDate(s)
			require.Equal(t, want.UTC(), plausible(got).UTC())
			require.Equal(t, want.Format("-0700"), plausible(got).Format("-0700"))
		}
	})
}

func FuzzCommonParty(f *testing.F) {
	for _, s := range []string{"a@b", "Ann <a@b>", `"Ann, B." <a@b>`, "<a@b>", " 'Ann' <a@b> ", "Ann <a@b> (c)", `"" <a@b>`, "mailto:a@b", "a@b@c", "=?x?=@b", "Ann  B <a=?b@c>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := commonParty(s); ok {
			want := otherParties(s, "")
			require.Len(t, want, 1)
			require.Equal(t, want[0], got)
		}
	})
}
