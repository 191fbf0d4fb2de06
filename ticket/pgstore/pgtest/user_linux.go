package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"strconv"
	"syscall"
)

// immediately ends PostgreSQL without a checkpoint.
const immediately = syscall.SIGQUIT

// user is whom the servers run as: they refuse to run as root.
type user struct {
	root     bool
	uid, gid int
}

func unprivileged() (user, error) {
	if os.Geteuid() != 0 {
		return user{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			continue
		}
		gid, err := strconv.Atoi(u.Gid)
		if err == nil {
			return user{root: true, uid: uid, gid: gid}, nil
		}
	}
	return user{}, fmt.Errorf("there is no user but root to run PostgreSQL as")
}

// own gives files to the user.
func (u user) own(paths ...string) error {
	if !u.root {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, u.uid, u.gid); err != nil {
			return err
		}
	}
	return nil
}

func (u user) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if u.root {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
	}
}
