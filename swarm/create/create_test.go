package create

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o storage.Options) *storage.Storage {
	t.Helper()
	o.Handles = storage.NewHandles(3)
	t.Cleanup(o.Handles.Close)
	s, err := storage.Open(o)
	must(t, err)
	return s
}

func TestMakeMakesWhatStorageVerifies(t *testing.T) {
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
	made, err := Make(t.Context(), dir, Options{
		PieceLength: 16 << 10, Rules: Rules{Hidden: Keep},
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
	for _, f := range made.Info.Files {
		order = append(order, strings.Join(f.Path, "/"))
	}
	if !slices.Equal(order, []string{".hidden", "a/b/z", "a/y", "a.txt", "Ä"}) {
		t.Fatal(order)
	}
	if len(warned) != warnings || last != 170009 {
		t.Fatal(warned, last)
	}
	info := made.Info
	for _, verified := range []bool{false, true} {
		s := open(t, storage.Options{Dir: top, Info: info, ReadOnly: true, Verified: verified})
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
		var refused *storage.Error
		if err := s.WriteAt(make([]byte, 1), 0); !errors.As(err, &refused) || refused.Kind != storage.Permission {
			t.Fatal(err)
		}
		must(t, s.Close())
	}
}

func TestMakeOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.bin")
	must(t, os.WriteFile(path, make([]byte, 40000), 0o644))
	made, err := Make(t.Context(), path, Options{})
	must(t, err)
	info := made.Info
	if info.IsMulti() || info.Name != "one.bin" || info.Length != 40000 {
		t.Fatalf("%+v", info)
	}
	s := open(t, storage.Options{Dir: filepath.Dir(path), Info: info, ReadOnly: true})
	have, err := s.Check(t.Context(), nil)
	must(t, err)
	if !have.Full() {
		t.Fatal(have.Count())
	}
}

func TestMakeRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	_, err := Make(t.Context(), dir, Options{})
	var empty *EmptyError
	if !errors.As(err, &empty) {
		t.Fatal(err)
	}
	_, err = Make(t.Context(), filepath.Join(dir, "none"), Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		must(t, os.Symlink(dir, filepath.Join(dir, "link")))
		if _, err = Make(t.Context(), filepath.Join(dir, "link"), Options{}); err == nil {
			t.Fatal("a symbolic link was shared")
		}
	}
}

// Unusual files are reported and handled according to the options.
func TestMakeReportsUnusualFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links and such names cannot be created here")
	}
	dir := filepath.Join(t.TempDir(), "share")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	for _, name := range []string{"plain", ".hidden", "con.txt", "File", "file", "e\u0301", "sub/x"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	must(t, os.Symlink("../plain", filepath.Join(dir, "sub", "link")))
	must(t, os.Symlink("../../etc", filepath.Join(dir, "out")))
	paths := func(o Rules) (list []string, warned string, err error) {
		var warnings []string
		made, err := Make(t.Context(), dir, Options{Format: metainfo.Hybrid, Rules: o, Warn: func(err error) { warnings = append(warnings, strings.TrimPrefix(err.Error(), dir+"/")) }})
		if err != nil {
			return nil, "", err
		}
		for _, f := range made.Info.Files {
			if !f.Pad {
				p := strings.Join(f.Path, "/")
				if f.Symlink != nil {
					p += " -> " + strings.Join(f.Symlink, "/")
				}
				list = append(list, p)
			}
		}
		return list, strings.Join(warnings, "\n"), nil
	}
	list, warned, err := paths(Rules{})
	must(t, err)
	if want := []string{"File", "con.txt", "e\u0301", "file", "plain", "sub/x"}; !slices.Equal(list, want) {
		t.Errorf("%q", list)
	}
	for _, want := range []string{".hidden: it is hidden", "con.txt: its name is not allowed on Windows", "decomposed accents",
		"sub/link: it is a symbolic link", "file: its name clashes with another file's on some systems; other clients will rename it to file.1"} {
		if !strings.Contains(warned, want) {
			t.Errorf("no warning %q in\n%s", want, warned)
		}
	}
	list, warned, err = paths(Rules{Hidden: Keep, Links: Keep, Names: Skip})
	must(t, err)
	if want := []string{".hidden", "File", "file", "plain", "sub/link -> plain", "sub/x"}; !slices.Equal(list, want) {
		t.Errorf("%q", list)
	}
	if !strings.Contains(warned, "out: it is a symbolic link that leads out of the folder") {
		t.Error(warned)
	}
	for _, o := range []Rules{{Links: Refuse}, {Names: Refuse}} {
		if _, _, err := paths(o); err == nil {
			t.Errorf("%+v was not refused", o)
		}
	}
	// A name that is not UTF-8 cannot be in a torrent.
	if os.WriteFile(filepath.Join(dir, "\xff"), nil, 0o644) == nil {
		if _, _, err := paths(Rules{}); err == nil || !strings.Contains(err.Error(), "UTF-8") {
			t.Error(err)
		}
	}
}

