package storage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// kept checks that a torrent is found under its names, with nothing to hash.
func kept(t *testing.T, s *Storage, pieces int) {
	t.Helper()
	if s.NeedsCheck() || s.Have().Count() != pieces {
		t.Errorf("%d pieces are proven, not %d, and a check is needed: %v", s.Have().Count(), pieces, s.NeedsCheck())
	}
	buf := make([]byte, 10000)
	for p := range s.Have().All() {
		if ok, err := s.HashPiece(p, buf); !ok {
			t.Fatalf("piece %d: %v", p, err)
		}
	}
}

// A file, a folder and the torrent itself are renamed while it is downloaded, and the download
// goes on under the new names.
func TestRenameWhileDownloading(t *testing.T) {
	f := small(t) // a, d/b, empty, d/c
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	s := open(t, o)
	f.put(t, s, 0, 1, 2)
	must(t, s.Finish())
	sfx := "." + f.info.Hash.String()[:8] + ".part"
	must(t, s.Rename("T/d/c", "T/d/new.c"))
	must(t, s.Rename("T/d", "T/e/f"))
	must(t, s.Rename("T", "U"))
	must(t, s.Rename("U/empty", "U/e/void"))
	want := []string{"U/a", "U/e/f/b", "U/e/f/new.c" + sfx, "U/e/void"}
	if got := names(contents(t, o.Dir)); !slices.Equal(got, want) {
		t.Fatalf("%v, not %v", got, want)
	}
	kept(t, s, 3)
	f.put(t, s, 3, 4)
	must(t, s.Flush())
	must(t, s.Close())
	s = open(t, o)
	kept(t, s, 5)
	n := s.Names()
	if n.Root() != "U" || n.Path(0) != "U/a" || n.Path(1) != "U/e/f/b" || n.Path(2) != "U/e/void" || n.Path(3) != "U/e/f/new.c" {
		t.Errorf("%q: %v", n.Root(), []string{n.Path(0), n.Path(1), n.Path(2), n.Path(3)})
	}
	f.put(t, s, 5)
	must(t, s.Finish())
	if ok, err := s.Complete(); !ok {
		t.Error("it is not complete:", err)
	}
	must(t, s.Close())
	if got, want := names(contents(t, o.Dir)), []string{"U/a", "U/e/f/b", "U/e/f/new.c", "U/e/void"}; !slices.Equal(got, want) {
		t.Fatalf("%v, not %v", got, want)
	}
	if IsMissing(o) {
		t.Error("the data is missing")
	}
	must(t, RenameFiles(o, "U/e/f/b", "U/b"))
	s = open(t, o)
	kept(t, s, 6)
	must(t, s.Rename("U/b", "b")) // out of the folder: there is no common one now
	if r := s.Names().Root(); r != "." {
		t.Error(r)
	}
	must(t, s.Rename("b", "U/d/b"))
	must(t, s.Rename("U/e/f/new.c", "U/d/c"))
	must(t, s.Rename("U/e/void", "U/empty"))
	must(t, s.Rename("U", "T"))
	if got, want := names(contents(t, o.Dir)), []string{"T/a", "T/d/b", "T/d/c", "T/empty"}; !slices.Equal(got, want) {
		t.Fatalf("%v, not %v", got, want)
	}
	if n := s.layout.chosen(); n.root != "" || len(n.files) > 0 {
		t.Errorf("names are kept that are those of the torrent: %+v", n)
	}
	must(t, s.Close())
	must(t, RemoveFiles(o))
	if left := contents(t, o.Dir); len(left) > 0 {
		t.Error(names(left))
	}
}

// A single file is renamed, also into a folder, read-only and without being opened.
func TestRenameASingleFile(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"f.txt"}, []int64{50000})
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20), ReadOnly: true}
	must(t, os.WriteFile(filepath.Join(o.Dir, "f.txt"), f.data, 0o644))
	s := open(t, o)
	if _, err := s.CheckDoubtful(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	must(t, s.Rename("f.txt", "g/h.txt"))
	kept(t, s, 4)
	must(t, s.Close())
	must(t, RenameFiles(o, "g", "i"))
	s = open(t, o)
	kept(t, s, 4)
	if s.Names().Root() != "i/h.txt" || len(contents(t, o.Dir)) != 1 {
		t.Error(s.Names().Root(), names(contents(t, o.Dir)))
	}
	must(t, s.Close())
	if n := RecordedNames(f.info, o.Dir, o.Record); n.Path(0) != "i/h.txt" {
		t.Error(n.Path(0))
	}
}

