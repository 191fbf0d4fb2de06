package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// The entities that checks start from: as little as they need.

func (k *kit) newContact() *ticket.Contact {
	return &ticket.Contact{ID: ticket.ContactID(k.id()), Name: "Lan", CreatedAt: k.now, UpdatedAt: k.now}
}

func (k *kit) newConversation() *ticket.Conversation {
	return &ticket.Conversation{
		ID: ticket.ConversationID(k.id()), Channel: "mail", Subject: "Hello", CreatedAt: k.now, UpdatedAt: k.now,
	}
}

func (k *kit) newTicket() *ticket.Ticket {
	return &ticket.Ticket{
		ID: ticket.TicketID(k.id()), Subject: "Hello", Status: ticket.Open, Priority: ticket.Normal,
		Channel: "mail", CreatedAt: k.now, UpdatedAt: k.now,
	}
}

func (k *kit) newMessage(t ticket.TicketID, c ticket.ConversationID) *ticket.Message {
	return &ticket.Message{
		ID: ticket.MessageID(k.id()), Ticket: t, Conversation: c, Channel: "mail", Direction: ticket.In,
		Text: "Hello", State: ticket.StateReceived, CreatedAt: k.now, UpdatedAt: k.now,
	}
}

func (k *kit) newItem() *ticket.Item {
	return &ticket.Item{
		ID: ticket.ItemID(k.id()), Channel: "mail", Day: "2026-03-01", Disposition: ticket.DisposedMessage, ReceivedAt: k.now,
	}
}

func (k *kit) newWork(lane string) *ticket.Work {
	return &ticket.Work{ID: ticket.WorkID(k.id()), Kind: ticket.WorkSend, Lane: lane, NotBefore: k.now, CreatedAt: k.now}
}

func (k *kit) newEvent() *ticket.Event {
	return &ticket.Event{ID: k.id(), Type: ticket.EventTicketCreated, At: k.now, Actor: ticket.Actor{Kind: ticket.ActorSystem}}
}

func (k *kit) newDecision() *ticket.Decision {
	return &ticket.Decision{ID: k.id(), Kind: "intake", Outcome: "new", At: k.now}
}

// filler sets every field of an entity to a value of its own, so that a store
// that forgets or mixes up a field is found, also one that the model gets later.
type filler struct {
	k *kit
	n int64
}

// left are the fields that the store gives or that are not to be given back.
func left(field string) bool {
	switch field {
	case "Revision", "Number", "Cursor", "Search":
		return true
	}
	return false
}

// column says of which plain strings a store may make columns.
func column(field string) bool {
	switch field {
	case "ID", "Day", "Lane", "Owner":
		return true
	}
	return false
}

func (f *filler) fill(v any) { f.value(reflect.ValueOf(v).Elem(), "") }

func (f *filler) value(v reflect.Value, field string) {
	f.n++
	switch v.Kind() {
	case reflect.String:
		switch {
		case v.Type().PkgPath() != "" && strings.HasSuffix(v.Type().Name(), "ID") && strings.HasSuffix(v.Type().PkgPath(), "/ticket"),
			v.Type().Name() == "string" && field == "ID":
			v.SetString(f.k.id())
		case v.Type().Name() != "string" || column(field):
			v.SetString(fmt.Sprintf("value-%d", f.n))
		default:
			v.SetString(fmt.Sprintf("tiếng Việt\x00 <&> \u2028 \U0001F600 \U0010FFFF \ufffd\ufeff\"\\\r\n %d", f.n))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.value(v.Elem(), field)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, 0xff, 0xfe, 0xc3, 0x28, byte(f.n), 0})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.value(v.Index(i), field)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.value(key, field)
			f.value(value, field)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(f.k.now.Add(time.Duration(f.n)*time.Hour + time.Duration(f.n)*time.Microsecond)))
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; !left(name) {
				f.value(v.Field(i), name)
			}
		}
	}
}

// dump returns all of v as text, to compare it.
func dump(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

// show returns v for people.
func show(v any) string {
	s := dump(v)
	return s[:min(len(s), 4000)]
}
