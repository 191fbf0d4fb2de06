package driver

import (
	"math"

	"github.com/anteroom/anteroom/ticket"
)

// Add returns value with n added, or [ticket.ErrLimit]. It stays within 0 and
// the largest int64.
func Add(value int64, n *ticket.Count) (int64, error) {
	if n.Add > 0 && value > math.MaxInt64-n.Add {
		value = math.MaxInt64
	} else {
		value = max(0, value+n.Add)
	}
	if n.Max > 0 && value > n.Max {
		return 0, ticket.ErrLimit
	}
	return value, nil
}
