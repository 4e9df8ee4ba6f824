package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/id"
)

// breakDisk makes writes to the file of the journal fail until the returned function is called.
func breakDisk(t *testing.T, j *Journal) (repair func()) {
	t.Helper()
	readOnly, err := os.Open(j.path)
	if err != nil {
		t.Fatal(err)
	}
	whole := j.file
	j.file = readOnly
	return func() {
		if j.file == readOnly {
			j.file = whole
		}
		readOnly.Close()
	}
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A key that is deleted while the disk is full does not come back after a restart.
func TestADeletionOnAFullDiskIsMadeUpFor(t *testing.T) {
	for _, repaired := range []string{"before the sync", "by the sync"} {
		path := filepath.Join(t.TempDir(), "j")
		j := open(t, path)
		do(t, j.Put(id.ID{1}, []byte("a")), j.Put(id.ID{2}, []byte("b")), j.Sync())
		repair := breakDisk(t, j)
		if err := j.Delete(id.ID{1}); err == nil {
			t.Error("the failed write is not reported")
		}
		if j.Has(id.ID{1}) || !j.IsPending() {
			t.Errorf("after the failed deletion: has %v, pending %v", j.Has(id.ID{1}), j.IsPending())
		}
		if repaired == "before the sync" {
			repair()
		}
		do(t, j.Sync())
		if repaired == "by the sync" {
			repair()
		}
		if j.IsPending() {
			t.Error("something is pending after the sync")
		}
		do(t, j.Close())
		j = open(t, path)
		if got := content(t, j); len(got) != 1 || got[id.ID{2}] != "b" || j.Damage() != nil {
			t.Errorf("%v, %v", got, j.Damage())
		}
		do(t, j.Close())
	}
}

// A file without one valid line, such as one that an editor has saved with other line breaks, is reported
// and kept.
func TestAFileOfGarbageIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	do(t, j.Put(id.ID{1}, []byte("a")), j.Sync(), j.Put(id.ID{2}, []byte("b")), j.Close())
	good, err := os.ReadFile(path)
	do(t, err)
	bad := bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n"))
	do(t, os.WriteFile(path, bad, 0o600))
	j = open(t, path)
	var damage *DamageError
	if !errors.As(j.Damage(), &damage) || damage.Lines != bytes.Count(bad, []byte("\n")) {
		t.Errorf("damage: %v", j.Damage())
	}
	do(t, j.Put(id.ID{3}, []byte("c")), j.Sync(), j.Close())
	if kept, err := os.ReadFile(path + damagedSuffix); err != nil || !bytes.Equal(kept, bad) {
		t.Errorf("kept: %q, %v", kept, err)
	}
	j = open(t, path)
	defer j.Close()
	if got := content(t, j); len(got) != 1 || got[id.ID{3}] != "c" || j.Damage() != nil {
		t.Errorf("%v, %v", got, j.Damage())
	}
}

// Later rewrites leave the damaged file that was kept as it is.
func TestTheDamagedFileIsKeptOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	do(t, j.Put(id.ID{1}, []byte("a")), j.Put(id.ID{2}, []byte("b")), j.Sync(), j.Close())
	bad, err := os.ReadFile(path)
	do(t, err)
	bad[3] ^= 1
	do(t, os.WriteFile(path, bad, 0o600))
	j = open(t, path)
	if j.Damage() == nil {
		t.Fatal("the damage was not found")
	}
	do(t, j.Sync())
	value := bytes.Repeat([]byte{'x'}, minGarbage)
	for range 4 {
		do(t, j.Put(id.ID{3}, value), j.Sync())
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 3*minGarbage {
		t.Fatalf("the file was not written again: %v", err)
	}
	do(t, j.Close())
	if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, bad) {
		t.Errorf("the damaged file was not kept: %d bytes, %v", len(kept), err)
	}
}

// An empty file does not take the place of one that has vanished: lines that are appended to it would
// not be where the index says.
func TestAVanishedFileIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	do(t, j.Put(id.ID{1}, []byte("a")), j.Sync(), j.file.Close(), os.Remove(path))
	j.file = nil // as after a rename that failed
	for what, err := range map[string]error{"Put": j.Put(id.ID{2}, []byte("b")), "Sync": j.Sync()} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && what == "Put" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := j.Get(id.ID{1}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a new file: %v", err)
	}
}

// After Close another process may own the journal.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	for _, had := range []bool{false, true} {
		j := open(t, path)
		if had {
			do(t, j.Put(id.ID{1}, []byte("a")))
		}
		do(t, j.Close())
		before, _ := os.ReadFile(path)
		if err := j.Put(id.ID{2}, []byte("b")); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Put: %v", err)
		}
		if j.IsPending() {
			t.Error("something is pending")
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%q has become %q", before, after)
		}
		do(t, j.Close())
	}
}

// What a kill in the middle of a rewrite leaves takes no space after the next start.
func TestAnInterruptedRewriteIsSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	do(t, j.Put(id.ID{1}, []byte("a")), j.Close(), os.WriteFile(path+newSuffix, []byte("half"), 0o600))
	j = open(t, path)
	defer j.Close()
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) || len(j.Keys()) != 1 {
		t.Errorf("%v, %d keys", err, len(j.Keys()))
	}
}

// A name that no Sync of an earlier process has synced is synced by this one.
func TestTheNameOfALoadedFileIsSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	do(t, j.Put(id.ID{1}, []byte("a")), j.Close())
	j = open(t, path)
	defer j.Close()
	if j.isNamed {
		t.Error("the name counts as synced after a kill")
	}
	if do(t, j.Sync()); !j.isNamed {
		t.Error("Sync has not synced the name")
	}
}

// A large file of garbage takes little memory, whatever its lines are like.
func TestGarbageTakesLittleMemory(t *testing.T) {
	const size = 16 << 20
	valid := string(appendLine(nil, id.ID{1}.String(), []byte("value")))
	for what, content := range map[string]string{
		"empty lines": valid + strings.Repeat("\n", size) + valid,
		"one line":    valid + strings.Repeat("x", 2*size) + "\n" + valid,
	} {
		path := filepath.Join(t.TempDir(), "j")
		do(t, os.WriteFile(path, []byte(content), 0o600))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		j := open(t, path)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; what == "empty lines" && n > 4<<20 {
			t.Errorf("%s: %d MB", what, n>>20)
		}
		if got := j.Keys(); !slices.Equal(got, []id.ID{{1}}) {
			t.Errorf("%s: keys %v", what, got)
		}
		do(t, j.Sync())
		if st, err := j.file.Seek(0, io.SeekEnd); err != nil || st != int64(len(valid)) {
			t.Errorf("%s: %d bytes after the rewrite, %v", what, st, err)
		}
		do(t, j.Close())
	}
}
