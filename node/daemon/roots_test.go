package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon"
)

// A path that is not allowed is a usage fault, however odd it is, and the error does not tell what is
// there: a client could ask for the files of the whole machine.
func TestPathsOutsideTellNothing(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	outside := filepath.Join(dir, "outside")
	for _, name := range []string{filepath.Join(outside, "folder"), d.Dir()} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{filepath.Join(outside, "file"), filepath.Join(d.Dir(), "file")} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("loop", filepath.Join(outside, "loop")), os.Symlink(outside, filepath.Join(d.Dir(), "link"))); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300)
	for path, want := range map[string]string{
		outside + "/nothing":                  "is outside of",
		outside + "/file":                     "is outside of",
		outside + "/file/x":                   "is outside of",
		outside + "/folder/x":                 "is outside of",
		outside + "/loop":                     "is outside of",
		outside + "/" + long:                  "is outside of",
		outside + "/a\x00b":                   "is outside of",
		d.Dir() + "/../outside":               "is outside of",
		d.Dir() + "/link/x":                   "is outside of",
		d.Dir() + "/link/../..":               "is outside of",
		d.Dir() + "x":                         "is outside of",
		d.Dir() + "/file/x":                   "cannot be used",
		d.Dir() + "/" + long:                  "cannot be used",
		d.Dir() + "/a\x00b":                   "cannot be used",
		"data":                                "is not an absolute path",
		d.Dir() + strings.Repeat("/a", 1<<20): "at most",
	} {
		_, _, add := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Dir: path, Paused: true})
		_, space := d.FreeSpace(t.Context(), path)
		_, read := d.ReadTorrent(t.Context(), path)
		for what, err := range map[string]error{"add": add, "free space": space, "read": read, "category": d.CreateCategory(t.Context(), daemon.Category{Name: "c", Dir: path})} {
			if err == nil || node.KindOf(err) != node.FaultUsage {
				t.Errorf("%s %.200q: %v", what, path, err)
				continue
			}
			var f *node.Fault
			if text := err.Error(); errors.As(err, &f) && !strings.Contains(text+f.Hint(), want) {
				t.Errorf("%s %.200q: %.200s", what, path, text)
			}
		}
	}
}

// A folder of a category that leads elsewhere later is not used.
func TestTheFolderOfACategoryStaysInside(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	films := filepath.Join(d.Dir(), "films")
	if err := d.CreateCategory(t.Context(), daemon.Category{Name: "film", Dir: films}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(d.Dir(), 0o755), os.Symlink("/etc", films)); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Category: "film", Paused: true})
	if err == nil || !strings.Contains(err.Error(), "is outside of") {
		t.Errorf("%v", err)
	}
	if err := os.Remove(films); err != nil {
		t.Fatal(err)
	}
	added, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Category: "film", Paused: true})
	if err != nil || added.Details().Dir != films {
		t.Errorf("%v", err)
	}
}
