package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// binaries returns the folder of PostgreSQL's programs, the newest of several,
// "" if there is none.
func binaries() string {
	const oldest = 15
	best, found := oldest-1, ""
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	for _, p := range dirs {
		dir := filepath.Dir(p)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && v > best {
			best, found = v, dir
		}
	}
	if found != "" {
		return found
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

// process is a server that we started.
type process struct {
	cmd     *exec.Cmd
	ended   chan struct{}
	logFile string
}

// run runs a program to its end.
func (u user) run(dir, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // found by us
	cmd.Dir = dir
	u.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, out)
	}
	return nil
}

// start starts a program that goes on. It ends with us, however we end, where
// the system can do that.
func (u user) start(dir, logName, program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(context.Background(), program, args...) //nolint:gosec // found by us
	p := &process{cmd: cmd, ended: make(chan struct{}), logFile: filepath.Join(dir, logName)}
	f, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, f, f
	u.apply(p.cmd)
	started := make(chan error, 1)
	go func() {
		// The death of the thread that started it would end it.
		runtime.LockOSThread()
		defer close(p.ended)
		defer func() { _ = f.Close() }()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) log() string {
	b, _ := os.ReadFile(p.logFile)
	return string(b)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the process by a signal.
func (p *process) stop(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(startTime):
		p.kill()
		return errors.New("it had to be killed")
	}
}