// What others have in a folder stays, and nothing of others is replaced.
func TestRenameSparesOthers(t *testing.T) {
	f := small(t)
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	s := open(t, o)
	f.put(t, s, 0, 1, 2)
	must(t, s.Finish())
	foreign := func(name string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(o.Dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(o.Dir, name), []byte("foreign"), 0o644))
	}
	sfx := "." + f.info.Hash.String()[:8] + ".part"
	foreign("T/d/nfo")
	foreign("T/x")
	foreign("T/y" + sfx)
	foreign("T/z")
	foreign("V/d/c")
	before := contents(t, o.Dir)
	for _, c := range [][2]string{{"T/a", "T/x"}, {"T/d", "T/x"}, {"T/a", "T/x/a"}, {"T/d/c", "T/y"}, {"T/d/c", "T/z"}, {"T", "V"}} {
		err := s.Rename(c[0], c[1])
		var e *Error
		if !errors.As(err, &e) || e.Kind != Exists {
			t.Errorf("%v: %v", c, err)
		}
	}
	if after := contents(t, o.Dir); !maps.Equal(after, before) {
		t.Errorf("of %v there is %v", names(before), names(after))
	}
	if n := s.Names(); n.Path(0) != "T/a" || n.Path(3) != "T/d/c" {
		t.Error("the names have changed")
	}
	kept(t, s, 3)
	must(t, s.Rename("T/d", "T/e"))
	m := contents(t, o.Dir)
	if m["T/d/nfo"] != "foreign" || m["T/e/b"] == "" || m["T/e/c"+sfx] == "" || len(m) != len(before) {
		t.Error(names(m))
	}
	must(t, s.Close())
}

// Hostile and impossible names are refused, and nothing changes.
func TestRenameRefuses(t *testing.T) {
	f := small(t)
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	s := open(t, o)
	f.put(t, s, 0)
	sfx := "." + f.info.Hash.String()[:8] + ".part"
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"T/a", "../a", ErrUnsafeName}, {"T/a", "/a", ErrUnsafeName}, {"T/a", "", ErrUnsafeName}, {"T/a", ".", ErrUnsafeName},
		{"T/a", "T/../a", ErrUnsafeName}, {"T/a", "T//b", ErrUnsafeName}, {"T/a", "T/..", ErrUnsafeName}, {"T/a", `T/b\c`, ErrUnsafeName},
		{"T/a", "T/a\x00b", ErrUnsafeName}, {"T/a", "T/con", ErrUnsafeName}, {"T/a", "T/\u202eb", ErrUnsafeName}, {"T/a", "T/\xff", ErrUnsafeName},
		{"T/a", "T/" + strings.Repeat("x", 256), ErrUnsafeName}, {"T/a", strings.Repeat("x/", 100) + "a", ErrUnsafeName}, {"T/a", "T/" + strings.Repeat(strings.Repeat("x", 200)+"/", 21) + "a", ErrUnsafeName},
		{"T/a", "T/b" + sfx, ErrUnsafeName}, {"T/a", "T/." + f.info.Hash.String() + ".parts", ErrUnsafeName},
		{"T/b", "T/c", ErrNoSuchName}, {"", "T/c", ErrNoSuchName}, {"T/d/", "T/x", nil}, {"..", "T/c", ErrNoSuchName}, {"/T/a", "T/c", ErrNoSuchName},
		{"T/a", "T/x", ErrExists}, {"T/a", "T/x/b", ErrExists}, {"T/a", "T/empty/b", ErrExists}, {"T/x", "T", ErrExists}, {"T/x", "T/a", ErrExists}, {"T/a", "T/a/b", ErrExists},
		{"T/x", "T/x/y", nil}, {"T/x/y", "T/x", nil}, {"T/x", "T/x", nil},
	} {
		err := s.Rename(c.from, c.to)
		var e *NameError
		if !errors.Is(err, c.want) || c.want != nil && !errors.As(err, &e) {
			t.Errorf("%q to %q: %v, not %v", c.from, c.to, err, c.want)
		}
	}
	if got, want := names(contents(t, o.Dir)), []string{"T/a" + sfx}; !slices.Equal(got, want) {
		t.Error(got)
	}
	must(t, s.Close())
}

