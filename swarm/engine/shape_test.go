package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// machines are the parts of the engine that know neither it nor one another, each
// with its files. They may use what vocabulary declares.
var machines = map[string][]string{
	"blame":  {"blame.go"},
	"choker": {"choke.go", "stalled.go"},
	// Addresses of peers: bans, and the limits on unproven ones.
	"book":     {"candidates.go", "bans.go", "unproven.go"},
	"layers":   {"layers.go"},
	"metadata": {"metadata.go"},
	"picker":   {"picker.go"},
	"focus":    {"focus.go"},
	"slots":    {"slots.go"},
	// What is thought of a peer, for the requester.
	"standing":     {"standing.go"},
	"super-seeder": {"super.go"},
}

// vocabulary is the files whose declarations every machine may use.
var vocabulary = []string{"api.go"}

// Each machine refers to its own files, the vocabulary and imports alone, and its
// methods are of its own types.
func TestMachinesReferToNobody(t *testing.T) {
	fset := token.NewFileSet()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	declared := map[string]string{} // name -> file
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
		for object := range f.Scope.Objects {
			declared[object] = name
		}
	}
	if declared["Engine"] == "" || declared["peer"] == "" {
		t.Fatal("the declarations of the package are not found")
	}
	for machine, own := range machines {
		allowed := append(slices.Clone(own), vocabulary...)
		for _, name := range own {
			f := files[name]
			if f == nil {
				t.Errorf("%s: there is no %s", machine, name)
				continue
			}
			// What is declared neither in this file nor in the universe.
			for _, id := range f.Unresolved {
				if where := declared[id.Name]; where != "" && !slices.Contains(allowed, where) {
					t.Errorf("%s: %s refers to %s of %s", machine, fset.Position(id.Pos()), id.Name, where)
				}
			}
		}
	}
}
