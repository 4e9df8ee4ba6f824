package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"seedbed/magnet/metainfo"
)

func TestHashTreeMakesWhatStorageVerifies(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "share")
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	data := make([]byte, 300000)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	for name, n := range map[string]int{"a/b/z": 70000, "a/y": 0, "a.txt": 5, "Ä": 100001, ".hidden": 3} {
		must(t, os.WriteFile(filepath.Join(dir, name), data[:n], 0o644))
	}
	warnings := 0
	if runtime.GOOS != "windows" {
		must(t, os.Symlink("a.txt", filepath.Join(dir, "link")))
		warnings = 1
	}
	var warned []error
	last := int64(0)
	plan, hashes, err := HashTree(t.Context(), dir, HashOptions{
		PieceLength: 16 << 10,
		Progress: func(done, total int64) {
			if done < last || total != 170009 {
				t.Error(done, total)
			}
			last = done
		},
		Warn: func(err error) { warned = append(warned, err) },
	})
	must(t, err)
	var order []string
	for _, f := range plan.Files {
		order = append(order, strings.Join(f.Path, "/"))
	}
	if !slices.Equal(order, []string{".hidden", "a/b/z", "a/y", "a.txt", "Ä"}) {
		t.Fatal(order)
	}
	if len(warned) != warnings || last != 170009 {
		t.Fatal(warned, last)
	}
	info, err := metainfo.Build(plan, hashes)
	must(t, err)
	for _, verified := range []bool{false, true} {
		s := open(t, Options{Dir: top, Info: info, ReadOnly: true, Verified: verified, Handles: handles(t, 3)})
		if s.NeedsCheck() == verified {
			t.Fatal("needs a check:", !verified)
		}
		have := s.Have()
		if !verified {
			have, err = s.Check(t.Context(), nil)
			must(t, err)
		}
		if !have.Full() {
			t.Fatal(have.Count())
		}
		kind(t, s.WriteAt(make([]byte, 1), 0), Permission)
		must(t, s.Close())
	}
}

func TestHashTreeOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.bin")
	must(t, os.WriteFile(path, make([]byte, 40000), 0o644))
	plan, hashes, err := HashTree(t.Context(), path, HashOptions{})
	must(t, err)
	info, err := metainfo.Build(plan, hashes)
	must(t, err)
	if info.IsMulti() || info.Name != "one.bin" || info.Length != 40000 {
		t.Fatalf("%+v", info)
	}
	s := open(t, Options{Dir: filepath.Dir(path), Info: info, ReadOnly: true, Handles: handles(t, 3)})
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	if !have.Full() {
		t.Fatal(have.Count())
	}
}

func TestHashTreeRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	_, _, err := HashTree(t.Context(), dir, HashOptions{})
	var empty *EmptyError
	if !errors.As(err, &empty) {
		t.Fatal(err)
	}
	_, _, err = HashTree(t.Context(), filepath.Join(dir, "none"), HashOptions{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		must(t, os.Symlink(dir, filepath.Join(dir, "link")))
		if _, _, err = HashTree(t.Context(), filepath.Join(dir, "link"), HashOptions{}); err == nil {
			t.Fatal("a symbolic link was shared")
		}
	}
}
