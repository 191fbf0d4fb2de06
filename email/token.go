package email

// anchorSuffix ends the local part of the id that [Compose] puts into References
// so that a reply still names our message when a relay changed its Message-ID.
const anchorSuffix = ".r"

// isToken reports whether s has the shape of the engine's tokens: [a-z0-9]{20,60}.
func isToken(s string) bool {
	if len(s) < 20 || len(s) > 60 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
