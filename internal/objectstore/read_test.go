package objectstore_test

import (
	"bytes"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// quietRead reads the whole of a file from a store with faults, each of which is that of the request with this number.
func quietRead(t *testing.T, s *objectstore.Store, server *s3test.Store, o objectstore.Object, faults ...s3test.Fault) (data []byte, requests int, took time.Duration, err error) {
	t.Helper()
	var n atomic.Int64
	server.SetFault(func(*http.Request) s3test.Fault { return faults[min(int(n.Add(1)), len(faults))-1] })
	began := time.Now()
	data, err = read(t, s, o, 0, o.Size)
	return data, int(n.Load()), time.Since(began), err
}

// A server of the store dies with requests of ours: what it had to send comes from another one soon, and no byte is read twice.
func TestAServerOfTheStoreDies(t *testing.T) {
	const rate = 100_000 // bytes a second
	want := filetest.RandomBytes("file", 500_000)
	dead, slow := s3test.Fault{Hang: true}, s3test.Fault{Delay: time.Second, Drip: rate}
	for _, c := range []struct {
		name           string
		faults         []s3test.Fault
		requests       int
		least, longest time.Duration
	}{
		{"it is alive", []s3test.Fault{{}}, 1, 0, 0},
		{"it is slow", []s3test.Fault{slow}, 1, 5 * time.Second, 7 * time.Second},
		{"before the answer", []s3test.Fault{dead, {}}, 2, 0, 2 * time.Second},
		{"twice before the answer", []s3test.Fault{dead, dead, {}}, 3, 0, 4 * time.Second},
		{"in the middle", []s3test.Fault{{HangAfter: 200_000}, {}}, 2, 0, 2 * time.Second},
		{"in the middle, and once more", []s3test.Fault{{HangAfter: 200_000}, dead, {HangAfter: 1}, {}}, 4, 0, 6 * time.Second},
		{"again and again", slices.Repeat([]s3test.Fault{{HangAfter: 50_000}}, 10), 10, 0, 14 * time.Second},
		{"it is slow in the middle", []s3test.Fault{{HangAfter: 200_000, HangFor: 5 * time.Second}, dead}, 4, 0, 5 * time.Second},
		{"in the middle, and the other one is slow", []s3test.Fault{{HangAfter: 200_000}, slow}, 2, 0, 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("")
			server.Put("file", want)
			o := stat(t, s, "file")
			b, requests, took, err := quietRead(t, s, server, o, c.faults...)
			if err != nil || !bytes.Equal(b, want) || requests != c.requests || took < c.least || took > c.longest {
				t.Errorf("%s: %d requests, %v; %d bytes, %v", c.name, requests, took, len(b), err)
			}
			if read := s.Counts().Read; read != int64(len(want)) {
				t.Errorf("%s: %d bytes were read", c.name, read)
			}
		})
	}
}

// All servers of the store are dead. The number of requests is limited, and the error comes when it did without them.
func TestAllServersOfTheStoreAreDead(t *testing.T) {
	for _, fault := range []s3test.Fault{{Hang: true}, {HangAfter: 1000}} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("")
			server.Put("file", make([]byte, 100_000))
			o := stat(t, s, "file")
			_, requests, took, err := quietRead(t, s, server, o, fault, s3test.Fault{Hang: true})
			if objectstore.KindOf(err) != objectstore.Unavailable || requests != 6 || took != objectstore.Patience {
				t.Errorf("%d requests, %v, %v", requests, took, err)
			}
		})
	}
}

// A store that is silent as a whole is asked once for each part, until something comes: all nodes of a fleet would ask it six times as
// often just when it has too much to do.
func TestASilentStoreIsNotAskedMoreOften(t *testing.T) {
	for _, fault := range []s3test.Fault{{Hang: true}, {Delay: objectstore.Patience + time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("")
			want := filetest.RandomBytes("file", 100_000)
			server.Put("file", want)
			o := stat(t, s, "file")
			all := 0
			for range 10 {
				_, requests, took, err := quietRead(t, s, server, o, fault)
				if objectstore.KindOf(err) != objectstore.Unavailable || took != objectstore.Patience {
					t.Fatal(took, err)
				}
				all += requests
			}
			if all > 15 {
				t.Errorf("%d requests for 10 reads", all)
			}
			if b, _, _, err := quietRead(t, s, server, o, s3test.Fault{}); err != nil || !bytes.Equal(b, want) {
				t.Error(err)
			}
			if _, requests, _, err := quietRead(t, s, server, o, s3test.Fault{Hang: true}, s3test.Fault{}); err != nil || requests != 2 {
				t.Errorf("when it is back, and a server dies: %d requests, %v", requests, err)
			}
		})
	}
}

// A store that always needs long for its answers is soon asked once for each part again.
func TestASlowStoreIsNotAskedMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		s := server.Open("")
		server.Put("file", make([]byte, 100_000))
		o := stat(t, s, "file")
		all := 0
		for range 30 {
			_, requests, took, err := quietRead(t, s, server, o, s3test.Fault{Delay: 5 * time.Second})
			if err != nil || took != 5*time.Second {
				t.Fatal(took, err)
			}
			all += requests
		}
		if all > 40 {
			t.Errorf("%d requests for 30 reads", all)
		}
	})
}

// An object that is replaced while it is read is not mixed with the new one when the rest is asked for again, although the caller does
// not know its ETag.
func TestAReplacedObjectIsNotReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		s := server.Open("")
		server.Put("file", make([]byte, 100_000))
		o := stat(t, s, "file")
		o.ETag = ""
		var n atomic.Int64
		server.SetFault(func(*http.Request) s3test.Fault {
			if n.Add(1) == 1 {
				return s3test.Fault{HangAfter: 1000}
			}
			server.Put("file", bytes.Repeat([]byte("x"), 100_000))
			return s3test.Fault{}
		})
		if b, err := read(t, s, o, 0, o.Size); objectstore.KindOf(err) != objectstore.Unavailable || len(b) != 1000 || n.Load() == 1 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}
