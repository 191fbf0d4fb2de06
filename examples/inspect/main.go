// Command inspect shows how the library understands mail: one JSON object a line
// for each mail file named, or for each path on standard input.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
}

// result is one line of the output. Error says only what made it impossible to
// understand the whole.
type result struct {
	File  string `json:"file"`
	Error string `json:"error,omitempty"`
	email.View
}

// run inspects the files, or those named on in. It fails only if it cannot read
// in or write out.
func run(files []string, in io.Reader, out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, f := range files {
		if err := enc.Encode(inspect(f)); err != nil {
			return err
		}
	}
	if len(files) > 0 {
		return nil
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		if err := enc.Encode(inspect(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

// inspect reads one file.
func inspect(path string) result {
	r := result{File: path}
	m, err := email.Read(file(path))
	if err != nil {
		r.Error = err.Error()
	}
	r.View = m.View()
	return r
}

// file is a [channel.Body] on disk.
type file string

// Size returns 0 for a file that cannot be opened; opening it tells why.
func (f file) Size() int64 {
	st, err := os.Stat(string(f))
	if err != nil {
		return 0
	}
	return st.Size()
}

func (f file) Open() (io.ReadCloser, error) {
	r, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	st, err := r.Stat()
	if err == nil && st.IsDir() {
		err = errors.New("is a directory")
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

var _ channel.Body = file("")
