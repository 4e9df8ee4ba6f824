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

// A machine is a part of the engine that knows neither the engine nor other machines.
type machine struct {
	files []string
	parts []string // machines that it is composed of
}

// machines may use what vocabulary declares.
var machines = map[string]machine{
	"blame":  {files: []string{"blame.go"}},
	"choker": {files: []string{"choke.go", "merit.go", "stalled.go"}},
	// Addresses of peers: bans, and the limits on unproven ones.
	"book":     {files: []string{"candidates.go", "bans.go", "unproven.go"}},
	"layers":   {files: []string{"layers.go"}},
	"metadata": {files: []string{"metadata.go"}},
	"requester": {
		files: []string{"requester.go", "holdings.go", "request.go", "lease.go", "pieces.go", "verified.go",
			"parole.go", "weak.go", "scarce.go", "steal.go", "focused.go"},
		parts: []string{"picker", "slots", "focus", "standing"},
	},
	"picker": {files: []string{"picker.go"}},
	"focus":  {files: []string{"focus.go"}},
	"slots":  {files: []string{"slots.go"}},
	// What is thought of a peer as a source of blocks.
	"standing":     {files: []string{"standing.go"}},
	"super-seeder": {files: []string{"super.go"}, parts: []string{"stride"}},
	// The order in which a seed offers pieces.
	"stride": {files: []string{"stride.go"}},
	// In what order blocks are sent, and to whom a seed sends what nobody has.
	"uploader": {files: []string{"uploader.go"}},
	"spread":   {files: []string{"spread.go"}, parts: []string{"uploader", "stride"}},
}

// vocabulary is the files whose declarations every machine may use.
var vocabulary = []string{"api.go"}

// Each machine refers to its own files, its parts, the vocabulary and imports alone:
// by names, and by fields and methods too.
func TestMachinesReferToNobody(t *testing.T) {
	p := checkPackage(t, nil)
	for name, m := range machines {
		for _, use := range p.foreignUses(m) {
			t.Errorf("%s: %s", name, use)
		}
		for _, file := range m.files {
			if p.files[file] == nil {
				t.Errorf("%s: there is no %s", name, file)
			}
		}
	}
}

// Whoever is not a machine leaves the fields of machines to them: it calls methods and
// reads.
func TestNobodyWritesFieldsOfMachines(t *testing.T) {
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

// What the two tests above say is worth something only if the checks see a reach across.
func TestReachesAcrossAreSeen(t *testing.T) {
	const source = `package engine
func (c *choker) reach(s chokes) int {
	s.e.now++
	p := s.e.conns[1]
	return p.down.nHas
}`
	p := checkPackage(t, map[string]string{"reach.go": source})
	m := machines["choker"]
	m.files = append(slices.Clone(m.files), "reach.go")
	seen := strings.Join(p.foreignUses(m), "\n")
	for _, name := range []string{"chokes", "e", "now", "conns", "down", "nHas"} {
		if !strings.Contains(seen, " "+name+" of ") {
			t.Errorf("the use of %s is not seen in:\n%s", name, seen)
		}
	}
	if ids := writtenFields(p.files["reach.go"]); len(ids) != 1 || ids[0].Name != "now" {
		t.Errorf("the written fields are %v", ids)
	}
}

// checked is the package with its types.
type checked struct {
	fset  *token.FileSet
	files map[string]*ast.File // without tests
	info  types.Info
	pkg   *types.Package
}

// checkPackage resolves every name of the package, and of extra files.
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
		t.Fatal("the declarations of the package are not found")
	}
	return p
}

var listExports = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".").Output()
})

// exports returns what opens the types of an imported package, as the go command has
// built them.
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

// foreignUses returns what the files of a machine use that it must not know.
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

// writtenFields returns the last names of all selectors that are assigned to.
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
