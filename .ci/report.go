//go:build ignore

// Report reads what go test -json prints and tells it to a person: one line
// a package, the whole output of what failed, why subtests were skipped, and at
// the end how many tests there were, subtests included. It fails when a test or
// a package failed, and when nothing ran.
//
// A suite skips the checks that a thing has no ability for. A whole test is
// skipped only for want of a program, which with ANTEROOM_REQUIRE=all is a
// failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is what go test -json prints a line; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// place is a test, or a package where test is empty.
type place struct{ pkg, test string }

type report struct {
	out                     io.Writer
	output                  map[place]*strings.Builder
	failures                map[string]bool // packages with a test that failed
	reasons                 map[string]int  // why tests were skipped, and how many
	strict                  bool            // to skip a whole test is to fail
	passed, failed, skipped int
}

// logged is a line of t.Log or t.Skip.
var logged = regexp.MustCompile(`(?m)^\s*[\w.-]+\.go:\d+: (.+)$`)

func (r *report) add(e event) {
	at := place{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		if r.output[at] == nil {
			r.output[at] = new(strings.Builder)
		}
		r.output[at].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(at, e.Action)
		} else {
			r.endTest(at, e.Action)
		}
	}
}

func (r *report) endTest(at place, action string) {
	switch {
	case action == "pass":
		r.passed++
	case action == "fail" || r.strict && !strings.Contains(at.test, "/"):
		r.failed++
		r.failures[at.pkg] = true
		r.tell(at)
	default:
		r.skipped++
		reason := "no reason given"
		if lines := logged.FindAllStringSubmatch(r.text(at), -1); len(lines) > 0 {
			reason = lines[len(lines)-1][1]
		}
		r.reasons[reason]++
	}
	delete(r.output, at)
}

// endPackage prints the package's own lines, the last of which is go test's
// verdict. Tests that began and never ended explain why the package failed.
func (r *report) endPackage(at place, action string) {
	if action == "fail" {
		if !r.failures[at.pkg] {
			r.failed++
		}
		for other := range r.output {
			if other.pkg == at.pkg && other.test != "" {
				r.tell(other)
			}
		}
		r.tell(at)
	} else if text := strings.TrimRight(r.text(at), "\n"); text != "" {
		fmt.Fprintln(r.out, text[strings.LastIndexByte(text, '\n')+1:])
	}
	for other := range r.output {
		if other.pkg == at.pkg {
			delete(r.output, other)
		}
	}
}

func (r *report) tell(at place) { fmt.Fprint(r.out, r.text(at)) }

func (r *report) text(at place) string {
	if b := r.output[at]; b != nil {
		return b.String()
	}
	return ""
}

func main() {
	r := &report{
		out:      os.Stdout,
		output:   make(map[place]*strings.Builder),
		failures: make(map[string]bool),
		reasons:  make(map[string]int),
		strict:   os.Getenv("ANTEROOM_REQUIRE") == "all",
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Print(line) // what go itself says, such as of modules
		default:
			r.add(e)
		}
		if err != nil {
			break
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		fmt.Printf("skipped %d: %s\n", r.reasons[reason], reason)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 || r.passed == 0 {
		os.Exit(1)
	}
}
