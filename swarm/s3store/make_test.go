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
	"seedbed/swarm/create"
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
				made, err := Make(t.Context(), l.server.Open("data/film"), MakeOptions{Format: format, PieceLength: 256 << 10})
				if err != nil {
					t.Fatal(err)
				}
				if info := made.Info; info.Hash != l.info.Hash || info.HashV2 != l.info.HashV2 || !bytes.Equal(info.Raw, l.info.Raw) {
					t.Errorf("%v of %d files has another infohash", format, len(sizes))
				}
			})
		}
	}
}

func TestObjectsThatAreNoFiles(t *testing.T) {
	server := s3test.New(t)
	for _, name := range []string{"film/", "film/a", "film/b/", "film/b/c", "film/.hidden", "film/.seedbed/publications/x", "film/b//d", "film/../e"} {
		data := []byte("data")
		if strings.HasSuffix(name, "/") {
			data = nil
		}
		server.Put(name, data)
	}
	var warnings []string
	made, err := Make(t.Context(), server.Open("film"), MakeOptions{Format: metainfo.V1, Warn: func(err error) { warnings = append(warnings, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range made.Info.Files {
		names = append(names, made.Info.PathOf(i))
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

// After a change, only the objects that have changed are read, and the torrent is the one that is made without the earlier one.
// The objects that seedbed keeps for itself are in no torrent.
func TestUnchangedObjectsAreNotReadAgain(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		server := s3test.New(t)
		put := func(name string, size int, fill byte) { server.Put("film/"+name, bytes.Repeat([]byte{fill}, size)) }
		for _, name := range []string{"a", "b", "c", "d"} {
			put(name, 900_000, name[0])
		}
		o := MakeOptions{Format: format, Hidden: true}
		store := server.Open("film")
		made := func() *create.Made {
			t.Helper()
			one, err := Make(t.Context(), store, o)
			if err != nil {
				t.Fatal(err)
			}
			return one
		}
		o.Before = made()
		server.Put("film/.seedbed/publications/x", []byte("{}"))
		if f, err := FingerprintOf(t.Context(), store, o); err != nil || f != o.Before.Fingerprint {
			t.Errorf("%v: another fingerprint of the same objects: %v", format, err)
		}
		want := int64(0)
		if format == metainfo.V1 {
			want = 4 * 900_000
		}
		before := store.Counts().Read
		if again := made(); again.Info.Hash != o.Before.Info.Hash || again.Read != want || store.Counts().Read-before != want {
			t.Errorf("%v: %d of %d bytes were read again", format, store.Counts().Read-before, again.Read)
		}
		put("b", 900_000, 'x') // of the same size
		put("c", 900_001, 'c')
		put("e", 10, 'e')
		server.Remove("film/d")
		if want = 1_800_011; format == metainfo.V1 {
			want += 900_000
		}
		before = store.Counts().Read
		changed := made()
		if read := store.Counts().Read - before; changed.Read != want || read != want {
			t.Errorf("%v: %d of %d bytes were read, of which %d had changed", format, read, changed.Read, want)
		}
		if changed.Fingerprint == o.Before.Fingerprint {
			t.Errorf("%v: the fingerprint of changed objects is the same", format)
		}
		o.Before = nil
		if fresh := made(); !bytes.Equal(fresh.Info.Raw, changed.Info.Raw) {
			t.Errorf("%v: another torrent of the same objects", format)
		}
	}
}

// An object that is replaced while it is hashed is an error.
func TestAnObjectThatChangesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or a slow machine would request the part again while the object is being replaced
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
	})
}
