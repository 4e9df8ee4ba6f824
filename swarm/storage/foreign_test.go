package storage

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/simnet"
)

// download writes what s lacks, as a torrent does: it calls Recheck after a failure, and
// ends when Complete reports so. change runs before each piece is written.
func download(t *testing.T, f fixture, s *Storage, change func(p int)) (faults []*Error) {
	t.Helper()
	for range 10 {
		err := func() error {
			have := s.Have()
			for p := range f.info.NumPieces() {
				if have.Has(p) {
					continue
				}
				if change != nil {
					change(p)
				}
				off, b := f.piece(p)
				if err := s.WriteAt(b, off); err != nil {
					return err
				}
				s.MarkVerified(p)
			}
			if change != nil {
				change(-1)
			}
			if err := s.Finish(); err != nil {
				return err
			}
			done, err := s.Complete()
			if err == nil && !done {
				t.Fatal("everything was written without a failure, but it is not complete")
			}
			return err
		}()
		if err == nil {
			return faults
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		faults = append(faults, e)
		if _, err := s.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("did not complete")
	return nil
}

func once(at int, f func()) func(int) {
	done := false
	return func(p int) {
		if p == at && !done {
			done = true
			f()
		}
	}
}

// A change by others to an incomplete file, at any moment, costs only the damaged pieces
// and never results in a wrong file.
func TestChangesToIncompleteFilesAreNoticed(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	n := f.info.NumPieces()
	for name, change := range map[string]func(path string){
		"replaced": func(path string) {
			must(t, os.WriteFile(path+".x", make([]byte, 160_000), 0o644))
			must(t, os.Rename(path+".x", path))
		},
		"replaced by a shorter one": func(path string) {
			must(t, os.WriteFile(path+".x", make([]byte, 70_000), 0o644))
			must(t, os.Rename(path+".x", path))
		},
		"deleted and recreated": func(path string) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, make([]byte, 160_000), 0o644))
		},
		"truncated": func(path string) { must(t, os.Truncate(path, 20_000)) },
		"truncated and extended": func(path string) {
			must(t, os.Truncate(path, 20_000))
			must(t, os.Truncate(path, 160_000))
		},
		"overwritten": func(path string) {
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			_, err = w.WriteAt(make([]byte, 10), 5000)
			must(t, errors.Join(err, w.Close()))
		},
		"appended to": func(path string) {
			w, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			_, err = w.Write(make([]byte, 10))
			must(t, errors.Join(err, w.Close()))
		},
	} {
		for _, at := range []int{1, n / 2, n - 1, -1} {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "r"), Handles: handles(t, 4)})
			faults := download(t, f, s, once(at, func() { change(filepath.Join(dir, s.part(0))) }))
			if len(faults) == 0 {
				t.Errorf("%s before piece %d: not noticed", name, at)
			}
			must(t, s.Close())
			if m := contents(t, dir); m["one"] != string(f.data) || len(m) != 1 {
				t.Errorf("%s before piece %d: complete with wrong bytes or names: %v", name, at, names(m))
			}
		}
	}
}

// A piece verified after another program changed its file does not count as verified.
func TestPiecesVerifiedAfterAChangeAreDoubtful(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 4)})
	f.put(t, s, 0)
	off, b := f.piece(1)
	must(t, s.WriteAt(b, off))
	must(t, os.WriteFile(filepath.Join(dir, s.part(0)), make([]byte, 160_000), 0o644))
	off, b = f.piece(2)
	kind(t, s.WriteAt(b, off), Changed)
	s.MarkVerified(1)
	if have := s.Have(); have.Count() != 0 || s.Doubtful().Count() != 2 {
		t.Fatal(have.Count(), "pieces are trusted", s.Doubtful().Count())
	}
	have, err := s.Recheck(t.Context())
	must(t, err)
	if have.Count() != 0 || s.NeedsCheck() {
		t.Fatal(have.Count())
	}
	download(t, f, s, nil)
	must(t, s.Close())
	if contents(t, dir)["one"] != string(f.data) {
		t.Fatal("wrong bytes")
	}
}

