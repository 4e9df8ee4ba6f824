package storage

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// foldingDisk behaves like VFAT on Linux: it ignores case, rejects some characters and
// drops trailing dots and spaces.
type foldingDisk struct{ Disk }

func (d foldingDisk) name(s string) string {
	parts := strings.Split(filepath.ToSlash(s), "/")
	for i, p := range parts {
		if p != "." {
			parts[i] = strings.ToLower(strings.TrimRight(p, ". "))
		}
	}
	return filepath.FromSlash(strings.Join(parts, "/"))
}

func (d foldingDisk) refuses(op, name string) error {
	if strings.ContainsAny(name, `<>:"|?*\`) {
		return &fs.PathError{Op: op, Path: name, Err: syscall.EINVAL}
	}
	return nil
}

func (d foldingDisk) Open(name string, flag int, perm fs.FileMode) (File, error) {
	if err := d.refuses("open", name); err != nil {
		return nil, err
	}
	return d.Disk.Open(d.name(name), flag, perm)
}
func (d foldingDisk) Lstat(name string) (fs.FileInfo, error) { return d.Disk.Lstat(d.name(name)) }
func (d foldingDisk) Stat(name string) (fs.FileInfo, error)  { return d.Disk.Stat(d.name(name)) }
func (d foldingDisk) MkdirAll(name string) error {
	if err := d.refuses("mkdir", name); err != nil {
		return err
	}
	return d.Disk.MkdirAll(d.name(name))
}
func (d foldingDisk) Rename(from, to string) error {
	if err := d.refuses("rename", to); err != nil {
		return err
	}
	return d.Disk.Rename(d.name(from), d.name(to))
}
func (d foldingDisk) Remove(name string) error  { return d.Disk.Remove(d.name(name)) }
func (d foldingDisk) SyncDir(name string) error { return d.Disk.SyncDir(d.name(name)) }

func onFoldingDisk(o *Options) {
	o.OpenDisk = func(dir string, create bool) (Disk, error) {
		d, err := openDisk(dir, create, o.Handles)
		if dir == o.Dir && err == nil {
			d = foldingDisk{d}
		}
		return d, err
	}
}

// under lists the files below a folder, with slashes.
func under(t *testing.T, dir string) string {
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func all(f fixture) (out []int) {
	for p := range f.info.NumPieces() {
		out = append(out, p)
	}
	return out
}

// downloadAll fills a storage, finishes and closes it.
func downloadAll(t *testing.T, f fixture, o Options) *Storage {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.NeedsCheck() {
		if _, err := s.CheckDoubtful(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	have := s.Have()
	for _, p := range all(f) {
		if !have.Has(p) {
			f.put(t, s, p)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNamesThatTheFileSystemRefuses checks that names are substituted only where
// necessary, that every later Open finds the files, and that the original names are kept
// elsewhere.
func TestNamesThatTheFileSystemRefuses(t *testing.T) {
	names := []string{"README", "readme", "what?", "Dir/a", "dir/A", "aux.c", "end."}
	f := newFixture(t, 1<<14, names, []int64{9, 8, 20_000, 6, 5, 4, 3})
	handles := NewHandles(8)
	defer handles.Close()
	for _, folding := range []bool{false, true} {
		dir := t.TempDir()
		o := Options{Dir: filepath.Join(dir, "d"), Info: f.info, Record: filepath.Join(dir, "state", "resume"), Handles: handles}
		want := "T/Dir/a T/README T/aux.c T/dir/A T/end. T/readme T/what?"
		if folding {
			onFoldingDisk(&o)
			want = "t/_aux.c t/dir/a t/dir/a.1 t/end t/readme t/readme.1 t/what_"
		}
		first := downloadAll(t, f, o)
		if got := under(t, o.Dir); got != want {
			t.Fatalf("folding %v: %s, want %s", folding, got, want)
		}
		n, path, name := first.Renamed()
		if n != 0 != folding || folding && (n != 5 || path != "readme" || name != filepath.FromSlash("T/readme.1")) {
			t.Errorf("%d renamed, %q as %q", n, path, name)
		}
		for _, readOnly := range []bool{false, true} {
			o.ReadOnly = readOnly
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if n, _, _ := s.Renamed(); n != 0 {
				t.Error("the substitution is reported again")
			}
			if have := s.Have(); !have.Full() {
				t.Errorf("folding %v, read-only %v: %d of %d pieces", folding, readOnly, have.Count(), have.Len())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// Without the state directory everything is found again.
		o.Record = filepath.Join(dir, "other", "resume")
		o.ReadOnly = false
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := s.CheckDoubtful(context.Background(), nil); err != nil || !have.Full() {
			t.Errorf("folding %v: %d of %d pieces, %v", folding, have.Count(), have.Len(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := under(t, o.Dir); got != want {
			t.Errorf("left behind: %s", got)
		}
	}
}

// TestDataUnderItsOriginalNameIsUsed checks that a download continues with data under the
// name as spelled in the torrent, even if Open would choose another.
func TestDataUnderItsOriginalNameIsUsed(t *testing.T) {
	f := newFixture(t, 1<<14, []string{`a\b`, "plain", "dup"}, []int64{20_000, 30_000, 40_000})
	handles := NewHandles(8)
	defer handles.Close()
	dir := t.TempDir()
	o := Options{Dir: filepath.Join(dir, "d"), Info: f.info, Record: filepath.Join(dir, "state", "resume"), Handles: handles}
	k := 0
	for f.info.Files[k].Spelled == nil {
		k++
	}
	file := f.info.Files[k]
	if err := os.MkdirAll(filepath.Join(o.Dir, "T"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "T", `a\b`), f.data[file.Offset:file.Offset+file.Length], 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := s.CheckDoubtful(context.Background(), nil); err != nil || have.Count() == 0 {
		t.Errorf("%d pieces of the original, %v", have.Count(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	downloadAll(t, f, o)
	if got := under(t, o.Dir); got != `T/a\b T/dup T/plain` {
		t.Error(got)
	}
}

// TestRecordOfNames checks that no record, damaged or not, leads out of the folder.
func TestRecordOfNames(t *testing.T) {
	f := newFixture(t, 1<<14, []string{"a", "b"}, []int64{5, 20_000})
	rapid.Check(t, func(t *rapid.T) {
		s := &Storage{layout: newLayout(f.info), dir: "/d"}
		n := chosenNames{root: rapid.SampledFrom([]string{"", "r"}).Draw(t, "root"), limit: rapid.SampledFrom([]int{0, shortName}).Draw(t, "limit"), files: map[int]string{}}
		for i := range 2 {
			if rapid.Bool().Draw(t, "has") {
				n.files[i] = rapid.SampledFrom([]string{"r/x", "y", "../z", "/abs", "a/../../b", "T/ok"}).Draw(t, "name")
			}
		}
		local := true
		for _, name := range n.files {
			local = local && filepath.IsLocal(name)
		}
		b := s.appendNames(nil, n, nil)
		got, _, ok := s.parseNames(b)
		if ok != local {
			t.Fatalf("%+v: %v", n, ok)
		}
		if ok && (got.root != n.root || got.limit != n.limit || len(got.files) != len(n.files)) {
			t.Fatalf("%+v, not %+v", got, n)
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1
		if _, _, ok := s.parseNames(b); ok {
			t.Fatal("a damaged record is used")
		}
	})
}

func FuzzParseNames(f *testing.F) {
	fix := newFixture(f, 1<<14, []string{"a", "b"}, []int64{5, 20_000})
	s := &Storage{layout: newLayout(fix.info), dir: "/d"}
	one := chosenNames{root: "r", files: map[int]string{1: "r/b"}}
	b := s.appendNames(nil, one, nil)
	f.Add(b[:len(b)-32])
	b = s.appendNames(nil, one, &renaming{after: chosenNames{root: "."}, moves: []nameMove{{"r/b", "x/b"}}})
	f.Add(b[:len(b)-32])
	f.Fuzz(func(t *testing.T, b []byte) {
		n, pending, ok := s.parseNames(append(b, checksum(b)...))
		if !ok {
			return
		}
		all := []chosenNames{n}
		if pending != nil {
			all = append(all, pending.after)
			for _, m := range pending.moves {
				if !filepath.IsLocal(m.from) || !filepath.IsLocal(m.to) {
					t.Fatalf("%q", m)
				}
			}
		}
		for _, n := range all {
			for i, name := range n.files {
				if i >= len(fix.info.Files) || !filepath.IsLocal(name) {
					t.Fatalf("%d: %q", i, name)
				}
			}
			if n.root != "" && !filepath.IsLocal(n.root) {
				t.Fatalf("%q", n.root)
			}
		}
	})
}
