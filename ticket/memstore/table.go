package memstore

import (
	"slices"
)

// indexKey is one entry of a secondary index: a field and its value. The zero
// indexKey is no entry.
type indexKey struct {
	field byte
	value string
}

// Fields of secondary indexes.
const (
	byTicket byte = iota + 1
	byConversation
	byContact
	byMessage
	byQueue
	byAssignee
	byWaiting // queue, of what waits
)

// table keeps rows by id, in the order of ids, and under the keys that index
// returns. Rows are never changed once they are in: they are replaced.
type table[K ~string, V any] struct {
	rows  map[K]*V
	order []K
	by    map[indexKey][]K
	index func(*V) [4]indexKey
}

func newTable[K ~string, V any](index func(*V) [4]indexKey) *table[K, V] {
	return &table[K, V]{rows: map[K]*V{}, by: map[indexKey][]K{}, index: index}
}

// put sets the row of id to v, or removes it when v is nil. It returns the row
// before, with which put undoes the change.
func (t *table[K, V]) put(id K, v *V) (before *V) {
	before = t.rows[id]
	var oldKeys, newKeys [4]indexKey
	if before != nil {
		oldKeys = t.index(before)
	}
	if v != nil {
		newKeys = t.index(v)
		t.rows[id] = v
		if before == nil {
			t.order = insert(t.order, id)
		}
	} else if before != nil {
		delete(t.rows, id)
		t.order = remove(t.order, id)
	}
	if oldKeys == newKeys {
		return before
	}
	for _, k := range oldKeys {
		if k.field == 0 {
			continue
		}
		if ids := remove(t.by[k], id); len(ids) > 0 {
			t.by[k] = ids
		} else {
			delete(t.by, k)
		}
	}
	for _, k := range newKeys {
		if k.field != 0 {
			t.by[k] = insert(t.by[k], id)
		}
	}
	return before
}

func insert[K ~string](ids []K, id K) []K {
	if n := len(ids); n == 0 || ids[n-1] < id {
		return append(ids, id)
	}
	i, found := slices.BinarySearch(ids, id)
	if found {
		return ids
	}
	return slices.Insert(ids, i, id)
}

func remove[K ~string](ids []K, id K) []K {
	if i, found := slices.BinarySearch(ids, id); found {
		return slices.Delete(ids, i, i+1)
	}
	return ids
}

// among returns the ids to look at for a filter: of the given keys that have a
// value, the one with the fewest ids; all ids if none has one.
func (t *table[K, V]) among(keys ...indexKey) []K {
	ids, narrowed := t.order, false
	for _, k := range keys {
		if k.value == "" {
			continue
		}
		if c := t.by[k]; !narrowed || len(c) < len(ids) {
			ids, narrowed = c, true
		}
	}
	return ids
}