// A file that changes while it is being hashed is hashed again.
func TestFileChangesDuringItsCheck(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	dir := t.TempDir()
	path := filepath.Join(dir, "one")
	must(t, os.WriteFile(path, f.data, 0o644))
	for _, readOnly := range []bool{false, true} {
		s := open(t, Options{Dir: dir, Info: f.info, ReadOnly: readOnly, Handles: handles(t, 4)})
		first := true
		_, err := s.Check(t.Context(), func(int64, int64) {
			if first {
				first = false
				must(t, os.WriteFile(path, make([]byte, 160_000), 0o644))
				must(t, os.WriteFile(path, f.data, 0o644))
			}
		})
		kind(t, err, Changed)
		if s.Have().Count() != 0 || s.Doubtful().Count() != f.info.NumPieces() {
			t.Fatal(s.Have().Count(), "pieces are trusted")
		}
		have, err := s.Recheck(t.Context())
		must(t, err)
		if !have.Full() {
			t.Fatal(have.Count())
		}
		must(t, s.Close())
	}
}

// Complete files are watched too while others are downloaded.
func TestChangesToFinalFilesAreNoticedBeforeTheEnd(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b"}, []int64{80_000, 80_000})
	for name, change := range map[string]func(path string){
		"overwritten": func(path string) { must(t, os.WriteFile(path, make([]byte, 80_000), 0o644)) },
		"truncated":   func(path string) { must(t, os.Truncate(path, 10)) },
		"replaced": func(path string) {
			must(t, os.WriteFile(path+".x", make([]byte, 80_000), 0o644))
			must(t, os.Rename(path+".x", path))
		},
		"replaced by an identical file": func(path string) {
			must(t, os.WriteFile(path+".x", f.data[:80_000], 0o644))
			must(t, os.Rename(path+".x", path))
		},
	} {
		for _, at := range []int{7, -1} {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 4)})
			f.put(t, s, 0, 1, 2, 3, 4)
			must(t, s.Flush())
			path := filepath.Join(dir, "T", "a")
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			forgetLooks(s)
			if len(download(t, f, s, once(at, func() { change(path) }))) == 0 {
				t.Errorf("%s: not noticed", name)
			}
			must(t, s.Close())
			m := contents(t, dir)
			if m["T/a"]+m["T/b"] != string(f.data) || len(m) != 2 {
				t.Errorf("%s: complete with wrong bytes or names: %v", name, names(m))
			}
		}
	}
}

// forgetLooks makes the storage treat every file as not checked for a long time.
func forgetLooks(s *Storage) {
	for i := range s.files {
		s.files[i].checkedAt.Store(0)
	}
}

// Changes by others between two runs, or after the last Flush of a killed run, are
// noticed by the next.
func TestChangesBetweenRunsAreNoticed(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	for _, killed := range []bool{false, true} {
		dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "r")
		o := Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 4)}
		s := open(t, o)
		f.put(t, s, 0, 1, 2)
		must(t, s.Flush())
		part := filepath.Join(dir, s.part(0))
		if !killed {
			must(t, s.Close())
		}
		endOfProcess(s)
		w, err := os.OpenFile(part, os.O_WRONLY, 0)
		must(t, err)
		_, err = w.WriteAt(make([]byte, 10), 5000)
		must(t, errors.Join(err, w.Close()))
		o.Handles = handles(t, 4)
		s = open(t, o)
		have, err := s.CheckDoubtful(t.Context(), nil)
		must(t, err)
		if have.Has(0) || have.Count() != 2 {
			t.Errorf("killed %v: %d pieces are trusted", killed, have.Count())
		}
		must(t, s.Close())
	}
}

// A file with another hard link is never written to, complete or not, found or created:
// the other name keeps its content.
func TestHardLinksAreNeverWrittenTo(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"d/a", "d/b"}, []int64{100_000, 60_000})
	dice := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		bad  int  // bytes that differ
		part bool // under the name for incomplete files
	}{{"one wrong piece", 1, false}, {"whole", 0, false}, {"incomplete", 1, true}} {
		dir, out, rec := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "r")
		s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 4)})
		name := s.final(0)
		if c.part {
			name = s.part(0)
		}
		must(t, s.Close())
		orig := append([]byte(nil), f.data[:100_000]...)
		for range c.bad {
			orig[20_000+dice.IntN(10_000)] ^= 1
		}
		other := filepath.Join(out, "orig")
		must(t, os.WriteFile(other, orig, 0o644))
		must(t, os.MkdirAll(filepath.Join(dir, "T/d"), 0o755))
		must(t, os.Link(other, filepath.Join(dir, name)))
		s = open(t, Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 4)})
		have, err := s.CheckDoubtful(t.Context(), nil)
		must(t, err)
		if have.Count() < 4 {
			t.Errorf("%s: only %d existing pieces are used", c.name, have.Count())
		}
		download(t, f, s, nil)
		must(t, s.Close())
		m := contents(t, dir)
		if m["T/d/a"]+m["T/d/b"] != string(f.data) || len(m) != 2 {
			t.Errorf("%s: wrong bytes or names: %v", c.name, names(m))
		}
		if now := contents(t, out)["orig"]; now != string(orig) {
			t.Errorf("%s: the other name was written to", c.name)
		}
	}
}

