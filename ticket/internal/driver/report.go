package driver

import "github.com/anteroom/anteroom/ticket"

// Report sets in c what a store has given once c is committed: number is that
// of the first new ticket, cursor that of the first event.
func Report(c *ticket.Changes, number, cursor int64) {
	for _, v := range c.Contacts {
		v.Revision++
	}
	for _, v := range c.Conversations {
		v.Revision++
	}
	for _, v := range c.Tickets {
		if v.Revision == 0 {
			v.Number = number
			number++
		}
		v.Revision++
	}
	for _, v := range c.Messages {
		v.Revision++
	}
	for _, v := range c.Items {
		v.Revision++
	}
	for _, v := range c.Works {
		v.Revision++
	}
	for _, v := range c.Records {
		if v.Doc != nil {
			v.Revision++
		}
	}
	for i, v := range c.Events {
		v.Cursor = cursor + int64(i)
	}
}
