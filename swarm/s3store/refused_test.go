package s3store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// A torrent from a stranger cannot write into the catalogue: by its name, by a path in a folder that the location itself may be,
// or by a path in a whole bucket.
func TestNoTorrentWritesIntoOurFolder(t *testing.T) {
	for _, c := range []struct {
		name, path string // no path is a single file
		refused    bool
	}{
		{".seedbed", "torrents/x.torrent", true},
		{".seedbed", "", true},
		{"films", ".seedbed/torrents/x.torrent", true},
		{"bucket", ".seedbed/torrents/x.torrent", true},
		{"films", "a/.seedbed", true},
		{"films", "seedbed/.seedbeds/x.torrent", false},
	} {
		info := reservedInfo(t, c.name, c.path)
		var e *RefusedError
		if got := errors.As(CheckFiles(info, objectstore.Location{}), &e); got != c.refused {
			t.Errorf("%s %s: refused %v", c.name, c.path, got)
		}
		if !c.refused {
			continue
		}
		if _, err := OpenWriter(t.Context(), WriterOptions{Options: Options{Info: info, Objects: s3test.New(t).Open("")}, Dir: t.TempDir()}); !errors.As(err, &e) {
			t.Errorf("%s %s: %v", c.name, c.path, err)
		}
	}
}

// reservedInfo makes a torrent of one file, or of a folder with one.
func reservedInfo(t *testing.T, name, path string) *metainfo.Info {
	t.Helper()
	src := t.TempDir()
	file := filepath.Join(src, name, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := create.Make(t.Context(), filepath.Join(src, name), create.Options{Format: metainfo.V1, PieceLength: 16 << 10, Rules: create.Rules{Hidden: create.Keep}})
	if err != nil {
		t.Fatal(err)
	}
	return made.Info
}

// A file that no store takes as one object is refused before it is downloaded.
func TestAFileThatIsTooLarge(t *testing.T) {
	info := *reservedInfo(t, "films", "film")
	info.Files = slices.Clone(info.Files)
	for _, size := range []int64{objectstore.MaxObject, objectstore.MaxObject + 1} {
		info.Files[0].Length = size
		var e *RefusedError
		if got := errors.As(CheckFiles(&info, objectstore.Location{}), &e); got != (size > objectstore.MaxObject) {
			t.Errorf("%d bytes: refused %v", size, got)
		}
	}
}

// A torrent with a path that is too long for the name of an object is refused before anything is downloaded.
func TestNamesThatAreTooLongForObjects(t *testing.T) {
	path := strings.Repeat(strings.Repeat("é", 90)+"/", 3)
	info := reservedInfo(t, "films", path+"x")
	least := len("films/") + len(path) + 1
	for prefix, refused := range map[int]bool{0: false, objectstore.MaxName - least: false, objectstore.MaxName - least + 1: true} {
		err := CheckFiles(info, objectstore.Location{Bucket: "bucket", Prefix: strings.Repeat("p", prefix)})
		var e *RefusedError
		if got := errors.As(err, &e); got != refused || got && (!utf8.ValidString(err.Error()) || len(err.Error()) > 200) {
			t.Errorf("a prefix of %d bytes: %v", prefix, err)
		}
	}
}
