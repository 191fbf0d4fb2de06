package email

// SanitizeOptions are options of [SanitizeHTML]. The zero value is the safest.
type SanitizeOptions struct {
	// RemoteImages lets images load from other servers, which tells their
	// owners that the mail is being read.
	RemoteImages bool
	// ResolveCID returns the URL of the inline image with the given
	// Content-ID, without angle brackets; empty leaves the image out. If it
	// is nil, cid: URLs stay as they are.
	ResolveCID func(contentID string) string
}

// SanitizeHTML returns HTML that is safe to show.
func SanitizeHTML(html string, o SanitizeOptions) string { return "" }
