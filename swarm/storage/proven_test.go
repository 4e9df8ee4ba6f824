package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"seedbed/internal/bitset"
)

// IsProven never reports more than Open, which checks everything, and it recognizes a
// torrent that Open has verified.
func TestIsProvenAgreesWithOpen(t *testing.T) {
	f := newFixture(t, 1<<14, []string{"a", "d/b", "empty", "c"}, []int64{20_000, 40_000, 0, 1})
	for name, c := range map[string]struct {
		change func(dir, rec string) error
		want   bool
	}{
		"unchanged": {func(string, string) error { return nil }, true},
		"a file is touched": {func(dir, _ string) error {
			at := time.Now().Add(time.Hour)
			return os.Chtimes(filepath.Join(dir, "T", "a"), at, at)
		}, false},
		"a file is cut":        {func(dir, _ string) error { return os.Truncate(filepath.Join(dir, "T", "d", "b"), 39_999) }, false},
		"a file is gone":       {func(dir, _ string) error { return os.Remove(filepath.Join(dir, "T", "c")) }, false},
		"an empty one is gone": {func(dir, _ string) error { return os.Remove(filepath.Join(dir, "T", "empty")) }, false},
		"a folder in its place": {func(dir, _ string) error {
			path := filepath.Join(dir, "T", "c")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o755)
		}, false},
		"behind a link": {func(dir, _ string) error {
			path := filepath.Join(dir, "T", "a")
			if err := os.Rename(path, path+"2"); err != nil {
				return err
			}
			return os.Symlink(path+"2", path)
		}, true},
		"the record is gone":    {func(_, rec string) error { return os.Remove(rec) }, false},
		"the record is damaged": {func(_, rec string) error { return os.Truncate(rec, 50) }, false},
		"other names":           {func(_, rec string) error { return os.WriteFile(rec+namesSuffix, nil, 0o600) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "resume")
			for i := range f.info.Files {
				file := &f.info.Files[i]
				path := filepath.Join(dir, "T", filepath.Join(file.Path...))
				must(t, os.MkdirAll(filepath.Dir(path), 0o755))
				must(t, os.WriteFile(path, f.data[file.Offset:file.Offset+file.Length], 0o644))
			}
			o := Options{Dir: dir, Info: f.info, Record: rec, ReadOnly: true, Handles: handles(t, 10)}
			if IsProven(o) {
				t.Fatal("proven before anything was hashed")
			}
			s := open(t, o)
			if have := hashAll(t, s); have.Count() != f.info.NumPieces() {
				t.Fatal("the fixture is not complete")
			}
			must(t, s.Close())
			must(t, c.change(dir, rec))
			got := IsProven(o)
			if got != c.want {
				t.Errorf("proven: %v", got)
			}
			s, err := Open(o)
			if err != nil && got {
				t.Error(err)
			}
			if err == nil {
				if got && (s.NeedsCheck() || s.Have().Count() != f.info.NumPieces()) {
					t.Error("Open does not agree")
				}
				must(t, s.Close())
			}
			o.Dir = t.TempDir()
			if IsProven(o) {
				t.Error("proven in another folder")
			}
		})
	}
}

// IsProven is false for storages that may be written to, and for selections of files.
func TestIsProvenIsForWholeTorrentsThatAreOnlyRead(t *testing.T) {
	f := newFixture(t, 1<<14, []string{"a"}, []int64{20_000})
	dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "resume")
	must(t, os.WriteFile(filepath.Join(dir, "a"), f.data, 0o644))
	o := Options{Dir: dir, Info: f.info, Record: rec, ReadOnly: true, Verified: true, Handles: handles(t, 10)}
	must(t, open(t, o).Close())
	if !IsProven(o) {
		t.Error("not proven, though the caller has hashed it")
	}
	o.ReadOnly = false
	if IsProven(o) {
		t.Error("a download is proven")
	}
	o.ReadOnly, o.Select = true, []int{0}
	if IsProven(o) {
		t.Error("a selection is proven")
	}
}

func hashAll(t *testing.T, s *Storage) bitset.Set {
	t.Helper()
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	return have
}
