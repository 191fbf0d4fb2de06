package ticket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func importInto(store ticket.Store, blobs ticket.Blobs, r io.Reader) error {
	_, err := ticket.Import(context.Background(), ticket.ImportConfig{Store: store, Blobs: blobs}, r)
	return err
}

func TestAnImportThatEndedEarlyIsResumed(t *testing.T) {
	inOffice(t, sealedWithBlobs, func(o *office) {
		o.lived()
		o.retire()
		export := o.export()
		back := memstore.New()
		store, blobs := back.Portal("main"), memstore.NewBlobs()
		n, failures := 0, 0
		half := io.MultiReader(strings.NewReader(export[:len(export)/2]), iotest.ErrReader(io.ErrUnexpectedEOF))
		require.ErrorIs(t, importInto(store, blobs, half), io.ErrUnexpectedEOF)
		back.Fail(func(op string) error {
			if n++; n%4 == 0 && (op == "commit" || op == "committed") {
				return errors.New("the store is down")
			}
			return nil
		})
		for {
			err := importInto(store, blobs, strings.NewReader(export))
			if err == nil {
				break
			}
			require.ErrorContains(t, err, "the store is down")
			failures++
			require.Less(t, failures, 100)
			cfg := o.cfg
			cfg.Store, cfg.Blobs = store, blobs
			back.Fail(nil)
			if ticket.Retire(o.ctx, store, time.Now()) == nil {
				require.NoError(t, importInto(store, blobs, strings.NewReader(export)), "only the answer to its last commit was lost")
				break
			}
			_, err = ticket.New(cfg)
			require.ErrorIs(t, err, ticket.ErrImporting)
			k := failures
			back.Fail(func(op string) error {
				if n++; n%(4+3*k) == 0 && (op == "commit" || op == "committed") {
					return errors.New("the store is down")
				}
				return nil
			})
		}
		require.Positive(t, failures)
		back.Fail(nil)
		require.NoError(t, ticket.Retire(o.ctx, store, time.Now()))
		var again bytes.Buffer
		_, err := ticket.Export(o.ctx, ticket.ExportConfig{Store: store, Blobs: blobs}, &again)
		require.NoError(t, err)
		require.Equal(t, contents(export), contents(again.String()))
	})
}

func TestAPortalIsImportedOnlyWhereNothingIs(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Subject", "text")
		o.retire()
		export, other := o.export(), o.export()
		require.ErrorIs(t, importInto(o.cfg.Store, nil, strings.NewReader(export)), ticket.ErrNotEmpty)

		back := memstore.New()
		store := back.Portal("main")
		require.ErrorIs(t, importInto(store, nil, strings.NewReader(export[:len(export)/2])), ticket.ErrBadExport)
		require.ErrorIs(t, importInto(store, nil, strings.NewReader(other)), ticket.ErrNotEmpty, "half of another is there")
		require.ErrorIs(t, ticket.Retire(o.ctx, store, time.Now()), ticket.ErrImporting)
		require.NoError(t, importInto(store, nil, strings.NewReader(export)))
		require.NoError(t, importInto(store, nil, strings.NewReader(export)), "it is in, and that does nothing")
		require.ErrorIs(t, importInto(store, nil, strings.NewReader(other)), ticket.ErrNotEmpty)
		require.NoError(t, importInto(back.Portal("other"), nil, strings.NewReader(export)), "portals do not meet")
	})
}

