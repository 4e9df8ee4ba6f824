package seedbed_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Indirect imports count too.

// heavy lists packages that cost a program size, start-up time or attack surface, and the
// packages of ours that import them. Only those and their importers may contain them.
var heavy = map[string]struct {
	by  []string
	why string
}{
	"net/http":      {[]string{"swarm/webseed", "internal/portmap", "internal/objectstore", "node", "node/daemon/importer", "node/stream", "node/names", "node/fleet", "node/gateway", "cmd/seedbed/argument", "cmd/seedbed/torrentcmd", "node/api/metrics", "dht", "node/api", "node/daemon/fetch", "node/daemon/hook", "node/daemon/rss", "node/api/client", "node/api/guard", "node/api/httpd", "node/api/qbittorrent", "node/api/transmission", "node/web", "cmd/seedbed/settings", "cmd/seedbed/daemoncmd", "cmd/seedbed/remotecmd"}, "HTTP is for mirrors, routers, object stores, players, metrics, the interfaces of a daemon and links to a .torrent; dht has it by the krpc types of anacrolix/dht"},
	"html/template": {[]string{"node/stream", "node/gateway", "node/fleet"}, "pages belong to HTTP handlers"},
	"text/template": {slices.Concat([]string{"node/stream", "node/gateway", "node/fleet", "cmd/seedbed/daemoncmd", "cmd/seedbed/opencmd", "cmd/seedbed/remotecmd"}, commands), "texts belong to the command line; cobra needs it for its help"},
	"os/exec":       {[]string{"cmd/seedbed/torrentcmd", "cmd/seedbed/opencmd", "cmd/seedbed/hook", "node/daemon/hook", "internal/objectstore", "node/fleet"}, "a node starts no other program, except for hooks and what the shared file of the AWS tools names for credentials"},
	"database/sql":  {[]string{"dht", "node/api/metrics"}, "records are files; dht has it by the krpc types of anacrolix/dht, metrics by its client library"},
	"expvar":        {[]string{"dht", "node/api/metrics"}, "metrics are explicit; dht has it by the krpc types of anacrolix/dht, metrics by its client library"},
	"testing":       {nil, "test helpers do not belong into the binary"},
	"encoding/gob":  {[]string{"node/fleet"}, "records are bencode and JSON; memberlist has it by its codec and does not use it"},
	"net/rpc":       {[]string{"node/fleet"}, "services speak HTTP; memberlist has it by its codec and does not use it"},
	"net/smtp":      {nil, "a node sends no mail"},
	"plugin":        {nil, "nothing is loaded at runtime"},
}

// commands are the packages that define commands.
var commands = []string{"cmd/seedbed", "cmd/seedbed/app", "cmd/seedbed/cataloguecmd", "cmd/seedbed/demo", "cmd/seedbed/dhtcmd", "cmd/seedbed/fleetcmd", "cmd/seedbed/gatewaycmd", "cmd/seedbed/handover", "cmd/seedbed/importcmd", "cmd/seedbed/making", "cmd/seedbed/manpage", "cmd/seedbed/pincmd",
	"cmd/seedbed/pubcmd", "cmd/seedbed/query", "cmd/seedbed/torrentcmd"}

// A graph holds the imports of every package of the module and of its dependencies,
// without tests.
type graph map[string][]string

func loadGraph(t *testing.T) graph {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	g := graph{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		g[f[0]] = f[1:]
	}
	return g
}

// path returns a path of imports from a package to one for which want is true, not through
// any for which stop is true; nil if there is none.
func (g graph) path(from string, want, stop func(string) bool) []string {
	seen := map[string]bool{}
	var walk func(p string) []string
	walk = func(p string) []string {
		if seen[p] {
			return nil
		}
		seen[p] = true
		for _, q := range g[p] {
			if want(q) {
				return []string{p, q}
			}
			if stop(q) {
				continue
			}
			if rest := walk(q); rest != nil {
				return append([]string{p}, rest...)
			}
		}
		return nil
	}
	return walk(from)
}