// On a file system that ignores case, a name can change its case, but not to that of another file.
func TestRenameWithoutCase(t *testing.T) {
	f := small(t)
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	onFoldingDisk(&o)
	s := open(t, o)
	f.put(t, s, 0, 1)
	must(t, s.Finish())
	if err := s.Rename("T/a", "T/EMPTY"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := s.Rename("T/a", "T/D/B"); !errors.Is(err, ErrExists) { // does not exist yet
		t.Error(err)
	}
	must(t, s.Rename("T/a", "T/A"))
	must(t, s.Rename("T", "t"))
	kept(t, s, 2)
	must(t, s.Close())
	s = open(t, o)
	kept(t, s, 2)
	if p := s.Names().Path(0); p != "t/A" {
		t.Error(p)
	}
	must(t, s.Close())
	// Others distinguish the names.
	o.OpenDisk, o.Dir, o.Record = nil, t.TempDir(), filepath.Join(t.TempDir(), "resume")
	s = open(t, o)
	f.put(t, s, 0, 1)
	must(t, s.Rename("T/a", "T/EMPTY"))
	must(t, s.Close())
}

// The links of a torrent lead to the same files and folders after a rename.
func TestRenameKeepsLinks(t *testing.T) {
	f := small(t)
	plan := metainfo.Plan{Name: "T", PieceLength: 16 << 10, Files: []metainfo.PlanFile{
		{Path: []string{"a"}, Length: 20000}, {Path: []string{"d", "b"}, Length: 100},
		{Path: []string{"l", "file"}, Symlink: []string{"a"}}, {Path: []string{"l", "folder"}, Symlink: []string{"d"}},
	}}
	f.data = f.data[:20100]
	f.info = build(t, plan, f.data)
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20), Symlinks: true}
	s := open(t, o)
	f.put(t, s, 0, 1)
	must(t, s.Finish())
	for _, c := range [][2]string{{"T/a", "T/x/a2"}, {"T/d", "T/x/e"}, {"T/l", "T/m/n"}, {"T", "U"}} {
		must(t, s.Rename(c[0], c[1]))
		n := s.Names()
		b, err := os.ReadFile(filepath.Join(o.Dir, n.Path(2)))
		if err != nil || string(b) != string(f.data[:20000]) {
			t.Errorf("%v: the link to the file: %v", c, err)
		}
		if _, err := os.ReadFile(filepath.Join(o.Dir, n.Path(3), "b")); err != nil {
			t.Errorf("%v: the link to the folder: %v", c, err)
		}
	}
	must(t, s.Finish())
	must(t, s.Close())
}

// onModelDisk lets a torrent use a disk of simnet.
func onModelDisk(f fixture, disk *simnet.Disk, h *Handles) Options {
	return Options{Dir: "dl", Info: f.info, Handles: h, Record: "st/resume", OpenDisk: func(dir string, _ bool) (Disk, error) {
		if strings.HasSuffix(dir, "dl") {
			return modelDisk{disk.Sub("dl")}, nil
		}
		return modelDisk{disk.Sub("st")}, nil
	}}
}

// After a kill at any instant, and after an error at any instant, each file has its old or its new
// name, its data is found there without hashing, and nothing is left under another name.
func TestRenameSurvivesKills(t *testing.T) {
	f := small(t)
	for _, c := range []struct {
		from, to string
		foreign  bool
	}{{"T/a", "T/x", false}, {"T/d", "T/e/f", false}, {"T/d", "T/e", true}, {"T", "U", true}, {"T", "U", false}, {"T/d/b", "b", false}} {
		for _, once := range []bool{false, true} {
			done := false
			for stop := 1; !done; stop++ {
				disk, h := simnet.NewDisk(), NewHandles(20)
				o := onModelDisk(f, disk, h)
				s := open(t, o)
				f.put(t, s, 0, 1, 2)
				must(t, s.Finish())
				must(t, s.Flush())
				if c.foreign {
					must(t, writeWhole(modelDisk{disk.Sub("dl")}, "T/d/nfo", []byte("foreign"), true))
				}
				n := 0
				disk.SetFail(func(string, string) error {
					if n++; n == stop || n > stop && !once {
						return syscall.EIO
					}
					return nil
				})
				err := s.Rename(c.from, c.to)
				disk.SetFail(nil)
				done = n < stop
				if done {
					must(t, err)
				}
				if once { // it goes on
					kept(t, s, 3)
					must(t, s.Close())
				}
				h.Close()
				o.Handles = NewHandles(20)
				if IsMissing(o) {
					t.Fatalf("%v, operation %d: the data is missing", c, stop)
				}
				s = open(t, o)
				if s.NeedsCheck() || s.Have().Count() != 3 {
					t.Fatalf("%v, operation %d: %d pieces", c, stop, s.Have().Count())
				}
				kept(t, s, 3)
				for i := range f.info.Files {
					if p := s.Names().Path(i); i != 2 && s.files[i].place == absent {
						t.Fatalf("%v, operation %d: %s is absent", c, stop, p)
					}
				}
				if count := len(modelFiles(t, disk.Sub("dl"), ".")); count != 4 && !c.foreign || c.foreign && count != 5 {
					t.Fatalf("%v, operation %d: %v", c, stop, modelFiles(t, disk.Sub("dl"), "."))
				}
				must(t, s.Close())
				o.Handles.Close()
			}
		}
	}
}

