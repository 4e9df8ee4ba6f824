package s3store

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// The torrent of objects is that of the same files in a folder.
func TestTheTorrentOfObjects(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		for _, sizes := range [][]int{{3 << 20}, {1, 300_000, 17 << 20, 0, 5, 256 << 10, 256<<10 + 1}} {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, format, sizes...)
				var n atomic.Int32
				l.server.SetFault(func(r *http.Request) s3test.Fault {
					if n.Add(1)%5 == 0 {
						return s3test.Fault{CutAfter: 3 << 20}
					}
					return s3test.Fault{}
				})
				info, err := Make(t.Context(), l.server.Open("data/film"), MakeOptions{Format: format, PieceLength: 256 << 10})
				if err != nil || info.Hash != l.info.Hash || info.HashV2 != l.info.HashV2 || !bytes.Equal(info.Raw, l.info.Raw) {
					t.Errorf("%v of %d files: %v", format, len(sizes), err)
				}
			})
		}
	}
}

func TestObjectsThatAreNoFiles(t *testing.T) {
	server := s3test.New(t)
	for _, name := range []string{"film/", "film/a", "film/b/", "film/b/c", "film/.hidden", "film/b//d", "film/../e"} {
		data := []byte("data")
		if strings.HasSuffix(name, "/") {
			data = nil
		}
		server.Put(name, data)
	}
	var warnings []string
	info, err := Make(t.Context(), server.Open("film"), MakeOptions{Format: metainfo.V1, Warn: func(err error) { warnings = append(warnings, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range info.Files {
		names = append(names, info.PathOf(i))
	}
	if fmt.Sprint(names) != "[film/a film/b/c]" || len(warnings) != 3 {
		t.Errorf("%q, warnings %q", names, warnings)
	}
	if _, err := Make(t.Context(), server.Open("none"), MakeOptions{}); err == nil || err.Error() != "share s3://bucket/none: it holds no data" {
		t.Errorf("nothing there: %v", err)
	}
}

// A prefix with more objects than a torrent can have is an error, before all are listed.
func TestTooManyObjects(t *testing.T) {
	server := s3test.New(t)
	for i := range 6 {
		server.Put(fmt.Sprintf("film/%d", i), []byte("data"))
	}
	m := &maker{location: "s3://bucket/film", most: 5}
	m.place, m.name = placeOf(server.Open("film"))
	if err := m.list(t.Context()); err == nil || err.Error() != "share s3://bucket/film: it has more than 5 objects, which is the most a torrent can have" {
		t.Error(err)
	}
	m.most = 6
	if err := m.list(t.Context()); err != nil {
		t.Error(err)
	}
}

// An object that is replaced while it is hashed is an error.
func TestAnObjectThatChangesMeanwhile(t *testing.T) {
	server := s3test.New(t)
	server.Put("film", make([]byte, 40<<20))
	var n atomic.Int32
	server.SetFault(func(r *http.Request) s3test.Fault {
		if r.Header.Get("Range") != "" {
			if n.Add(1) == 2 {
				server.Put("film", bytes.Repeat([]byte{1}, 40<<20))
			}
		}
		return s3test.Fault{}
	})
	_, err := Make(t.Context(), server.Open("film"), MakeOptions{Format: metainfo.V1})
	if objectstore.KindOf(err) != objectstore.Changed {
		t.Error(err)
	}
}
