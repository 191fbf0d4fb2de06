package sqlitestore

import (
	"database/sql/driver"
	"fmt"
	"reflect"
)

// column returns v as the driver takes it.
func column(v any) (driver.Value, error) {
	switch v := v.(type) {
	case nil, int64, string, []byte:
		return v, nil
	case int:
		return int64(v), nil
	case *int64:
		if v != nil {
			return *v, nil
		}
	}
	return driver.DefaultParameterConverter.ConvertValue(v)
}

// assign sets what dest points to from the columns of a row.
func assign(dest []any, row []driver.Value) error {
	if len(dest) != len(row) {
		return fmt.Errorf("%d columns for %d variables", len(row), len(dest))
	}
	for i, d := range dest {
		if !assignOne(d, row[i]) {
			return fmt.Errorf("column %d: a %T for a %T", i+1, row[i], d)
		}
	}
	return nil
}

func assignOne(dest any, v driver.Value) bool {
	switch v := v.(type) {
	case int64:
		switch d := dest.(type) {
		case *int64:
			*d = v
		case *int:
			*d = int(v)
		case *bool:
			*d = v != 0
		case **int64:
			*d = &v
		case *string: // of a pragma
			*d = fmt.Sprint(v)
		default:
			return false
		}
		return true
	case string:
		switch d := dest.(type) {
		case *string:
			*d = v
		case *[]byte:
			*d = []byte(v)
		default: // an id, a kind
			e := reflect.ValueOf(dest).Elem()
			if e.Kind() != reflect.String {
				return false
			}
			e.SetString(v)
		}
		return true
	case []byte:
		d, ok := dest.(*[]byte)
		if ok {
			*d = v // the driver's copy, which it gives away
		}
		return ok
	case nil:
		switch d := dest.(type) {
		case *[]byte:
			*d = nil
		case **int64:
			*d = nil
		default:
			return false
		}
		return true
	}
	return false
}