// TestImportsOfImports checks indirect imports.
func TestImportsOfImports(t *testing.T) {
	g := loadGraph(t)
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if packages[dir].layer == top {
			continue
		}
		from := module + "/" + dir
		for _, h := range slices.Sorted(maps.Keys(heavy)) {
			by := heavy[h].by
			ours := func(p string) bool {
				to, inside := strings.CutPrefix(p, module+"/")
				return inside && slices.Contains(by, to)
			}
			found := g.path(from, func(p string) bool { return p == h }, ours)
			switch {
			case found != nil && !ours(from):
				t.Errorf("%s brings in %s (%s): %s", dir, h, strings.Join(found, " -> "), heavy[h].why)
			case found == nil && ours(from):
				t.Errorf("%s may bring in %s and does not: take it out of the list", dir, h)
			}
		}
		for _, mod := range slices.Sorted(maps.Keys(owners)) {
			o := owners[mod]
			found := g.path(from, func(p string) bool { return o.covers(mod, p) }, func(p string) bool {
				return o.owns(strings.TrimPrefix(p, module+"/")) || o.via != "" && covers(o.via, p)
			})
			switch {
			case found != nil && !o.owns(dir):
				t.Errorf("%s brings in %s (%s): %s", dir, mod, strings.Join(found, " -> "), o.why)
			case found == nil && dir == o.pkg:
				t.Errorf("%s owns %s and does not import it: take it out of the list", dir, mod)
			}
		}
		if group := groupOf(dir); slices.Contains(separate, group) && dir != "swarm/engine" {
			found := g.path(from, func(p string) bool {
				to, inside := strings.CutPrefix(p, module+"/")
				return inside && keptApart(dir, to)
			}, func(p string) bool { return p == module+"/swarm/engine" })
			if found != nil {
				t.Errorf("%s brings in %s: dht, swarm and pex are kept apart", dir, strings.Join(found, " -> "))
			}
		}
	}
}

// TestGrantsAreUsed checks that everything the tables allow exists and is used.
func TestGrantsAreUsed(t *testing.T) {
	all := sources(t)
	imports := func(dir string, tests bool) (list []string) {
		for _, f := range all[dir] {
			for _, spec := range f.ast.Imports {
				if tests || !f.test {
					list = append(list, strings.Trim(spec.Path.Value, `"`))
				}
			}
		}
		return list
	}
	usedAllowed := map[string]bool{}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		p := packages[dir]
		if len(all[dir]) == 0 {
			t.Errorf("the table has %s, which does not exist", dir)
		}
		for _, peer := range p.peers {
			if !slices.Contains(imports(dir, true), module+"/"+peer) {
				t.Errorf("%s may import %s and does not: take it out of the table", dir, peer)
			}
		}
		for _, third := range p.third {
			if !slices.ContainsFunc(imports(dir, false), func(imp string) bool { return covers(third, imp) }) {
				t.Errorf("%s may import %s and does not: take it out of the table", dir, third)
			}
		}
		if p.pure {
			for _, imp := range imports(dir, false) {
				usedAllowed[imp] = true
			}
		}
	}
	for _, a := range allowed {
		if !usedAllowed[a] {
			t.Errorf("pure packages may import %s and none does: take it out of the list", a)
		}
	}
}

func TestThePathOfAnImport(t *testing.T) {
	g := graph{"a": {"b", "c"}, "b": {"a", "d"}, "c": {"d"}, "d": {"h"}}
	is := func(want string) func(string) bool { return func(p string) bool { return p == want } }
	none := func(string) bool { return false }
	if got := g.path("a", is("h"), none); !slices.Equal(got, []string{"a", "b", "d", "h"}) {
		t.Error(got)
	}
	if got := g.path("a", is("h"), is("d")); got != nil {
		t.Error(got)
	}
	if got := g.path("a", is("x"), none); got != nil {
		t.Error(got)
	}
}
