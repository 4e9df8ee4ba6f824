package engine

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// machine is a part of the engine that knows neither the engine nor other machines.
type machine struct {
	files []string
	parts []string // machines that it consists of
}

// machines may use the declarations in vocabulary.
var machines = map[string]machine{
	"blame":  {files: []string{"blame.go"}},
	"choker": {files: []string{"choke.go", "merit.go", "stalled.go"}},
	// Addresses of peers: candidates, bans, and the limits on unproven ones.
	"book":     {files: []string{"candidates.go", "dialing.go", "ownaddr.go", "network.go", "priority.go", "bans.go", "unproven.go", "punchable.go"}},
	"layers":   {files: []string{"layers.go"}},
	"metadata": {files: []string{"metadata.go"}},
	"requester": {
		files: []string{"requester.go", "holdings.go", "request.go", "outstanding.go", "pieces.go", "verified.go",
			"parole.go", "weak.go", "scarce.go", "steal.go", "focused.go", "order.go", "late.go", "keep.go"},
		parts: []string{"picker", "slots", "focus", "standing", "keeper"},
	},
	"picker": {files: []string{"picker.go"}},
	"focus":  {files: []string{"focus.go"}},
	"slots":  {files: []string{"slots.go"}},
	// The blocks of an earlier version.
	"keeper": {files: []string{"keeper.go"}},
	// Ratings of peers as sources of blocks.
	"standing":     {files: []string{"standing.go"}},
	"super-seeder": {files: []string{"super.go"}, parts: []string{"stride"}},
	// The order in which a seed offers pieces.
	"stride": {files: []string{"stride.go"}},
	// Limits of hole punching.
	"puncher": {files: []string{"puncher.go"}},
	// Which items of publications are sent and looked at.
	"pusher": {files: []string{"pusher.go"}},
	// In what order blocks are sent, and to which peer a seed sends new pieces.
	"uploader": {files: []string{"uploader.go"}},
	"spread":   {files: []string{"spread.go"}, parts: []string{"uploader", "stride"}},
}

// vocabulary lists the files whose declarations every machine may use.
var vocabulary = []string{"api.go", "events.go", "commands.go", "counts.go"}

// Each machine refers only to its own files, its parts, the vocabulary and imports,
// including fields and methods.
func TestMachinesReferToNothingElse(t *testing.T) {
	p := checkPackage(t, nil)
	for name, m := range machines {
		for _, use := range p.foreignUses(m) {
			t.Errorf("%s: %s", name, use)
		}
		for _, file := range m.files {
			if p.files[file] == nil {
				t.Errorf("%s: file %s does not exist", name, file)
			}
		}
	}
}

// Code outside the machines does not write their fields; it calls methods and reads.
func TestOnlyMachinesWriteTheirFields(t *testing.T) {
	p := checkPackage(t, nil)
	owned := map[string]string{}
	for name, m := range machines {
		for _, file := range m.files {
			owned[file] = name
		}
	}
	for file, f := range p.files {
		if owned[file] != "" {
			continue
		}
		for _, id := range writtenFields(f) {
			if owner := owned[p.declaredIn(p.info.Uses[id])]; owner != "" {
				t.Errorf("%s writes %s, a field of %s", p.fset.Position(id.Pos()), id.Name, owner)
			}
		}
	}
}

// The checks of the two tests above must find violations.
func TestUsesAcrossMachinesAreFound(t *testing.T) {
	const source = `package engine
func (c *choker) reach(s chokeAdapter) int {
	s.e.now++
	p := s.e.conns[1]
	return p.down.nHas
}`
	p := checkPackage(t, map[string]string{"reach.go": source})
	m := machines["choker"]
	m.files = append(slices.Clone(m.files), "reach.go")
	seen := strings.Join(p.foreignUses(m), "\n")
	for _, name := range []string{"chokeAdapter", "e", "now", "conns", "down", "nHas"} {
		if !strings.Contains(seen, " "+name+" of ") {
			t.Errorf("the use of %s was not found in:\n%s", name, seen)
		}
	}
	if ids := writtenFields(p.files["reach.go"]); len(ids) != 1 || ids[0].Name != "now" {
		t.Errorf("written fields: %v", ids)
	}
}

// checked is the package with type information.
type checked struct {
	fset  *token.FileSet
	files map[string]*ast.File // without tests
	info  types.Info
	pkg   *types.Package
}

// checkPackage resolves every name in the package and in extra files.
func checkPackage(t *testing.T, extra map[string]string) *checked {
	t.Helper()
	p := &checked{fset: token.NewFileSet(), files: map[string]*ast.File{}, info: types.Info{Uses: map[*ast.Ident]types.Object{}}}
	parse := func(name string, source any) {
		f, err := parser.ParseFile(p.fset, name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files[name] = f
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			parse(name, nil)
		}
	}
	for name, source := range extra {
		parse(name, source)
	}
	var list []*ast.File
	for _, f := range p.files {
		list = append(list, f)
	}
	config := types.Config{Importer: importer.ForCompiler(p.fset, "gc", exports(t))}
	if p.pkg, err = config.Check("seedbed/swarm/engine", p.fset, list, &p.info); err != nil {
		t.Fatal(err)
	}
	if p.declaredIn(p.pkg.Scope().Lookup("Engine")) == "" {
		t.Fatal("the declarations of the package were not found")
	}
	return p
}

var listExports = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".").Output()
})

// exports returns a function that opens the export data of an imported package, as built
// by the go command.
func exports(t *testing.T) func(path string) (io.ReadCloser, error) {
	out, err := listExports()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range bytes.Lines(out) {
		path, file, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// declaredIn returns the file of the package that declares an object, or "".
func (p *checked) declaredIn(o types.Object) string {
	if o == nil || o.Pkg() != p.pkg {
		return ""
	}
	return filepath.Base(p.fset.Position(o.Pos()).Filename)
}

// foreignUses returns the uses in a machine's files that are not allowed.
func (p *checked) foreignUses(m machine) (found []string) {
	allowed := append(slices.Clone(m.files), vocabulary...)
	for _, part := range m.parts {
		allowed = append(allowed, machines[part].files...)
	}
	for id, o := range p.info.Uses {
		at := p.fset.Position(id.Pos())
		if !slices.Contains(m.files, filepath.Base(at.Filename)) {
			continue
		}
		if where := p.declaredIn(o); where != "" && !slices.Contains(allowed, where) {
			found = append(found, fmt.Sprintf("%s refers to %s of %s", at, id.Name, where))
		}
	}
	slices.Sort(found)
	return found
}

// writtenFields returns the last identifier of every selector that is assigned to.
func writtenFields(f *ast.File) (list []*ast.Ident) {
	add := func(x ast.Expr) {
		for {
			index, ok := x.(*ast.IndexExpr)
			if !ok {
				break
			}
			x = index.X
		}
		if s, ok := x.(*ast.SelectorExpr); ok {
			list = append(list, s.Sel)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				add(x)
			}
		case *ast.IncDecStmt:
			add(n.X)
		}
		return true
	})
	return list
}
