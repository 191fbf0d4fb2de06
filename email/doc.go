// Package email understands and composes mail. It uses no network: the channels
// hosted and account bring mail in and out, and rely on this package for what it
// means.
//
// [Read] turns any mail into a [Mail]: text that is always valid UTF-8, HTML,
// attachments with clean names, what is new in a reply, whether a machine wrote
// it, and what delivery reports, complaints and forwards say. [Item] makes the
// item of it that a channel hands to the engine. [Compose] writes a mail, and
// [SanitizeHTML] makes received HTML fit to be shown. Intake never sanitises;
// showing does, so that a better policy repairs old mail.
//
// # How a mail is read
//
// The mail is read once, as a stream. Header blocks and parts are cut by readers
// of our own that forgive what mail in the field does: damaged header lines, any
// line ends, missing boundaries, wrong charsets. What was wrong stands in
// Mail.Defects, in words for people, and the mail is read all the same. Text is
// kept up to a bound. Of an attachment only its place in the raw mail is kept (a
// [channel.Window]), with its size and hash: the raw mail is stored once, and the
// attachment is read out of it when somebody wants it.
//
// A name in a header, an id, a date, a Reply-To, a forward: all of it is the
// sender's claim. This package extracts; it decides nothing about trust. The
// candidates for our own tokens in Evidence are verified by the engine.
//
// # Errors
//
// Read returns only the errors of opening and reading the raw mail, beside what
// was understood before. A panic inside is caught and becomes a defect. Item
// never fails. Compose and [ParseAddress] return a [*channel.FieldError] that
// names the bad value; nothing is then written. Values are refused, not repaired:
// a line break in a header value is never encoded away.
//
// # Concurrency
//
// Every function is safe for concurrent use. A Mail is plain data that nothing
// here keeps or changes.
//
// # Limits
//
// The Max constants bound what is looked at: header size and fields, depth and
// number of parts, bytes of text, ids, addresses, defects. Beyond them lies only
// what the raw mail still holds. Reading a mail of any size takes some hundred
// kilobytes besides its text, and time in proportion to its size; SanitizeHTML
// and [TextFromHTML] look at the first 2 MB.
//
// Known gaps: winmail.dat (TNEF), uuencoded and encrypted parts are left as
// attachments. What is new is found by marks and words of mail programs; text
// between or below quoted lines is taken for an answer, and then nothing is cut.
package email
