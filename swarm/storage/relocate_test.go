package storage

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// moved is a torrent in a folder beside others' files, partly downloaded.
func moved(t *testing.T) (f fixture, r Relocation) {
	t.Helper()
	f = small(t)
	base := t.TempDir()
	r = Relocation{Options: Options{Dir: filepath.Join(base, "from"), Info: f.info, Record: filepath.Join(base, "state", "resume"), Handles: handles(t, 20)},
		To: filepath.Join(base, "to")}
	must(t, os.MkdirAll(filepath.Join(base, "state"), 0o700))
	s := open(t, r.Options)
	for p := range f.info.NumPieces() - 1 {
		f.put(t, s, p)
	}
	must(t, s.Finish())
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(r.Dir, "foreign"), []byte("not ours"), 0o644))
	return f, r
}

// isMoved checks that all data is in the new folder and is found there, and that the old
// folder contains only the file of another program.
func isMoved(t *testing.T, f fixture, r Relocation, before map[string]string) {
	t.Helper()
	after := contents(t, r.To)
	want := maps.Clone(before)
	delete(want, "foreign")
	if !maps.Equal(after, want) {
		t.Errorf("of %v there is %v", names(want), names(after))
	}
	if left := contents(t, r.Dir); len(left) != 1 || left["foreign"] != "not ours" {
		t.Errorf("the old folder has %v", names(left))
	}
	o := r.Options
	o.Dir = r.To
	s := open(t, o)
	if s.NeedsCheck() || s.Have().Count() != f.info.NumPieces()-1 {
		t.Errorf("%d pieces are known in the new folder, and a check is needed: %v", s.Have().Count(), s.NeedsCheck())
	}
	f.put(t, s, f.info.NumPieces()-1)
	must(t, s.Finish())
	must(t, s.Close())
}

func TestRelocateWithinAFileSystem(t *testing.T) {
	f, r := moved(t)
	before := contents(t, r.Dir)
	must(t, relocate(t.Context(), r))
	isMoved(t, f, r, before)
}

func TestRelocateToAnotherFileSystem(t *testing.T) {
	f, r := moved(t)
	r.Rename = func(string, string) error { return &os.LinkError{Op: "rename", Err: syscall.EXDEV} }
	last := int64(0)
	r.Progress = func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}
	before := contents(t, r.Dir)
	must(t, relocate(t.Context(), r))
	isMoved(t, f, r, before)
}

// A move that was interrupted at any step is continued by the next call, whether it renames
// or copies.
func TestRelocateGoesOn(t *testing.T) {
	for _, across := range []bool{false, true} {
		for stop := 1; ; stop++ {
			f, r := moved(t)
			before := contents(t, r.Dir)
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			step := func(int64, int64) {
				if steps++; steps == stop {
					cancel()
				}
			}
			if across {
				r.Rename = func(string, string) error { return syscall.EXDEV }
			}
			r.Progress = step
			err := relocate(ctx, r)
			cancel()
			if steps < stop {
				must(t, err)
				break
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if err != nil { // it is still whole where it was
				if now := contents(t, r.Dir); !maps.Equal(now, before) {
					t.Fatalf("after step %d of %v the old folder has %v", stop, names(before), names(now))
				}
			}
			r.Progress = nil
			must(t, relocate(t.Context(), r))
			isMoved(t, f, r, before)
		}
	}
}

// A move that fails leaves everything where it was: if a file of another program exists
// under the new name, and if the disk is full.
func TestRelocateFailsWhole(t *testing.T) {
	f, r := moved(t)
	before := contents(t, r.Dir)
	mine := names(before)
	mine = slices.DeleteFunc(mine, func(n string) bool { return n == "foreign" })
	inWay := filepath.Join(r.To, mine[len(mine)-1])
	must(t, os.MkdirAll(filepath.Dir(inWay), 0o755))
	must(t, os.WriteFile(inWay, []byte("somebody's"), 0o644))
	if err := relocate(t.Context(), r); kindOf(err) != Exists {
		t.Errorf("over a foreign file: %v", err)
	}
	if now := contents(t, r.Dir); !maps.Equal(now, before) {
		t.Errorf("the old folder has %v", names(now))
	}
	if now := contents(t, r.To); len(now) != 1 {
		t.Errorf("the new folder has %v", names(now))
	}
	must(t, os.Remove(inWay))
	n := 0
	r.Rename = func(from, to string) error {
		if n++; n == 2 {
			return &os.LinkError{Op: "rename", Err: syscall.EIO}
		}
		return os.Rename(from, to)
	}
	if err := relocate(t.Context(), r); err == nil {
		t.Error("a failure was not reported")
	}
	if now := contents(t, r.Dir); !maps.Equal(now, before) {
		t.Errorf("the old folder has %v", names(now))
	}
	r.Rename = nil
	must(t, relocate(t.Context(), r))
	isMoved(t, f, r, before)
}

// RemoveFiles deletes the files that we wrote and that are unchanged since, and the folders
// that become empty.
func TestRemoveFilesLeavesWhatIsNotOurs(t *testing.T) {
	_, r := moved(t)
	before := names(contents(t, r.Dir))
	changed := before[len(before)-1]
	if changed == "foreign" {
		changed = before[0]
	}
	for _, n := range before {
		if filepath.Ext(n) != ".part" && n != "foreign" {
			changed = n
		}
	}
	must(t, os.WriteFile(filepath.Join(r.Dir, changed), []byte("edited"), 0o644))
	must(t, RemoveFiles(r.Options))
	left := names(contents(t, r.Dir))
	slices.Sort(left)
	want := []string{"foreign", changed}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("of %v there is %v, not %v", before, left, want)
	}
	must(t, RemoveFiles(r.Options))
}

func relocate(ctx context.Context, r Relocation) error {
	_, err := Relocate(ctx, r)
	return err
}
