package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/magnet/metainfo"
)

func TestUnwantedPartsAreInThePartsFile(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b", "c"}, []int64{20000, 20000, 90000})
	dir, state := t.TempDir(), t.TempDir()
	o := Options{Dir: dir, Info: f.info, Select: []int{1}, Record: filepath.Join(state, "resume"), Handles: handles(t, 10)}
	s := open(t, o)
	f.put(t, s, 1, 2) // bytes of a, b and c
	must(t, s.Finish())
	must(t, s.Flush())
	if m := contents(t, dir); len(m) != 1 || m["T/b"] != string(f.data[20000:40000]) {
		t.Fatal(names(m))
	}
	if got := names(contents(t, state)); !slices.Equal(got, []string{"resume", "resume.parts"}) {
		t.Fatal(got)
	}
	must(t, s.Close())
	s = open(t, o)
	if s.NeedsCheck() || s.Have().Count() != 2 {
		t.Fatal(s.Have().Count())
	}
	for _, p := range []int{1, 2} {
		if ok, err := s.HashPiece(p, make([]byte, 1000)); !ok {
			t.Fatal(p, err)
		}
	}
	s.SetSelect(nil)
	f.put(t, s, 0, 3, 4, 5, 6, 7)
	must(t, s.Finish())
	must(t, s.Close())
	m := contents(t, dir)
	if m["T/a"]+m["T/b"]+m["T/c"] != string(f.data) || len(m) != 3 {
		t.Fatal(names(m))
	}
	if got := names(contents(t, state)); !slices.Equal(got, []string{"resume"}) {
		t.Fatal(got)
	}
}

func TestSmallForeignFileIsComparedAtTheEnd(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b"}, []int64{100, 20000})
	for _, equal := range []bool{true, false} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "T"), 0o755))
		b := slices.Clone(f.data[:100])
		if !equal {
			b[50]++
		}
		must(t, os.WriteFile(filepath.Join(dir, "T", "a"), b, 0o644))
		s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
		have, err := s.Check(t.Context(), nil)
		must(t, err)
		if have.Count() != 0 {
			t.Fatal("verified without its neighbour")
		}
		f.put(t, s, 0, 1)
		err = s.Finish()
		if equal {
			must(t, err)
		} else {
			kind(t, err, Exists)
		}
		if m := contents(t, dir); m["T/a"] != string(b) {
			t.Fatal("touched", names(m))
		}
		_ = s.Close() // fails again because of the existing file
	}
}

func TestDataWithoutRecordIsResumed(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	o := Options{Dir: dir, Info: f.info, Handles: handles(t, 10)}
	s := open(t, o)
	f.put(t, s, 0, 2, 3)
	must(t, s.Close())
	s = open(t, o)
	if !s.NeedsCheck() {
		t.Fatal("not found")
	}
	have, err := s.CheckDoubtful(t.Context(), nil)
	must(t, err)
	if have.Count() != 3 {
		t.Fatal(have.Count())
	}
}

func TestHolesAreNotHashed(t *testing.T) {
	// A torrent may contain zeros, and then a hole is correct.
	const size = 64 << 20
	plan := metainfo.Plan{Name: "z", PieceLength: 1 << 20, Files: []metainfo.PlanFile{{Length: size}}}
	f := fixture{build(t, plan, make([]byte, size)), nil}
	dir := t.TempDir()
	o := Options{Dir: dir, Info: f.info, Handles: handles(t, 10)}
	s := open(t, o)
	must(t, s.WriteAt(make([]byte, 1), 5<<20))
	must(t, s.Close())
	s = open(t, o)
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	if !have.Full() {
		t.Fatal(have.Count())
	}
}

func TestNamesOfIncompleteFilesDoNotClash(t *testing.T) {
	long := strings.Repeat("ä", 127)
	f := newFixture(t, 16<<10, []string{long, "b"}, []int64{10, 10})
	l := newLayout(f.info)
	p := filepath.Base(l.part(0))
	if len(p) > metainfo.MaxName || !strings.HasSuffix(p, "~0"+l.suffix) {
		t.Fatal(p)
	}
	// A torrent cannot contain its own infohash; this name only looks as if it did.
	g := *f.info
	g.Files = append(slices.Clone(g.Files), metainfo.File{Path: []string{"b" + strings.ToUpper(l.suffix)}, Offset: 20})
	if l := newLayout(&g); l.suffix != "."+g.Hash.String()+".part" {
		t.Fatal(l.suffix)
	}
}

func TestCheckClaimsNoFileOfOthers(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "T"), 0o755))
	foreign := strings.Repeat("x", 20000)
	must(t, os.WriteFile(filepath.Join(dir, "T", "a"), []byte(foreign), 0o644))
	o := Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "r"), Handles: handles(t, 10), ReadOnly: true}
	s := open(t, o)
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	if have.Count() != 0 {
		t.Fatal(have.Count())
	}
	must(t, s.Close())
	o.ReadOnly = false
	s = open(t, o)
	_, err = s.CheckDoubtful(t.Context(), nil)
	kind(t, err, Exists)
	must(t, s.Close())
	if m := contents(t, dir); len(m) != 1 || m["T/a"] != foreign {
		t.Fatal(names(m))
	}
}
