//go:build !linux

package pgtest

import (
	"errors"
	"os"
	"os/exec"
)

// immediately ends the servers.
var immediately = os.Interrupt

// user is whom the servers run as.
type user struct{}

func unprivileged() (user, error) {
	return user{}, errors.New("PostgreSQL is started for tests on Linux only")
}

func (user) own(...string) error { return nil }

func (user) apply(*exec.Cmd) {}