// A hard link created during the download keeps its contents.
func TestHardLinkCreatedDuringTheDownload(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	dir, out := t.TempDir(), t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 4)})
	f.put(t, s, 0, 1, 2)
	must(t, os.Link(filepath.Join(dir, s.part(0)), filepath.Join(out, "copy")))
	was := contents(t, out)["copy"]
	download(t, f, s, nil)
	must(t, s.Close())
	if contents(t, out)["copy"] != was || contents(t, dir)["one"] != string(f.data) {
		t.Error("the other name was written to, or ours is wrong")
	}
}

// The parts file ends after its last written slot. Reading beyond is not a change.
func TestReadingPastTheEndOfThePartsFileIsNotAChange(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b", "c"}, []int64{1, 16384, 16384})
	s := open(t, Options{Dir: t.TempDir(), Info: f.info, Select: []int{}, Handles: handles(t, 4)})
	f.put(t, s, 0)
	if ok, err := s.HashPiece(1, make([]byte, 1000)); ok || err == nil {
		t.Fatal(ok, err)
	}
	if !s.Have().Has(0) || s.NeedsCheck() {
		t.Error("piece 0 is doubtful")
	}
	must(t, s.Close())
}

// Data that was moved away and replaced by a symbolic link, of a folder or of each file,
// is shared, and nothing is written through the link.
func TestDataBehindSymbolicLinks(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"d/a", "d/b"}, []int64{50_000, 30_000})
	for _, c := range []struct {
		name string
		link func(t *testing.T, from, disk2 string)
		fix  bool // the hint names the folder
	}{
		{"of the folder", func(t *testing.T, from, disk2 string) {
			must(t, os.Rename(filepath.Join(from, "T"), filepath.Join(disk2, "T")))
			must(t, os.Symlink(filepath.Join(disk2, "T"), filepath.Join(from, "T")))
		}, true},
		{"of a folder in it", func(t *testing.T, from, disk2 string) {
			must(t, os.Rename(filepath.Join(from, "T/d"), filepath.Join(disk2, "x")))
			must(t, os.Symlink(filepath.Join(disk2, "x"), filepath.Join(from, "T/d")))
		}, false},
		{"of each file", func(t *testing.T, from, disk2 string) {
			for _, n := range []string{"a", "b"} {
				must(t, os.Rename(filepath.Join(from, "T/d", n), filepath.Join(disk2, n)))
				must(t, os.Symlink(filepath.Join(disk2, n), filepath.Join(from, "T/d", n)))
			}
		}, false},
		{"of each file, inside", func(t *testing.T, from, _ string) {
			for _, n := range []string{"a", "b"} {
				must(t, os.Rename(filepath.Join(from, "T/d", n), filepath.Join(from, "KEY-"+n)))
				must(t, os.Symlink("../../KEY-"+n, filepath.Join(from, "T/d", n)))
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, disk2 := t.TempDir(), t.TempDir()
			must(t, os.MkdirAll(filepath.Join(from, "T/d"), 0o755))
			must(t, os.WriteFile(filepath.Join(from, "T/d/a"), f.data[:50_000], 0o644))
			must(t, os.WriteFile(filepath.Join(from, "T/d/b"), f.data[50_000:], 0o644))
			c.link(t, from, disk2)
			rec := filepath.Join(t.TempDir(), "r")
			s := open(t, Options{Dir: from, Info: f.info, ReadOnly: true, Record: rec, Handles: handles(t, 4)})
			have, err := s.CheckDoubtful(t.Context(), nil)
			must(t, err)
			if !have.Full() || len(s.Faults()) != 0 {
				t.Error(have.Count(), "pieces", s.Faults())
			}
			b := make([]byte, len(f.data))
			must(t, s.ReadAt(b, 0))
			must(t, s.Flush())
			must(t, s.Close())
			for _, overwrite := range []bool{false, true} {
				s, err := Open(Options{Dir: from, Info: f.info, Overwrite: overwrite, Handles: handles(t, 4)})
				if overwrite && strings.HasPrefix(c.name, "of each file") {
					must(t, err) // the link is replaced, not what it leads to
					download(t, f, s, nil)
					must(t, s.Close())
					if fi, err := os.Lstat(filepath.Join(from, "T/d/a")); err != nil || !fi.Mode().IsRegular() {
						t.Error(fi, err)
					}
					continue
				}
				e := kind(t, err, Exists)
				if !errors.Is(err, ErrLinked) || !strings.Contains(e.Error(), "symbolic link to ") || c.fix != strings.Contains(e.Hint(), "--dir "+disk2) {
					t.Error(e, e.Hint())
				}
			}
		})
	}
}

