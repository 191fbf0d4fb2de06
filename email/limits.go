package email

// Bounds of [Read]. What is beyond them stays in the raw mail, and a defect
// says so.
const (
	MaxHeaderBytes  = 256 << 10 // of one header block
	MaxHeaderFields = 1000      // of one header block
	MaxDepth        = 20        // multiparts within each other
	MaxParts        = 1000      // parts of a mail, of all depths
	MaxText         = 1 << 20   // decoded bytes kept of one text part
	MaxTextTotal    = 4 << 20   // decoded bytes kept of all text parts
	MaxDefects      = 100       // entries of Mail.Defects
	MaxIDs          = 500       // ids kept of References
	MaxParties      = 2000      // addresses kept of one header field
	maxHops         = 100       // Received fields from which a mail is a loop (RFC 5321 section 6.3)
	quietHops       = 50        // Received fields above which nothing automatic is sent
	maxEnclosed     = 64 << 10  // bytes looked at in enclosed messages and reports
	maxSanitize     = 2 << 20   // bytes of HTML that are sanitised
)