func TestABadExportIsRefusedWithItsLine(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, mail("mai@c.example", "1"))
		it.Raw = channel.Bytes("more than ten bytes")
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		o.settle()
		o.retire()
		good := o.export()
		head, _, _ := strings.Cut(good, "\n")
		swap := func(old, other string) string {
			require.Contains(t, good, old)
			return strings.Replace(good, old, other, 1)
		}
		for name, tc := range map[string]struct{ stream, want string }{
			"empty":               {"", "line 1: the export is cut off"},
			"no export":           {"PK\x03\x04\n", "line 1: it is not the beginning"},
			"a later version":     {swap(`"version":1`, `"version":2`), "line 1: version 2 is not known"},
			"cut off":             {good[:len(good)-30], "the export is cut off"},
			"without an end":      {good[:strings.LastIndex(good, `{"end"`)], "the export is cut off"},
			"more after the end":  {good + "{}\n", "more after the end"},
			"changed":             {swap(`mai@c.example`, `may@c.example`), "checksum"},
			"rubbish":             {head + "\nrubbish\n", "line 2: invalid character"},
			"an unknown thing":    {head + "\n" + `{"price":{}}` + "\n", `line 2: json: unknown field "price"`},
			"an unknown field":    {head + "\n" + `{"contact":{"id":"a","age":7}}` + "\n", `line 2: json: unknown field "age"`},
			"nothing":             {head + "\n{}\n", "line 2: it holds 0 things"},
			"two things":          {head + "\n" + `{"contact":{"id":"a"},"event":{"id":"a","cursor":1}}` + "\n", "line 2: it holds 2 things"},
			"no id":               {head + "\n" + `{"contact":{}}` + "\n", "line 2: there is no id"},
			"two objects":         {head + "\n" + `{"contact":{"id":"a"}}{}` + "\n", "line 2: more than one object"},
			"a number left out":   {head + "\n" + `{"ticket":{"id":"a","number":2}}` + "\n", "line 2: ticket number 2 after 0"},
			"an event left out":   {head + "\n" + `{"event":{"id":"a","cursor":2}}` + "\n", "line 2: event 2 after 0"},
			"a short key":         {head + "\n" + `{"key":{"key":"00","kind":"item","id":"a"}}` + "\n", "line 2: a key is 64"},
			"a negative counter":  {head + "\n" + `{"counter":{"name":"a","value":-1}}` + "\n", `line 2: counter "a" is -1`},
			"an automatic reply":  {head + "\n" + `{"work":{"id":"a","kind":"auto_reply"}}` + "\n", "line 2: work of kind auto_reply"},
			"a waiting item":      {head + "\n" + `{"item":{"id":"a","disposition":"waiting"}}` + "\n", "line 2: item a waits"},
			"a mark of a move":    {head + "\n" + `{"record":{"kind":"move","id":"retired"}}` + "\n", "line 2: a record of kind"},
			"a chunk of nothing":  {head + "\n" + `{"chunk":"AAAA"}` + "\n", "line 2: a chunk of no blob"},
			"a chunk too long":    {head + "\n" + `{"blob":{"id":"a","size":1}}` + "\n" + `{"chunk":"AAAA"}` + "\n", "line 3: it is no chunk"},
			"a chunk is missing":  {head + "\n" + `{"blob":{"id":"a","size":1}}` + "\n" + `{"contact":{"id":"a"}}` + "\n", "line 3: it is no chunk"},
			"a body cut short":    {head + "\n" + `{"body":{"id":"a","size":4}}` + "\n" + `{"chunk":"AAAA"}` + "\n" + `{"contact":{"id":"a"}}` + "\n", "line 4: it is no chunk"},
			"a body in two forms": {head + "\n" + `{"body":{"id":"a","size":4,"data":"AAAA"}}` + "\n", "line 2: a body of size 4 with 3 bytes"},
			"a negative body":     {head + "\n" + `{"body":{"id":"a","size":-4}}` + "\n", "line 2: a body of size -4"},
			"a body for no store": {head + "\n" + `{"body":{"id":"a","size":1073741825}}` + "\n" + `{"chunk":"AAAA"}` + "\n", "line 2: a body of 1073741825 bytes"},
			"a blob without size": {head + "\n" + `{"blob":{"id":"a","size":-1}}` + "\n", "line 2: a blob without"},
		} {
			store := memstore.New().Portal("main")
			err := importInto(store, memstore.NewBlobs(), strings.NewReader(tc.stream))
			require.ErrorIs(t, err, ticket.ErrBadExport, name)
			require.ErrorContains(t, err, tc.want, name)
		}
		twice := head + "\n" + strings.Repeat(`{"contact":{"id":"a"}}`+"\n", 2) + good[strings.LastIndex(good, `{"end"`):]
		err := importInto(memstore.New().Portal("main"), memstore.NewBlobs(), strings.NewReader(twice))
		require.ErrorIs(t, err, ticket.ErrBadExport)
		require.ErrorContains(t, importInto(memstore.New().Portal("main"), nil, strings.NewReader(good)), "Blobs is nil")
		require.NoError(t, importInto(memstore.New().Portal("main"), memstore.NewBlobs(), strings.NewReader(good)))
	})
}

func FuzzImport(f *testing.F) {
	head := `{"format":"anteroom.portal","version":1,"id":"x","at":"2026-01-01T00:00:00Z","blobs":true}` + "\n"
	f.Add([]byte(head))
	f.Add([]byte(head + `{"blob":{"id":"a","size":3}}` + "\n" + `{"chunk":"AAAA"}` + "\n" + `{"contact":{"id":"a"}}` + "\n"))
	f.Add([]byte(head + `{"end":{"lines":1,"sha256":"1f6a2e16a7dc8a55e1e7d1ee37a8ccfb7d7ff41ad13d8b4f0a7e1e1f2d9c8d47"}}` + "\n"))
	f.Add([]byte(head + `{"body":{"id":"a","size":3}}` + "\n" + `{"chunk":"AAAA"}` + "\n" + `{"contact":{"id":"a"}}` + "\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		store := memstore.New().Portal("main")
		if importInto(store, memstore.NewBlobs(), bytes.NewReader(stream)) == nil {
			require.NoError(t, importInto(store, memstore.NewBlobs(), bytes.NewReader(stream)))
		}
	})
}

func TestAnImportWritesOverNoBlob(t *testing.T) {
	inOffice(t, sealedWithBlobs, func(o *office) {
		o.lived()
		blobs := o.blobs()
		require.NotEmpty(t, blobs)
		o.retire()
		export := o.export()
		require.NoError(t, importInto(memstore.New().Portal("main"), o.cfg.Blobs, strings.NewReader(export)), "they are there, and the same")
		other := memstore.NewBlobs()
		_, err := other.Put(o.ctx, blobs[0], strings.NewReader("another portal's"))
		require.NoError(t, err)
		require.ErrorIs(t, importInto(memstore.New().Portal("main"), other, strings.NewReader(export)), ticket.ErrNotEmpty)
		r, err := other.Open(o.ctx, blobs[0])
		require.NoError(t, err)
		defer r.Close()
		left, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "another portal's", string(left))
	})
}