// A clock so coarse that all writes have the same time does not hide a change.
func TestChangesUnderACoarseClock(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	for at := range f.info.NumPieces() {
		if at == 0 {
			continue // the file does not exist yet
		}
		disk := simnet.NewDisk()
		disk.SetCoarse()
		s := open(t, Options{Dir: "dl", Info: f.info, Handles: handles(t, 4), OpenDisk: func(string, bool) (Disk, error) {
			return modelDisk{disk.Sub("dl")}, nil
		}})
		faults := download(t, f, s, once(at, func() {
			w, err := disk.Sub("dl").Open(s.part(0), os.O_RDWR, 0)
			must(t, err)
			_, err = w.WriteAt([]byte{0}, 100)
			must(t, err)
		}))
		if len(faults) == 0 || faults[0].Kind != Changed {
			t.Error(at, faults)
		}
		must(t, s.Close())
		b := make([]byte, len(f.data))
		r, err := disk.Sub("dl").Open("one", 0, 0)
		must(t, err)
		if n, _ := r.ReadAt(b, 0); n < len(b) || string(b) != string(f.data) {
			t.Error(at, "complete with wrong bytes")
		}
	}
}

// Data that others wrote after verification is not read for a peer.
func TestDataWrittenByOthersIsNotRead(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	for _, readOnly := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "one")
		must(t, os.WriteFile(path, f.data, 0o644))
		s := open(t, Options{Dir: dir, Info: f.info, ReadOnly: readOnly, Handles: handles(t, 4)})
		_, err := s.CheckDoubtful(t.Context(), nil)
		must(t, err)
		b := make([]byte, 100)
		must(t, s.ReadAt(b, 50_000))
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = w.WriteAt(make([]byte, 10), 50_000)
		must(t, errors.Join(err, w.Close()))
		kind(t, s.ReadAt(b, 50_000), Changed)
		have, err := s.Recheck(t.Context())
		must(t, err)
		if have.Has(3) || have.Count() != f.info.NumPieces()-1 {
			t.Error(have.Count(), "pieces remain")
		}
		must(t, s.Close())
	}
}

// lateDisk sets the times of files when they are synced, as a server may.
type lateDisk struct{ modelDisk }

func (lateDisk) SteadyTimes() bool { return false }

func (d lateDisk) Open(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := d.modelDisk.Open(name, flag, perm)
	return lateFile{f}, err
}

type lateFile struct{ File }

func (f lateFile) Sync() error {
	_, mtime, _, err := f.Version()
	return errors.Join(err, f.SetTime(mtime+int64(time.Second)), f.File.Sync())
}

// Times that a server sets late are not taken for a change by others. A complete file
// that has been synced has its final time, and a change is noticed.
func TestTimesSetLateByTheServer(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"one"}, []int64{160_000})
	disk := simnet.NewDisk()
	s := open(t, Options{Dir: "dl", Info: f.info, Handles: handles(t, 4), OpenDisk: func(string, bool) (Disk, error) {
		return lateDisk{modelDisk{disk.Sub("dl")}}, nil
	}})
	faults := download(t, f, s, func(p int) {
		if p%3 == 2 {
			must(t, s.Flush())
		}
	})
	if len(faults) > 0 {
		t.Fatal(faults[0])
	}
	must(t, s.Flush())
	must(t, s.ReadAt(make([]byte, 100), 0))
	w, err := disk.Sub("dl").Open("one", os.O_RDWR, 0)
	must(t, err)
	_, err = w.WriteAt([]byte{0}, 50)
	must(t, err)
	kind(t, s.ReadAt(make([]byte, 100), 0), Changed)
	have, err := s.Recheck(t.Context())
	must(t, err)
	if have.Has(0) || have.Count() != f.info.NumPieces()-1 {
		t.Error(have.Count())
	}
}
