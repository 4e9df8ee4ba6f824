// Package filetest creates and compares folders of files in tests.
package filetest

import (
	"bytes"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// RandomBytes returns bytes that depend on the seed.
func RandomBytes(seed string, size int) []byte {
	b := make([]byte, size)
	var key [32]byte
	copy(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// Write writes a file and creates its folder.
func Write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Tree returns the files below dir by their paths, which have slashes.
func Tree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

// Names returns the paths of a Tree in order.
func Names(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// Same checks that two folders have the same content.
func Same(t testing.TB, want, got string) {
	t.Helper()
	a, b := Tree(t, want), Tree(t, got)
	if len(a) != len(b) {
		t.Errorf("%d files became %d: %v", len(a), len(b), Names(b))
	}
	for name, data := range a {
		if !bytes.Equal(b[name], data) {
			t.Errorf("%s differs", name)
		}
	}
}

// Entries returns the names of the entries of a folder, or none if it does not exist.
func Entries(t testing.TB, dir string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}
