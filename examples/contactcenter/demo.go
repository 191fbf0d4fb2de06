package main

import (
	"context"
	"io"
	"log/slog"
)

func runDemo(ctx context.Context, opts options, log *slog.Logger, stdout io.Writer) error {
	return serve(ctx, opts, log, stdout)
}
