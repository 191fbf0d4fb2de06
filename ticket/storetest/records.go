package storetest

import (
	"fmt"

	"github.com/anteroom/anteroom/ticket"
)

func recordChecks() []check {
	return []check{
		{"records are kept, listed by kind, changed and deleted", func(k *kit) {
			a := &ticket.Record{Kind: "agent", ID: "an", Doc: []byte("\x00\xff{}")}
			b := &ticket.Record{Kind: "agent", ID: "binh", Doc: []byte{}}
			q := &ticket.Record{Kind: "queue", ID: "an", Doc: []byte("q")}
			k.commit(&ticket.Changes{Records: []*ticket.Record{a, b, q}})
			refA, refB := ticket.RecordRef{Kind: "agent", ID: "an"}, ticket.RecordRef{Kind: "agent", ID: "binh"}
			all := ticket.Want{Kinds: []ticket.RecordKind{"agent", "absent"}}
			k.same("agents", k.read(all).Records, map[ticket.RecordRef]*ticket.Record{refA: a, refB: b})
			one := ticket.Want{Records: []ticket.RecordRef{refA, {Kind: "queue", ID: "binh"}}}
			k.same("an", k.read(one).Records, map[ticket.RecordRef]*ticket.Record{refA: a})
			a.Doc = []byte("changed")
			k.commit(&ticket.Changes{Records: []*ticket.Record{a}})
			k.same("an", k.read(one).Records, map[ticket.RecordRef]*ticket.Record{refA: a})
			k.commit(&ticket.Changes{Records: []*ticket.Record{{Kind: "agent", ID: "an", Revision: 2}}})
			k.same("agents without an", k.read(all).Records, map[ticket.RecordRef]*ticket.Record{refB: b})
			again := &ticket.Record{Kind: "agent", ID: "an", Doc: []byte("again")}
			k.commit(&ticket.Changes{Records: []*ticket.Record{again}})
			k.must(again.Revision == 1, "a record made again has revision %d", again.Revision)
		}},
		{"records of a kind are read a page at a time, in the order of their bytes", func(k *kit) {
			ids := []string{"", " ", "10", "2", "B", "a", "a b", "ab", "é", "\U0001F600"}
			c := &ticket.Changes{Records: []*ticket.Record{{Kind: "page", ID: "0", Doc: []byte("other")}, {Kind: "pages", ID: "0", Doc: []byte("other")}}}
			all := map[ticket.RecordRef]*ticket.Record{}
			for i := range ids {
				id := ids[len(ids)-1-i]
				r := &ticket.Record{Kind: "parked", ID: id, Doc: []byte(id)}
				all[ticket.RecordRef{Kind: r.Kind, ID: id}] = r
				c.Records = append(c.Records, r)
			}
			k.commit(c)
			read := func(after string, limit int) map[ticket.RecordRef]*ticket.Record {
				return k.read(ticket.Want{Range: ticket.RecordRange{Kind: "parked", After: after, Limit: limit}}).Records
			}
			for at := range ids {
				for _, limit := range []int{0, 1, 3, len(ids) + 1} {
					want := map[ticket.RecordRef]*ticket.Record{}
					for _, id := range ids[at+1 : min(len(ids), at+1+limit)] {
						ref := ticket.RecordRef{Kind: "parked", ID: id}
						want[ref] = all[ref]
					}
					k.same(fmt.Sprintf("%d records after %q", limit, ids[at]), read(ids[at], limit), want)
				}
			}
			k.must(len(read("A", 3)) == 3 && read("A", 1)[ticket.RecordRef{Kind: "parked", ID: "B"}] != nil, "after an id that is not there: %s", show(read("A", 3)))
			k.must(len(read("", -1)) == 0, "a negative limit gives %s", show(read("", -1)))
			k.must(len(k.read(ticket.Want{Range: ticket.RecordRange{Limit: 5}}).Records) == 0, "a range without a kind has records")
			beside := ticket.Want{Range: ticket.RecordRange{Kind: "parked", After: "é", Limit: 1}, Records: []ticket.RecordRef{{Kind: "page", ID: "0"}}}
			k.must(len(k.read(beside).Records) == 2, "a range beside a record: %s", show(k.read(beside).Records))
			beside = ticket.Want{Range: ticket.RecordRange{Kind: "parked", Limit: 2}, Keys: []ticket.Key{ticket.NewKey("none")}}
			k.must(len(k.read(beside).Records) == 2, "a range beside a key: %s", show(k.read(beside).Records))
		}},
		{"a record is not deleted at a stale revision", func(k *kit) {
			a := &ticket.Record{Kind: "agent", ID: "an", Doc: []byte("a")}
			k.commit(&ticket.Changes{Records: []*ticket.Record{a}})
			k.commit(&ticket.Changes{Records: []*ticket.Record{a}})
			for _, rev := range []int64{0, 1, 3} {
				k.refuse(&ticket.Changes{Records: []*ticket.Record{{Kind: "agent", ID: "an", Revision: rev}}}, ticket.ErrConflict, "deleted")
			}
			k.refuse(&ticket.Changes{Records: []*ticket.Record{{Kind: "agent", ID: "absent", Revision: 1}}}, ticket.ErrConflict, "deleted")
			k.must(len(k.read(ticket.Want{Kinds: []ticket.RecordKind{"agent"}}).Records) == 1, "it is gone")
		}},
		{"bodies are added and dropped", func(k *kit) {
			a, b := ticket.BodyID(k.id()), ticket.BodyID(k.id())
			want := ticket.Want{Bodies: []ticket.BodyID{a, b, ticket.BodyID(k.id())}}
			bytes := make([]byte, 256*3)
			for i := range bytes {
				bytes[i] = byte(i)
			}
			k.commit(&ticket.Changes{Bodies: []ticket.StoredBody{{ID: a, Data: bytes}, {ID: b}}})
			got := k.read(want).Bodies
			k.must(len(got) == 2 && string(got[a]) == string(bytes) && len(got[b]) == 0, "bodies: %s", show(got))
			k.commit(&ticket.Changes{DropBodies: []ticket.BodyID{a, ticket.BodyID(k.id())}})
			got = k.read(want).Bodies
			_, there := got[b]
			k.must(len(got) == 1 && there, "bodies after one was dropped: %s", show(got))
		}},
	}
}
