package create_test

import (
	"os"
	"path/filepath"
	"seedbed/internal/filetest"
	"slices"
	"strings"
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// Files that were added, removed and changed are found in every format. In v1, a piece that two files
// share does not say which of them has changed.
func TestDiffOfTwoVersions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	big := strings.Repeat("0123456789abcdef", 1<<12) // 64 KiB: four pieces
	made := func(f metainfo.Format) *metainfo.Info {
		m, err := create.Make(t.Context(), dir, create.Options{Format: f, PieceLength: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return m.Info
	}
	formats := []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid}
	write("a-big", big)
	write("b-gone", "gone")
	write("sub/c-small", "small")
	write("sub/d-other", "other")
	write("sub/e-longer", "x")
	var before []*metainfo.Info
	for _, f := range formats {
		before = append(before, made(f))
	}
	write("a-big", big[:20<<10]+"X"+big[20<<10+1:])
	if err := os.Remove(filepath.Join(dir, "b-gone")); err != nil {
		t.Fatal(err)
	}
	write("b-nine", "nine") // in its place, so that the pieces stay comparable
	write("sub/e-longer", "xx")
	for i, f := range formats {
		after := made(f)
		changes, same := metainfo.Diff(before[i], after)
		want := []metainfo.FileChange{{Kind: metainfo.FileChanged, Path: "a-big", Old: 1 << 16, New: 1 << 16}, {Kind: metainfo.FileRemoved, Path: "b-gone", Old: 4},
			{Kind: metainfo.FileAdded, Path: "b-nine", New: 4}, {Kind: metainfo.FileChanged, Path: "sub/e-longer", Old: 1, New: 2}}
		wantSame := 2
		if f == metainfo.V1 { // these share a piece with what has changed
			want = slices.Insert(want, 3, metainfo.FileChange{Kind: metainfo.FileUnknown, Path: "sub/c-small", Old: 5, New: 5}, metainfo.FileChange{Kind: metainfo.FileUnknown, Path: "sub/d-other", Old: 5, New: 5})
			wantSame = 0
		}
		if !slices.Equal(changes, want) || same != wantSame {
			t.Errorf("format %v: %+v, %d the same", f, changes, same)
		}
		if changes, same := metainfo.Diff(after, after); len(changes) != 0 || same != 5 {
			t.Errorf("of itself: %+v, %d", changes, same)
		}
	}
	if changes, _ := metainfo.Diff(before[0], before[1]); len(changes) != 5 || changes[0].Kind != metainfo.FileUnknown {
		t.Errorf("of two formats: %+v", changes)
	}
}

// A file that was moved is renamed, and a download of the new version needs only what is nowhere in the
// old one.
func TestRenamedFilesAndWhatIsFetched(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 1<<12) // 64 KiB: four pieces
	write := func(path, text string) {
		t.Helper()
		filetest.Write(t, filepath.Join(dir, filepath.FromSlash(path)), []byte(text))
	}
	made := func(f metainfo.Format) *metainfo.Info {
		m, err := create.Make(t.Context(), dir, create.Options{Format: f, PieceLength: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return m.Info
	}
	formats := []metainfo.Format{metainfo.V2, metainfo.Hybrid, metainfo.V1}
	write("a", big)
	write("moved", big[1:])
	write("stays", "stays")
	var before []*metainfo.Info
	for _, f := range formats {
		before = append(before, made(f))
	}
	write("a", big[:20<<10]+"X"+big[20<<10+1:]+"more")
	if err := os.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, "renamed")); err != nil {
		t.Fatal(err)
	}
	write("z", "new")
	for i, f := range formats {
		after := made(f)
		changes, same := metainfo.Diff(before[i], after)
		n := int64(len(big))
		want := []metainfo.FileChange{{Kind: metainfo.FileChanged, Path: "a", Old: n, New: n + 4}, {Kind: metainfo.FileRenamed, Path: "renamed", From: "moved", Old: n - 1, New: n - 1},
			{Kind: metainfo.FileAdded, Path: "z", New: 3}}
		fetch := int64(16<<10 + 4 + 3)
		if f == metainfo.V1 {
			want[1] = metainfo.FileChange{Kind: metainfo.FileRemoved, Path: "moved", Old: n - 1}
			want = slices.Insert(want, 2, metainfo.FileChange{Kind: metainfo.FileAdded, Path: "renamed", New: n - 1})
			want = slices.Insert(want, 3, metainfo.FileChange{Kind: metainfo.FileUnknown, Path: "stays", Old: 5, New: 5})
			fetch = 0
		}
		if got := metainfo.FetchSize(before[i], after); !slices.Equal(changes, want) || got != fetch && f != metainfo.V1 || got > after.Payload() {
			t.Errorf("format %v: %+v, %d the same, %d to fetch", f, changes, same, got)
		}
		if got := metainfo.FetchSize(after, after); got != 0 {
			t.Errorf("format %v: %d of itself", f, got)
		}
	}
}
