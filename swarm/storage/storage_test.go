package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// contents returns the files below dir with their content.
func contents(t tb, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		m[filepath.ToSlash(rel)] = string(b)
		return err
	}))
	return m
}

func names(m map[string]string) []string {
	var list []string
	for n := range m {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func small(t tb) fixture {
	return newFixture(t, 16<<10, []string{"a", "d/b", "empty", "d/c"}, []int64{20000, 100, 0, 70000})
}

func TestDownloadEndsUnderFinalNames(t *testing.T) {
	f := small(t)
	dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "resume")
	s := open(t, Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 2)})
	if s.NeedsCheck() || s.Have().Count() != 0 {
		t.Fatal("data found in an empty folder")
	}
	f.put(t, s, 0)
	sfx := "." + f.info.Hash.String()[:8] + ".part"
	if got := names(contents(t, dir)); !slices.Equal(got, []string{"T/a" + sfx}) {
		t.Fatal(got)
	}
	f.put(t, s, 1, 2, 3, 4, 5)
	must(t, s.Finish())
	m := contents(t, dir)
	if got := names(m); !slices.Equal(got, []string{"T/a", "T/d/b", "T/d/c", "T/empty"}) {
		t.Fatal(got)
	}
	if m["T/a"]+m["T/d/b"]+m["T/d/c"] != string(f.data) {
		t.Fatal("other bytes than were written")
	}
	b := make([]byte, len(f.data))
	must(t, s.ReadAt(b, 0))
	if !bytes.Equal(b, f.data) {
		t.Fatal("other bytes than were written")
	}
	must(t, s.Close())
	s = open(t, Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 2)})
	if s.NeedsCheck() || !s.Have().Full() {
		t.Fatal("the record proves", s.Have().Count(), s.RecordError())
	}
	must(t, s.Close())
	// Without the record the data is checked.
	s = open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 2)})
	if !s.NeedsCheck() {
		t.Fatal("trusted without a record")
	}
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	if !have.Full() {
		t.Fatal(have.Count())
	}
	must(t, s.Close())
}

// With Own, files that would be those of somebody else are changed in place: wrong ones, and those that a kill has cut.
func TestOwnFilesAreChanged(t *testing.T) {
	f := small(t)
	for name, size := range map[string]int{"cut": 10, "wrong": 20000} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "T"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "T", "a"), make([]byte, size), 0o644))
		s, err := Open(Options{Dir: dir, Info: f.info, Own: true, Handles: handles(t, 10)})
		if err == nil && s.NeedsCheck() {
			_, err = s.Check(t.Context(), nil)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f.put(t, s, 0, 1, 2, 3, 4, 5)
		must(t, errors.Join(s.Finish(), s.Close()))
		if m := contents(t, dir); m["T/a"] != string(f.data[:20000]) || len(m) != 4 {
			t.Errorf("%s: %v", name, names(m))
		}
	}
}

func TestForeignFilesAreNotChanged(t *testing.T) {
	f := small(t)
	for name, size := range map[string]int{"wrong size": 10, "right size": 20000} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "T"), 0o755))
			path := filepath.Join(dir, "T", "a")
			must(t, os.WriteFile(path, make([]byte, size), 0o644))
			o := Options{Dir: dir, Info: f.info, Handles: handles(t, 10)}
			s, err := Open(o)
			if err == nil {
				_, err = s.Check(t.Context(), nil)
				must(t, s.Close())
			}
			var e *Error
			if !errors.Is(err, ErrExists) || !errors.As(err, &e) || e.Kind != Exists || e.Path != path {
				t.Fatal(err)
			}
			if m := contents(t, dir); m["T/a"] != string(make([]byte, size)) || len(m) != 1 {
				t.Fatal("touched", names(m))
			}
			o.Overwrite = true
			s = open(t, o)
			if s.NeedsCheck() {
				_, err = s.Check(t.Context(), nil)
				must(t, err)
			}
			f.put(t, s, 0, 1, 2, 3, 4, 5)
			must(t, s.Finish())
			must(t, s.Close())
			if m := contents(t, dir); m["T/a"] != string(f.data[:20000]) || len(m) != 4 {
				t.Fatal(names(m))
			}
		})
	}
}