// A file that changes while it is hashed makes Make fail, or is skipped or read again.
func TestMakeOfAChangingFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "share")
	must(t, os.MkdirAll(dir, 0o755))
	stable, changing := filepath.Join(dir, "a stable"), filepath.Join(dir, "moving")
	for _, c := range []struct {
		action Treatment
		files  int // 0 means that Make fails
	}{{Refuse, 0}, {Skip, 1}, {Again, 2}} {
		must(t, os.WriteFile(stable, make([]byte, 1<<20), 0o644))
		must(t, os.WriteFile(changing, make([]byte, 1<<20), 0o644))
		changes := 0
		made, err := Make(t.Context(), dir, Options{Format: metainfo.Hybrid, Rules: Rules{Changing: c.action}, Progress: func(done, total int64) {
			if changes++; changes == 1 {
				must(t, os.WriteFile(changing, make([]byte, 1<<20+5), 0o644))
			}
		}})
		if c.files == 0 {
			if err == nil || !strings.Contains(err.Error(), "moving: it changed while it was being hashed") {
				t.Error(err)
			}
			continue
		}
		must(t, err)
		if n := made.Info.Stored(); n != c.files {
			t.Errorf("%d files", n)
		}
		if c.action == Again && made.Info.Payload() != 2<<20+5 {
			t.Error(made.Info.Payload())
		}
	}
}

// For a torrent with v2 hashes only changed files are read again, and the result equals
// that of a fresh start.
func TestMakeReadsOnlyChangedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "share")
	must(t, os.MkdirAll(dir, 0o755))
	for i := range 20 {
		b := make([]byte, 50_000+i)
		b[0] = byte(i)
		must(t, os.WriteFile(filepath.Join(dir, string(rune('a'+i))), b, 0o644))
	}
	time.Sleep(60 * time.Millisecond) // more than a clock tick of the file system
	o := Options{Format: metainfo.Hybrid, PieceLength: 16 << 10}
	first, err := Make(t.Context(), dir, o)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "c"), make([]byte, 70_000), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "bb"), make([]byte, 10), 0o644))
	// On a busy machine, "just now" is over before Make begins.
	must(t, os.Chtimes(filepath.Join(dir, "bb"), time.Time{}, time.Now().Add(time.Minute)))
	must(t, os.Remove(filepath.Join(dir, "e")))
	o.Before = first
	second, err := Make(t.Context(), dir, o)
	must(t, err)
	if second.Read != 70_010 {
		t.Errorf("%d bytes were read", second.Read)
	}
	o.Before = nil
	fresh, err := Make(t.Context(), dir, o)
	must(t, err)
	if fresh.Info.Hash != second.Info.Hash || fresh.Info.HashV2 != second.Info.HashV2 || !second.Info.HasLayers() {
		t.Error("the torrent differs from that of a fresh start")
	}
	// A file changed just now may be changed again without a new time.
	if i := slices.IndexFunc(second.Info.Files, func(f metainfo.File) bool { return f.Path[0] == "bb" }); second.Stamps[i] != (Stamp{}) {
		t.Error("a file changed just now was trusted")
	}
}
