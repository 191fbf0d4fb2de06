package channel_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	project = "github.com/anteroom/anteroom"
	root    = ".." // of the module, seen from this package
)

// listed is what go list tells of a package.
type listed struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	Deps         []string // what it imports, directly or not; tests left out
	TestImports  []string
	XTestImports []string
}

// modules is what the module consists of and stands on, by import path.
type modules map[string]*listed

// rule says which packages must never be reached from which others, tests left out.
type rule struct {
	fact  string
	of    func(string) bool // the packages of the project it binds
	never func(string) bool // the import paths they must not reach
}

// rules holds the directions in which dependencies may point; see the design
// record in package ticket.
func rules(all modules) []rule {
	standard := func(path string) bool { return all[path] != nil && all[path].Standard }
	ours := below("")
	return []rule{
		{
			"channel and routing import the standard library only",
			exactly("channel", "routing"), not(standard),
		},
		{
			"what is below channel imports nothing else of the project",
			below("channel"), both(ours, not(below("channel"))),
		},
		{
			"what is below routing imports nothing else of the project",
			below("routing"), both(ours, not(below("routing"))),
		},
		{
			"email imports channel and never ticket, routing or facebook",
			below("email"), both(ours, not(below("channel", "email"))),
		},
		{
			"facebook imports channel and never ticket, routing or email",
			below("facebook"), both(ours, not(below("channel", "facebook"))),
		},
		{
			"ticket and its stores import channel and routing and never a concrete channel",
			below("ticket"), both(ours, not(below("channel", "routing", "ticket"))),
		},
		{
			"nothing imports the examples",
			both(ours, not(below("examples"))), below("examples"),
		},
		{
			"assertion and mocking libraries are for tests only, and a test kit is not a test",
			ours, under(
				"github.com/stretchr/testify", "pgregory.net/rapid", "github.com/google/go-cmp",
				"go.uber.org/mock", "github.com/golang/mock", "gotest.tools", "github.com/onsi",
			),
		},
		{
			"only test kits, and the examples that play with them, carry package testing",
			both(ours, not(kit), not(below("examples"))), exactlyPath("testing"),
		},
		{
			"only email/account carries the IMAP client",
			both(ours, not(below("email/account", "examples"))), under("github.com/emersion/go-imap"),
		},
		{
			"only email/gmail carries the Google client; ticket/bucket no more of it than the types of its errors",
			both(ours, not(below("email/gmail", "ticket/bucket", "examples"))), under("google.golang.org/api", "google.golang.org/grpc"),
		},
		{
			"ticket/bucket carries no client of any object store: a host chooses its driver",
			below("ticket/bucket"), under(
				"gocloud.dev/blob/s3blob", "gocloud.dev/blob/gcsblob", "gocloud.dev/blob/azureblob",
				"github.com/aws", "github.com/Azure", "cloud.google.com", "google.golang.org/api/storage",
				"google.golang.org/api/transport",
			),
		},
		{
			"only ticket/sqlitestore, and what its tests put under it, carries SQLite",
			both(ours, not(below("ticket/sqlitestore", "ticket/internal/powervfs", "examples"))), under("modernc.org/sqlite", "modernc.org/libc"),
		},
		{
			"only ticket/pgstore carries the PostgreSQL client",
			both(ours, not(below("ticket/pgstore", "examples"))), under("github.com/jackc"),
		},
		{
			"only ticket/bucket carries the interface to object stores",
			both(ours, not(below("ticket/bucket", "examples"))), under("gocloud.dev"),
		},
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	all := list(t)
	for _, path := range []string{"channel", "email", "routing", "ticket"} {
		require.Contains(t, all, project+"/"+path, "go list saw another module, or a part of it")
	}
	for _, r := range rules(all) {
		t.Run(r.fact, func(t *testing.T) {
			t.Parallel()
			for path, p := range all {
				if !r.of(path) {
					continue
				}
				if i := slices.IndexFunc(p.Deps, r.never); i >= 0 {
					t.Errorf("%s", strings.Join(all.way(path, p.Deps[i]), "\n\timports "))
				}
			}
		})
	}
}

func TestTestsDoNotImportExamples(t *testing.T) {
	t.Parallel()
	examples := below("examples")
	for path, p := range list(t) {
		if examples(path) {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			require.False(t, examples(imported), "the tests of %s import %s", path, imported)
		}
	}
}

func TestNothingIsGlobal(t *testing.T) {
	t.Parallel()
	files := sources(t)
	require.NotEmpty(t, files)

	t.Run("no package registers or prepares anything in init", func(t *testing.T) {
		t.Parallel()
		for path, file := range files {
			for _, decl := range file.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s has an init function", path)
				}
			}
		}
	})
	t.Run("the only exported variables are sentinel errors", func(t *testing.T) {
		t.Parallel()
		for path, file := range files {
			for name := range variables(file) {
				if name.IsExported() && !strings.HasPrefix(name.Name, "Err") {
					t.Errorf("%s exports the variable %s, which anybody can set", path, name)
				}
			}
		}
	})
	t.Run("no variable of a package waits to be given its value", func(t *testing.T) {
		t.Parallel()
		for path, file := range files {
			for name, given := range variables(file) {
				if !given {
					t.Errorf("%s declares the variable %s without a value", path, name)
				}
			}
		}
	})
}

// list returns the packages of the module and all that they import.
func list(t *testing.T) modules {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Standard,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go list: %s", &stderr)

	all := make(modules)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all[p.ImportPath] = &p
	}
}

// way returns a shortest chain of imports between two packages.
func (all modules) way(from, to string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == to {
			break
		}
		for _, next := range all[queue[0]].Imports {
			if _, seen := came[next]; !seen && all[next] != nil {
				came[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	var chain []string
	for path := to; path != ""; path = came[path] {
		chain = append(chain, path)
	}
	slices.Reverse(chain)
	return chain
}

// sources parses every file of the module that is not a test's, by path.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || name != root && strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		files[path] = file
		return err
	})
	require.NoError(t, err)
	return files
}

// variables returns the variables of a file's package level and whether each
// has a value from the start; the compiler gives embedded files theirs.
func variables(file *ast.File) map[*ast.Ident]bool {
	found := make(map[*ast.Ident]bool)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			value := spec.(*ast.ValueSpec)
			given := len(value.Values) > 0 || embeds(gen.Doc) || embeds(value.Doc)
			for _, name := range value.Names {
				found[name] = given
			}
		}
	}
	return found
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// kit reports whether a package is one of the public test kits.
func kit(path string) bool { return below("")(path) && strings.HasSuffix(path, "test") }

// below matches folders of the project and all in them; "" is the project.
func below(folders ...string) func(string) bool {
	paths := make([]string, len(folders))
	for i, folder := range folders {
		paths[i] = strings.TrimSuffix(project+"/"+folder, "/")
	}
	return under(paths...)
}

// exactly matches packages of the project and nothing in them.
func exactly(folders ...string) func(string) bool {
	return func(path string) bool {
		folder, ok := strings.CutPrefix(path, project+"/")
		return ok && slices.Contains(folders, folder)
	}
}

func exactlyPath(path string) func(string) bool {
	return func(other string) bool { return other == path }
}

// under matches import paths and all below them.
func under(paths ...string) func(string) bool {
	return func(path string) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			return path == p || strings.HasPrefix(path, p+"/")
		})
	}
}

func not(match func(string) bool) func(string) bool {
	return func(path string) bool { return !match(path) }
}

func both(matches ...func(string) bool) func(string) bool {
	return func(path string) bool {
		return !slices.ContainsFunc(matches, func(match func(string) bool) bool { return !match(path) })
	}
}
