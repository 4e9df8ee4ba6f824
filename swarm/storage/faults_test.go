package storage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A file that is longer than in the torrent is reported as such by every operation.
func TestTooLongFiles(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{100_000})
	dir := t.TempDir()
	path := filepath.Join(dir, "one")
	long := string(f.data) + "more"
	must(t, os.WriteFile(path, []byte(long), 0o644))
	s := open(t, Options{Dir: dir, Info: f.info, ReadOnly: true, Handles: handles(t, 4)})
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	faults := s.Faults()
	if !have.Full() || len(faults) != 1 || faults[0].String() != "one is 4 bytes longer than the torrent says" {
		t.Error(have.Count(), faults)
	}
	must(t, s.Close())
	_, err = Open(Options{Dir: dir, Info: f.info, Handles: handles(t, 4)})
	e := kind(t, err, Exists)
	if !errors.Is(err, ErrExists) || e.Error() != path+" is 4 bytes longer than the torrent says" || !strings.Contains(e.Hint(), "truncate it to 100000 bytes") {
		t.Error(e, e.Hint())
	}
	if contents(t, dir)["one"] != long {
		t.Error("the file was changed")
	}
}

// Faults names every bad file and what is wrong with it.
func TestFaultsNameTheBadFiles(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"good", "d/bad", "short", "gone"}, []int64{65_536, 65_536, 65_536, 65_536})
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "T/d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "T/good"), f.data[:65_536], 0o644))
	bad := append([]byte(nil), f.data[65_536:131_072]...)
	bad[20_000] ^= 1
	must(t, os.WriteFile(filepath.Join(dir, "T/d/bad"), bad, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "T/short"), f.data[131_072:151_072], 0o644))
	s := open(t, Options{Dir: dir, Info: f.info, ReadOnly: true, Handles: handles(t, 4)})
	_, err := s.Check(t.Context(), nil)
	must(t, err)
	var got []string
	for _, b := range s.Faults() {
		got = append(got, b.String())
	}
	want := []string{
		filepath.Join("T", "d", "bad") + ": 1 of 4 pieces is wrong",
		filepath.Join("T", "short") + " has 20000 of 65536 bytes",
		filepath.Join("T", "gone") + " is missing",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	must(t, s.Close())

	// A file of one piece.
	f = newFixture(t, 64<<10, []string{"one"}, []int64{1000})
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "one"), make([]byte, 1000), 0o644))
	s = open(t, Options{Dir: dir, Info: f.info, ReadOnly: true, Handles: handles(t, 4)})
	_, err = s.Check(t.Context(), nil)
	must(t, err)
	if list := s.Faults(); len(list) != 1 || list[0].String() != "one: its only piece is wrong" {
		t.Error(list)
	}
	must(t, s.Close())

	// Files that only share a piece with the bad one are not listed.
	f = newFixture(t, 64<<10, []string{"a", "b", "c"}, []int64{1000, 2000, 3000})
	dir = t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "T"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "T/a"), f.data[:1000], 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "T/c"), f.data[3000:], 0o644))
	s = open(t, Options{Dir: dir, Info: f.info, ReadOnly: true, Handles: handles(t, 4)})
	_, err = s.Check(t.Context(), nil)
	must(t, err)
	if list := s.Faults(); len(list) != 1 || list[0].String() != filepath.Join("T", "b")+" is missing" {
		t.Error(list)
	}
	must(t, s.Close())
}

