package dirblob_test

import "flag"

var powerPoints = flag.Int("power.points", 60, "moments at which the tests lose power")
