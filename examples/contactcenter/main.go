package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code: 0, 1 when it could not start
// or serve, 2 when it was called wrongly.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "contactcenter:", err)
		return 2
	}
	level := slog.LevelInfo
	if opts.demo {
		level = slog.LevelError // the table is for people to watch
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	switch {
	case opts.demo:
		err = runDemo(ctx, opts, log, stdout)
	case opts.moves():
		err = move(ctx, opts, log, os.Stdin, stdout)
	default:
		err = serve(ctx, opts, log, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "contactcenter:", err)
		return 1
	}
	return 0
}

// serve runs the host until ctx ends.
func serve(ctx context.Context, opts options, log *slog.Logger, stdout io.Writer) error {
	h, err := openHost(ctx, opts, log)
	if err != nil {
		return err
	}
	return h.serve(ctx, func() error { return h.sayReady(stdout) })
}