// modelFiles lists the files below a folder.
func modelFiles(t *testing.T, d *simnet.Disk, dir string) (list []string) {
	entries, err := d.Names(dir)
	must(t, err)
	for _, n := range entries {
		name := filepath.Join(dir, n)
		if fi, err := d.Lstat(name); err == nil && fi.IsDir() {
			list = append(list, modelFiles(t, d, name)...)
		} else {
			list = append(list, name)
		}
	}
	return list
}

// After a power cut at any instant of renames, nothing that was synced is lost.
func TestRenameSurvivesPowerCuts(t *testing.T) {
	f := small(t)
	rapid.Check(t, func(rt *rapid.T) {
		disk, h := simnet.NewDisk(), NewHandles(20)
		o := onModelDisk(f, disk, h)
		s := open(rt, o)
		f.put(rt, s, 0, 1, 2)
		must(rt, s.Finish())
		must(rt, s.Flush())
		stop, n := rapid.IntRange(1, 60).Draw(rt, "stop"), 0
		disk.SetFail(func(string, string) error {
			if n++; n >= stop {
				return syscall.EIO
			}
			return nil
		})
		pool := []string{"T", "U", "T/d", "T/e", "U/d", "T/a", "T/d/b", "T/d/c", "U/a", "T/x"}
		for range rapid.IntRange(1, 4).Draw(rt, "renames") {
			_ = s.Rename(rapid.SampledFrom(pool).Draw(rt, "from"), rapid.SampledFrom(pool).Draw(rt, "to"))
		}
		disk.SetFail(nil)
		disk.Cut(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "dice"), 1)))
		h.Close()
		o.Handles = NewHandles(20)
		defer o.Handles.Close()
		s = open(rt, o)
		if s.NeedsCheck() || s.Have().Count() != 3 {
			rt.Fatalf("%d pieces; %v", s.Have().Count(), modelFiles(t, disk.Sub("dl"), "."))
		}
		must(rt, s.Close())
	})
}

// Readers and writers see no error while names change.
func TestRenameDuringUse(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "d/b", "d/c"}, []int64{200_000, 100_000, 300_000})
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	s := open(t, o)
	n := f.info.NumPieces()
	for p := range n / 2 {
		f.put(t, s, p)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	work := func(do func(k int) error) {
		wg.Go(func() {
			for k := 0; ; k++ {
				if err := do(k); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	work(func(k int) error {
		if ok, err := s.HashPiece(k%(n/2), make([]byte, 5000)); !ok {
			return fmt.Errorf("piece %d: %w", k%(n/2), err)
		}
		return nil
	})
	work(func(k int) error {
		p := n/2 + k%(n-n/2)
		off, b := f.piece(p)
		if err := s.WriteAt(b, off); err != nil {
			return err
		}
		s.MarkVerified(p)
		return nil
	})
	work(func(int) error { return s.Finish() })
	work(func(int) error { return s.Flush() })
	for k := range 8 {
		must(t, s.Rename(s.Names().Root(), fmt.Sprintf("T%d", k)))
		must(t, s.Rename(s.Names().Path(1+k%2), fmt.Sprintf("T%d/d%d/f%d", k, k%3, k)))
	}
	close(stop)
	wg.Wait()
	must(t, s.Close())
	s = open(t, o)
	kept(t, s, s.Have().Count())
	if s.Have().Count() < n/2 {
		t.Error(s.Have().Count())
	}
	must(t, s.Close())
}

// A flush that finds a folder gone while a rename is in progress waits for it, and does not fail.
func TestFlushWaitsForTheRenameThatTookAFolder(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a"}, []int64{20_000})
	s := open(t, Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)})
	s.mu.Lock()
	s.dirs["renamed"] = struct{}{}
	s.mu.Unlock()
	s.places.Lock() // as Rename does, which counts at its end
	done := make(chan error, 1)
	go func() { done <- s.syncDirs() }()
	for taken := false; !taken; runtime.Gosched() {
		s.mu.Lock()
		taken = len(s.dirs) == 0
		s.mu.Unlock()
	}
	time.Sleep(10 * time.Millisecond) // long enough to find that the folder is gone
	s.mu.Lock()
	s.renames++
	s.mu.Unlock()
	s.places.Unlock()
	must(t, <-done)
	must(t, s.Close())
}
