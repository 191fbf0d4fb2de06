package driver_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// plainly is the document that encoding/json makes.
func plainly(t require.TestingT, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(v))
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// fill sets v, and what is in it, to something that no zero value is.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("a \"<b>\" \\ \x01 \u2028 đ\r\n of " + v.Type().String())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"z", "a\n", ""} {
			v.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), reflect.ValueOf("of "+k).Convert(v.Type().Elem()))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if at, ok := reflect.TypeAssert[*time.Time](v.Addr()); ok {
			*at = time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)
			return
		}
		for _, field := range v.Fields() {
			fill(field)
		}
	default:
		panic("a field of a kind that is not filled, and so not compared: " + v.Type().String())
	}
}

// leaves calls f with each field of v, and of the structs in it.
func leaves(v reflect.Value, f func(name string, field reflect.Value)) {
	for of, field := range v.Fields() {
		f(of.Name, field)
		if _, isTime := reflect.TypeAssert[time.Time](field); field.Kind() == reflect.Struct && !isTime {
			leaves(field, f)
		}
	}
}

// isLikeJSON holds a document to encoding/json: of the empty entity, of one with
// each field alone, of one without each, and with all.
func isLikeJSON[V any](t *testing.T, doc func(*V) (string, error)) {
	t.Helper()
	is := func(v *V, with string) {
		got, err := doc(v)
		require.NoError(t, err)
		require.Equal(t, plainly(t, v), got, with)
	}
	var alone, all V
	is(&alone, "nothing")
	fill(reflect.ValueOf(&all).Elem())
	is(&all, "everything")
	leaves(reflect.ValueOf(&alone).Elem(), func(name string, field reflect.Value) {
		fill(field)
		is(&alone, "only "+name)
		field.SetZero()
	})
	leaves(reflect.ValueOf(&all).Elem(), func(name string, field reflect.Value) {
		field.SetZero()
		is(&all, "without "+name)
		fill(field)
	})
}

func TestDocumentsAreWhatJSONMakesOfEntities(t *testing.T) {
	t.Parallel()
	isLikeJSON(t, driver.ContactDoc)
	isLikeJSON(t, driver.ConversationDoc)
	isLikeJSON(t, driver.TicketDoc)
	isLikeJSON(t, driver.MessageDoc)
	isLikeJSON(t, driver.ItemDoc)
	isLikeJSON(t, driver.WorkDoc)
	isLikeJSON(t, driver.EventDoc)
	isLikeJSON(t, driver.DecisionDoc)
}

func TestDocumentsKeepTimesInUTCToTheMicrosecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 999, time.FixedZone("", 7*3600))
	v := &ticket.Message{At: at, CreatedAt: at, Warnings: []ticket.Warning{{Since: at}}, HiddenAt: time.Time{}.Add(999)}
	doc, err := driver.MessageDoc(v)
	require.NoError(t, err)
	require.Equal(t, at, v.Warnings[0].Since, "it is left as it is")
	back, err := driver.Decode[ticket.Message]([]byte(doc))
	require.NoError(t, err)
	for _, got := range []time.Time{back.At, back.CreatedAt, back.Warnings[0].Since} {
		require.Equal(t, time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC), got)
	}
	require.NotContains(t, doc, "hidden_at", "what is cut to zero is zero")
}

func TestATimeThatJSONHasNoFormForIsAnError(t *testing.T) {
	t.Parallel()
	_, err := driver.EventDoc(&ticket.Event{At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.Error(t, err)
	doc, err := driver.EventDoc(&ticket.Event{})
	require.NoError(t, err)
	require.Equal(t, plainly(t, &ticket.Event{}), doc, "the next document is whole")
}

func FuzzText(f *testing.F) {
	f.Add("a \"quoted\" \\ line\r\n\tđ \u2028\u2029\ufffd\x7f\x00\x1f\b\f <&>")
	f.Add("cut \xc4")
	f.Add("\xe2\x80")
	f.Fuzz(func(t *testing.T, s string) {
		v := &ticket.Event{ID: s, Data: map[string]string{s: s}}
		doc, err := driver.EventDoc(v)
		require.NoError(t, err)
		require.Equal(t, plainly(t, v), doc)
	})
}
