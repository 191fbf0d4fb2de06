package sqlitestore

// entry is what a row of the ledger counts.
type entry struct {
	portal                           int64
	day, channel, disposition, cause string
}

// tally is a change of a row.
type tally struct {
	entry
	add int64
}

const ledgerAdd = `INSERT INTO ledger (portal, day, channel, disposition, cause, count) VALUES (?, ?, ?, ?, ?, ?)
	ON CONFLICT DO UPDATE SET count = count + excluded.count`

// writeLedger writes what a transaction has counted. It is done at the end: the
// items of many commits are counted in few rows.
func (t *tx) writeLedger() error {
	sums := map[entry]int64{}
	for _, c := range t.ledger {
		sums[c.entry] += c.add
	}
	for e, n := range sums {
		if n == 0 {
			continue
		}
		if _, err := t.exec(ledgerAdd, e.portal, e.day, e.channel, e.disposition, e.cause, n); err != nil {
			return err
		}
	}
	return nil
}
