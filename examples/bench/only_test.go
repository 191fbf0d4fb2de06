package bench

import (
	"fmt"
	"sync/atomic"
	"testing"
)

func BenchmarkOnly(b *testing.B) {
	for _, m := range []struct {
		name    string
		compose func(serial int64) []byte
	}{{"text", text()}, {"alt", html(true)}, {"html", html(false)}} {
		b.Run(fmt.Sprint(m.name), func(b *testing.B) {
			f := dial(b, portal(b), 20)
			var serial atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var t tally
			f.run(b.N, &serial, m.compose, &t)
		})
	}
}
