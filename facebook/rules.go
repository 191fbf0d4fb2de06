package facebook

import (
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// Posts says which posts and comments become tickets.
type Posts string

// Values of Posts.
const (
	// Nothing, also the empty value, makes no tickets of posts and comments.
	Nothing Posts = "nothing"
	// Relevant makes tickets of what VisitorPosts and Comments say.
	Relevant Posts = "relevant"
	// Everything makes a ticket of every post and comment of a customer.
	Everything Posts = "everything"
)

// Rules say what becomes a ticket. The zero value makes none: messages become
// conversations without a ticket, which are queued and answered all the same, and
// posts and comments are left out.
type Rules struct {
	// Messages makes tickets of customers' messages.
	Messages bool `json:"messages"`
	// OwnActivity makes tickets of what the Page itself writes elsewhere: in
	// Facebook's inbox, by other apps, as posts and comments.
	OwnActivity bool `json:"own_activity"`
	// Posts is about posts and comments.
	Posts Posts `json:"posts,omitempty"`
	// VisitorPosts, with Relevant, makes tickets of visitors' posts.
	VisitorPosts bool `json:"visitor_posts"`
	// Comments, with Relevant, makes tickets of customers' comments on the
	// Page's own posts that contain one of Keywords.
	Comments bool `json:"comments"`
	// Keywords match whatever their letter case and Unicode form; across
	// diacritics if the keyword has none; and as whole words in scripts that
	// have spaces. None at all: every comment.
	Keywords []string `json:"keywords,omitempty"`
	// Staff are the ids, on this Page, of people whose own posts and comments
	// count as the Page's. Others who run the Page are customers when they
	// write as themselves.
	Staff []string `json:"staff,omitempty"`
}

// Bounds of Rules.
const (
	maxKeywords = 500
	maxKeyword  = 100 // code points
	maxStaff    = 500
)

func (r Rules) check() error {
	switch r.Posts {
	case "", Nothing, Relevant, Everything:
	default:
		return channel.BadField("rules.posts", "must be %q, %q or %q", Nothing, Relevant, Everything)
	}
	if len(r.Keywords) > maxKeywords {
		return channel.BadField("rules.keywords", "must be at most %d", maxKeywords)
	}
	for _, k := range r.Keywords {
		if n := utf8.RuneCountInString(k); n > maxKeyword || !utf8.ValidString(k) || len(words(k)) == 0 {
			return channel.BadField("rules.keywords", "must be words of 1 to %d characters", maxKeyword)
		}
	}
	if len(r.Staff) > maxStaff {
		return channel.BadField("rules.staff", "must be at most %d", maxStaff)
	}
	for _, s := range r.Staff {
		if !plausibleID(s) {
			return channel.BadField("rules.staff", "must be ids of people, of digits")
		}
	}
	return nil
}

// What an [Activity] is.
type What string

// Values of What.
const (
	Message What = "message"
	Post    What = "post"
	Comment What = "comment"
)

// Verb says what happened to it.
type Verb string

// Values of Verb.
const (
	Added   Verb = "add"
	Edited  Verb = "edit"
	Removed Verb = "remove"
	Hidden  Verb = "hide"
	Shown   Verb = "unhide"
)

// By says who did it.
type By string

// Values of By.
const (
	ByCustomer By = "customer"
	ByPage     By = "page"  // or an app in its name
	ByStaff    By = "staff" // named in Rules.Staff
)

// Activity is what rules look at.
type Activity struct {
	What What
	Verb Verb
	By   By
	// PostBy is who wrote the post that a comment stands under; empty if that
	// cannot be told any more.
	PostBy By
	// Nested says that a comment is a reply to a comment, and InOwnPost that
	// it stands under its author's own post: both belong to a conversation
	// that may have begun.
	Nested    bool
	InOwnPost bool
	// Text is what was written, and Thread, of a reply, the comment at the
	// head of the thread if a customer wrote it, whoever that was.
	Text, Thread string
}

// Outcome is what becomes of an activity.
type Outcome string

// Outcomes.
const (
	MakeTicket Outcome = "ticket" // taken in, with a ticket
	Record     Outcome = "record" // taken in, without a ticket of its own
	Join       Outcome = "join"   // taken in if its conversation had begun, else ignored
	Apply      Outcome = "apply"  // changes what came before; never a ticket
	Ignore     Outcome = "ignore"
)

// Verdict is an outcome and why.
type Verdict struct {
	Outcome Outcome
	Reason  string
}

// Decide says what becomes of an activity. It is pure; the first row that fits
// decides:
//
//	anything but Added                        apply
//	message of the Page or staff              ticket with OwnActivity, else record
//	message of a customer                     ticket with Messages, else record
//	post of the Page or staff                 ticket with OwnActivity, else ignore
//	comment of the Page or staff              ticket with OwnActivity, else join
//	post or comment, Everything               ticket
//	post, Relevant with VisitorPosts          ticket
//	comment on the Page's post, Relevant      ticket if it, or the customer's comment
//	  with Comments                             that it replies to, has a keyword
//	comment nested, or in its author's post   join
//	the rest                                  ignore
//
// A comment under a post of which nobody can tell any more who wrote it counts as
// one on the Page's.
func (r Rules) Decide(a Activity) Verdict { return r.compile().decide(a) }

// compiled are rules ready to be used.
type compiled struct {
	Rules

	keywords []keyword
	staff    map[string]bool
}

func (r Rules) compile() *compiled {
	c := &compiled{Rules: r, staff: map[string]bool{}}
	for _, k := range r.Keywords {
		c.keywords = append(c.keywords, newKeyword(k))
	}
	for _, s := range r.Staff {
		c.staff[s] = true
	}
	return c
}

func (c *compiled) decide(a Activity) Verdict {
	own := a.By == ByPage || a.By == ByStaff
	if a.Verb != Added {
		return Verdict{Apply, "it changes what is there"}
	}
	if own {
		switch {
		case c.OwnActivity:
			return Verdict{MakeTicket, "the Page's own activity makes tickets"}
		case a.What == Message:
			return Verdict{Record, "the Page's own messages make no tickets"}
		case a.What == Comment:
			return Verdict{Join, "the Page's own comments make no tickets"}
		}
		return Verdict{Ignore, "the Page's own posts make no tickets"}
	}
	if a.What == Message {
		if c.Messages {
			return Verdict{MakeTicket, "messages make tickets"}
		}
		return Verdict{Record, "messages make no tickets"}
	}
	reason := "posts and comments make no tickets"
	switch {
	case c.Posts == Everything:
		return Verdict{MakeTicket, "all posts and comments make tickets"}
	case c.Posts == Relevant && a.What == Post:
		if c.VisitorPosts {
			return Verdict{MakeTicket, "visitors' posts make tickets"}
		}
		reason = "visitors' posts make no tickets"
	case c.Posts == Relevant:
		ok, why := c.relevant(a)
		if ok {
			return Verdict{MakeTicket, why}
		}
		reason = why
	}
	if a.What == Comment && (a.Nested || a.InOwnPost) {
		return Verdict{Join, reason}
	}
	return Verdict{Ignore, reason}
}

// relevant decides on a customer's comment.
func (c *compiled) relevant(a Activity) (bool, string) {
	switch {
	case !c.Comments:
		return false, "comments make no tickets"
	case a.PostBy != ByPage && a.PostBy != "":
		return false, "only comments on the Page's own posts make tickets"
	case len(c.keywords) == 0:
		return true, "all comments on the Page's posts make tickets"
	case c.matches(a.Text):
		return true, "it has a keyword"
	case c.matches(a.Thread):
		return true, "the comment that it replies to has a keyword"
	}
	return false, "it has no keyword"
}

func (c *compiled) matches(text string) bool {
	if text == "" {
		return false
	}
	t := newHaystack(text)
	for i := range c.keywords {
		if c.keywords[i].in(t) {
			return true
		}
	}
	return false
}
