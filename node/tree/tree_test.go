package tree

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/node"
)

// nothing is an Opener for trees of which nothing is read.
func nothing(context.Context, int) (Reader, error) { return nil, errors.New("not a real file") }

// Paths that would leave the tree, or that are ambiguous, make no tree.
func TestUnsafePathsAreRefused(t *testing.T) {
	for _, bad := range []string{"", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "./a", "a\x00b"} {
		if _, err := New("", []File{{Path: bad}}, nothing); err == nil {
			t.Errorf("%q", bad)
		}
	}
	for _, bad := range [][]string{{"a", "a"}, {"a", "a/b"}, {"b/c/d", "b/c", "b-"}} {
		var files []File
		for _, p := range bad {
			files = append(files, File{Path: p})
		}
		if _, err := New("", files, nothing); err == nil {
			t.Errorf("%q", bad)
		}
	}
	if _, err := New("", []File{{Path: `...`}, {Path: `..a/b\c`}, {Path: "a:b\n\"<%2f"}}, nothing); err != nil {
		t.Error(err)
	}
}

// Lookup, HasFolder and List agree with a naive search.
func TestAgreesWithANaiveTree(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "a-b", "a b", "a.b", "é", "A"})
	rapid.Check(t, func(rt *rapid.T) {
		sizes := map[string]int64{}
		var files []File
		for _, parts := range rapid.SliceOfN(rapid.SliceOfN(name, 1, 4), 0, 40).Draw(rt, "paths") {
			p := strings.Join(parts, "/")
			ok := true
			for other := range sizes {
				ok = ok && other != p && !strings.HasPrefix(other, p+"/") && !strings.HasPrefix(p, other+"/")
			}
			if ok {
				sizes[p] = rapid.Int64Range(0, 1000).Draw(rt, "size")
				files = append(files, File{Path: p, Size: sizes[p]})
			}
		}
		tree, err := New("", files, nothing)
		if err != nil {
			rt.Fatal(err)
		}
		folders := map[string]bool{"": true}
		for p := range sizes {
			for d := filepath.Dir(p); d != "."; d = filepath.Dir(d) {
				folders[d] = true
			}
		}
		asked := append(slices.Collect(maps.Keys(sizes)), slices.Collect(maps.Keys(folders))...)
		asked = append(asked, "a/", "a/a/a/a/a", "x", "a-")
		for _, p := range asked {
			f, ok := tree.Lookup(p)
			if size, want := sizes[p]; ok != want || f.Size != size {
				rt.Errorf("Lookup(%q): %v, %v", p, f, ok)
			}
			if tree.HasFolder(p) != folders[p] {
				rt.Errorf("HasFolder(%q): %v", p, tree.HasFolder(p))
			}
		}
		for d := range folders {
			want := map[string]Entry{}
			for p, size := range sizes {
				below, ok := strings.CutPrefix(p, d+"/")
				if d == "" {
					below, ok = p, true
				}
				if !ok {
					continue
				}
				name, _, isFolder := strings.Cut(below, "/")
				e := want[name]
				want[name] = Entry{Name: name, IsFolder: isFolder, Files: e.Files + 1, Size: e.Size + size}
			}
			got := map[string]Entry{}
			last := ""
			for e := range tree.List(d) {
				if got[e.Name] = e; e.Name <= last && last != "" && compare(last, e.Name) >= 0 {
					rt.Errorf("%q after %q", e.Name, last)
				}
				last = e.Name
			}
			if !maps.Equal(got, want) {
				rt.Errorf("List(%q): %v, want %v", d, got, want)
			}
		}
	})
}

// Open passes the index in the caller's list, whatever the order of the paths.
func TestOpenPassesTheIndexOfTheCaller(t *testing.T) {
	var asked int
	tree, err := New("", []File{{Path: "z"}, {Path: "a"}, {Path: "m/n"}}, func(_ context.Context, i int) (Reader, error) {
		asked = i
		return nil, io.ErrUnexpectedEOF
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []string{"z", "a", "m/n"} {
		if _, err := tree.Open(t.Context(), p); err != io.ErrUnexpectedEOF || asked != i {
			t.Errorf("%s: %d, %v", p, asked, err)
		}
	}
	if _, err := tree.Open(t.Context(), "m"); err != ErrNoFile {
		t.Error(err)
	}
}

// The tree of a torrent has its files, with the identity of their content, and reads them.
func TestOpenATorrent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	for name, data := range map[string]string{"index.html": "hello", "a/copy": "hello", "a/empty": "", "b": "other"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, err := node.Open(node.Config{State: t.TempDir(), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	spec, err := node.Share(t.Context(), dir, node.ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Open(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Name() != "site" || tree.Len() != 4 || tree.Size() != 15 {
		t.Error(tree.Name(), tree.Len(), tree.Size())
	}
	r, err := tree.Open(t.Context(), "a/copy")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "hello" || err != nil || r.Size() != 5 {
		t.Errorf("%q, %v", b, err)
	}
	a, _ := tree.Lookup("a/copy")
	b, _ := tree.Lookup("b")
	empty, _ := tree.Lookup("a/empty")
	if a.Identity == b.Identity || a.Identity == "" || empty.Identity != "empty" {
		t.Error(a, b, empty)
	}
}