// Faults also reports a file that is too long although its length in the torrent is 0, and
// anything that exists under a file's name but is not a file.
func TestFaultsNameWhatIsThereInstead(t *testing.T) {
	const long, missing = " is 3 bytes longer than the torrent says", " is missing"
	empty, file := filepath.Join("T", "d", "empty"), filepath.Join("T", "d", "file")
	for what, c := range map[string]struct {
		make func(dir string) // makes something out of a complete folder
		want []string
		bad  bool   // bytes of the torrent are affected
		open string // what Open says, if it fails
	}{
		"nothing wrong": {func(string) {}, nil, false, ""},
		"an empty file is longer": {func(dir string) {
			must(t, os.WriteFile(filepath.Join(dir, empty), []byte("abc"), 0o644))
		}, []string{empty + long}, true, empty + long},
		"an empty file is missing": {func(dir string) {
			must(t, os.Remove(filepath.Join(dir, empty)))
		}, []string{empty + missing}, false, ""},
		"a folder has the name of an empty file": {func(dir string) {
			must(t, os.Remove(filepath.Join(dir, empty)))
			must(t, os.Mkdir(filepath.Join(dir, empty), 0o755))
		}, []string{empty + " is a folder, but in the torrent it is a file"}, false, empty + " is a folder, but in the torrent it is a file"},
		"a folder has the name of a file": {func(dir string) {
			must(t, os.Remove(filepath.Join(dir, file)))
			must(t, os.Mkdir(filepath.Join(dir, file), 0o755))
		}, []string{file + " is a folder, but in the torrent it is a file"}, true, file + " is a folder, but in the torrent it is a file"},
		"a file has the name of a folder": {func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "T/d")))
			must(t, os.WriteFile(filepath.Join(dir, "T/d"), []byte("abc"), 0o644))
		}, slices.Repeat([]string{filepath.Join("T", "d") + " is a file, but in the torrent it is a folder"}, 2), true,
			filepath.Join("T", "d") + " is a file, but in the torrent it is a folder"},
		"a file has the name of the torrent's folder": {func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "T")))
			must(t, os.WriteFile(filepath.Join(dir, "T"), nil, 0o644))
		}, slices.Repeat([]string{"T is a file, but in the torrent it is a folder"}, 2), true, "T is a file, but in the torrent it is a folder"},
		"a file's name differs in case": {func(dir string) {
			must(t, os.Rename(filepath.Join(dir, file), filepath.Join(dir, "T/d/FILE")))
		}, []string{file + " is missing; the name of " + filepath.Join("T", "d", "FILE") + " differs in case"}, true, ""},
		"a folder's name differs in case": {func(dir string) {
			must(t, os.Rename(filepath.Join(dir, "T/d"), filepath.Join(dir, "T/D")))
		}, []string{empty + " is missing; the name of " + filepath.Join("T", "D") + " differs in case",
			file + " is missing; the name of " + filepath.Join("T", "D") + " differs in case"}, true, ""},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t, 16<<10, []string{"d/empty", "d/file"}, []int64{0, 20_000})
			dir := t.TempDir()
			if strings.HasSuffix(what, "differs in case") && foldsCase(t, dir) {
				t.Skip("the file system ignores case")
			}
			must(t, os.MkdirAll(filepath.Join(dir, "T/d"), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, empty), nil, 0o644))
			must(t, os.WriteFile(filepath.Join(dir, file), f.data, 0o644))
			c.make(dir)
			s := open(t, Options{Dir: dir, Info: f.info, ReadOnly: true, Handles: handles(t, 4)})
			_, err := s.Check(t.Context(), nil)
			must(t, err)
			var got []string
			bad := false
			for _, b := range s.Faults() {
				got = append(got, b.String())
				bad = bad || b.AffectsData()
			}
			must(t, s.Close())
			if !slices.Equal(got, c.want) || bad != c.bad {
				t.Errorf("%q, data affected: %v", got, bad)
			}
			for _, overwrite := range []bool{false, true} {
				s, err := Open(Options{Dir: dir, Info: f.info, Overwrite: overwrite, Handles: handles(t, 4)})
				if err == nil {
					download(t, f, s, nil)
					must(t, s.Close())
				}
				switch {
				case c.open == "", overwrite && strings.Contains(c.open, "longer"):
					must(t, err)
					if fi, err := os.Stat(filepath.Join(dir, empty)); err != nil || fi.Size() != 0 {
						t.Errorf("overwrite %v: the empty file: %v, %v", overwrite, fi, err)
					}
				case err == nil || kind(t, err, Exists).Error() != filepath.Join(dir, c.open):
					t.Errorf("overwrite %v: Open gives %v", overwrite, err)
				case strings.Contains(c.open, "in the torrent") && strings.Contains(err.(*Error).Hint(), "--overwrite"):
					t.Error(err.(*Error).Hint())
				}
			}
		})
	}
}

// foldsCase reports whether the file system ignores case.
func foldsCase(t *testing.T, dir string) bool {
	must(t, os.WriteFile(filepath.Join(dir, "probe"), nil, 0o644))
	defer os.Remove(filepath.Join(dir, "probe"))
	_, err := os.Stat(filepath.Join(dir, "PROBE"))
	return err == nil
}
