package s3store

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// zeros reads as zeros.
type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

// A torrent of two million pieces costs no request for each piece, and little memory beside its hashes.
func TestTwoMillionPieces(t *testing.T) {
	const pieces, pieceLength = 2_000_000, 16 << 10
	const size = pieces * pieceLength
	var gets, others atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			gets.Add(1)
		} else {
			others.Add(1)
		}
		w.Header().Set("ETag", `"zeros"`)
		http.ServeContent(w, r, "", time.Unix(1, 0), io.NewSectionReader(zeros{}, 0, size))
	}))
	defer server.Close()
	hash := sha1.Sum(make([]byte, pieceLength))
	info, err := metainfo.ParseInfo(slices.Concat(fmt.Appendf(nil, "d6:lengthi%de4:name5:zeros12:piece lengthi%de6:pieces%d:", int64(size), pieceLength, pieces*len(hash)),
		bytes.Repeat(hash[:], pieces), []byte("e")))
	if err != nil {
		t.Fatal(err)
	}
	at, err := objectstore.ParseLocation("s3://bucket/folder")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := objectstore.Open(objectstore.Config{At: at, Endpoint: server.URL, Region: "us-east-1", Anonymous: true, Dial: new(net.Dialer).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	cache, err := OpenCache(t.TempDir(), MinCache, storage.NewHandles(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	before := inUse()
	s, err := Open(t.Context(), Options{Info: info, Hash: id.ID{1}, Objects: objects, Shared: NewShared(cache)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := &lab{t: t, Storage: s}
	for _, piece := range []int64{0, 1, 1_000_000, pieces - 1} {
		b, err := l.read(piece*pieceLength, pieceLength)
		if err != nil || !bytes.Equal(b, make([]byte, pieceLength)) {
			t.Errorf("piece %d: %v", piece, err)
		}
	}
	if have := s.Have(); have.Count() != pieces {
		t.Errorf("%d pieces are there", have.Count())
	}
	if more := inUse() - before; more > 2<<20 {
		t.Errorf("%d KiB of memory", more>>10)
	}
	// Pieces 0 and 1 are in one block.
	if gets.Load() > 3 || others.Load() > 2 {
		t.Errorf("%d requests for content and %d others", gets.Load(), others.Load())
	}
	runtime.KeepAlive(info)
}

// inUse returns the bytes of the heap that are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
