package sqlitestore

import (
	"time"

	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// since returns t as a column, NULL for the zero time.
func since(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return driver.Micros(t)
}

// null returns s as a column, NULL if it is empty.
func null[S ~string](s S) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
