package channeltest

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

func itemsAreWellFormed(b *bench) {
	r := b.receiver()
	sink := &probe{}
	b.receive(r, sink)
	for n := range 3 {
		b.take(sink, n)
	}
	b.eventually("fewer than three items were accepted", func() error {
		if n := len(slices.Concat(sink.calls()...)); n < 3 {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	for _, it := range slices.Concat(sink.calls()...) {
		for _, defect := range itemDefects(r.Info().ID, it) {
			b.Errorf("item %v: %s", it.Keys, defect)
		}
	}
}

// itemDefects returns what is wrong with an item of the channel.
func itemDefects(id channel.ID, it *channel.Item) []string {
	var out []string
	if it.Channel != id && it.Via != id {
		out = append(out, fmt.Sprintf("neither Channel (%q) nor Via (%q) is this channel (%q)", it.Channel, it.Via, id))
	}
	if it.Channel == "" {
		out = append(out, "Channel is empty")
	}
	if len(it.Keys) == 0 {
		out = append(out, "it has no key")
	}
	if slices.Contains(it.Keys, "") {
		out = append(out, "one of its keys is empty")
	}
	says := 0
	for _, set := range []bool{it.Message != nil && it.Update == nil, it.Update != nil, it.Notice != nil, it.Probe != "", it.Ignored != "", it.Quarantined != ""} {
		if set {
			says++
		}
	}
	if says > 1 {
		out = append(out, "it is several things at once")
	}
	if says == 0 && it.Raw == nil {
		out = append(out, "it says nothing and has no raw form to be interpreted")
	}
	if it.Message != nil {
		out = append(out, textDefects("Message", reflect.ValueOf(*it.Message))...)
		for _, a := range it.Message.Attachments {
			out = append(out, attachmentDefects(it.Raw, a)...)
		}
	}
	if it.Update != nil {
		out = append(out, textDefects("Update", reflect.ValueOf(*it.Update))...)
	}
	return append(out, bodyDefects("Raw", it.Raw)...)
}

// textDefects looks at all strings below v. Bodies hold bytes, not text.
func textDefects(where string, v reflect.Value) []string {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if !utf8.ValidString(s) {
			return []string{where + " is not valid UTF-8"}
		}
		if strings.ContainsRune(s, 0) {
			return []string{where + " contains NUL"}
		}
	case reflect.Struct:
		var out []string
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[time.Time]() {
				out = append(out, textDefects(where+"."+f.Name, v.Field(i))...)
			}
		}
		return out
	case reflect.Slice:
		var out []string
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil
		}
		for i := range v.Len() {
			out = append(out, textDefects(fmt.Sprintf("%s[%d]", where, i), v.Index(i))...)
		}
		return out
	case reflect.Pointer:
		if !v.IsNil() {
			return textDefects(where, v.Elem())
		}
	}
	return nil
}

func bodyDefects(where string, body channel.Body) []string {
	if body == nil {
		return nil
	}
	for range 2 { // it can be read more than once
		r, err := body.Open()
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be opened: %v", where, err)}
		}
		n, err := io.Copy(io.Discard, r)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be read: %v", where, err)}
		}
		if n != body.Size() {
			return []string{fmt.Sprintf("%s has %d bytes and says %d", where, n, body.Size())}
		}
	}
	return nil
}

func attachmentDefects(raw channel.Body, a channel.Attachment) []string {
	where := fmt.Sprintf("attachment %q", a.Name)
	if strings.ContainsAny(a.Name, "/\\\r\n") {
		return []string{where + " has no clean name"}
	}
	if a.Window == nil {
		if a.Body == nil {
			return []string{where + " has neither Window nor Body"}
		}
		return bodyDefects(where, a.Body)
	}
	r, err := a.Window.Open(raw)
	if err != nil {
		return []string{fmt.Sprintf("%s cannot be opened: %v", where, err)}
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != a.Size {
		return []string{fmt.Sprintf("%s has %d bytes (error %v) and says %d", where, n, err, a.Size)}
	}
	return nil
}
