package facebook_test

import "github.com/anteroom/anteroom/facebook/graphtest"

// failMedia breaks the CDN for so many fetches.
func failMedia(times int) graphtest.Fault {
	return graphtest.Fault{Path: ".pdf", Status: 503, Times: times}
}
