package s3store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// lacking returns the pieces that the Writer does not have, and the sum of their sizes.
func (w *writerLab) lacking() (pieces []int, size int64) {
	have := w.Writer.Have()
	for p := range w.info.NumPieces() {
		if !have.Has(p) && !w.info.IsPadding(p) {
			pieces = append(pieces, p)
			size += w.info.DataSize(p)
		}
	}
	return pieces, size
}

func object(file int) string { return fmt.Sprintf("data/film/%03d", file) }

// putExcept puts the objects of all files into the store, except for some.
func (w *writerLab) putExcept(files ...int) {
	for i := range len(w.objects) {
		if name := object(i); !slices.Contains(files, i) {
			w.server.Put(name, w.objects[name])
		}
	}
}

// finish downloads what is lacking, and finishes.
func (w *writerLab) finish(what string) {
	w.t.Helper()
	pieces, _ := w.lacking()
	w.download(pieces...)
	w.checkReads(what)
	if err := w.Finish(); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	w.checkStore()
	w.checkReads(what + ", finished")
	w.checkNoUploads(what)
}

// What the store has already is read there. Only the rest is downloaded and written, also after a restart, which hashes nothing again.
func TestOnlyWhatTheStoreLacksIsDownloaded(t *testing.T) {
	const size = 300_000
	missing := []int{2, 3, 7}
	for format, most := range map[metainfo.Format]int64{
		metainfo.V2: 3 * size, metainfo.Hybrid: 3 * size,
		metainfo.V1: 3*size + 2*2*256<<10, // two stretches begin and end within a piece
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWriterLab(t, format, slices.Repeat([]int{size}, 10)...)
			w.putExcept(missing...)
			w.open()
			pieces, lacks := w.lacking()
			if lacks < 3*size || lacks > most {
				t.Errorf("%v: %d bytes are downloaded for 3 files of %d", format, lacks, size)
			}
			if read := w.Remote().Usage.Read.Load(); read > 7*size {
				t.Errorf("%v: %d bytes were read to hash 7 files of %d", format, read, size)
			}
			w.download(pieces[0])
			w.checkHad(fmt.Sprint(format, " at first"))
			w.close()

			w.open()
			defer w.close()
			if read := w.Remote().Usage.Read.Load(); read > 0 {
				t.Errorf("%v: %d bytes were hashed again", format, read)
			}
			if again, _ := w.lacking(); len(again) != len(pieces)-1 {
				t.Errorf("%v: %d pieces are missing after the restart, %d before", format, len(again), len(pieces)-1)
			}
			puts := w.count("PUT")
			w.finish(fmt.Sprint(format))
			if n := w.count("PUT") - puts; n > 3 {
				t.Errorf("%v: %d objects were written", format, n)
			}
		})
	}
}

// checkHad reads all pieces that the Writer has.
func (w *writerLab) checkHad(what string) {
	w.t.Helper()
	for p := range w.Writer.Have().All() {
		off := int64(p) * w.info.PieceLength
		b := make([]byte, w.info.PieceSize(p))
		if err := w.read(b, off); err != nil || !bytes.Equal(b, w.whole[off:off+int64(len(b))]) {
			w.t.Fatalf("%s: piece %d: wrong data, or %v", what, p, err)
		}
	}
}

// While the store is away, a restart goes on with what was hashed before. A store that was never asked has nothing.
func TestWhatTheStoreHadWhileItIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V2, slices.Repeat([]int{300_000}, 4)...)
		w.putExcept(1)
		w.server.SetDown(true)
		w.open()
		if _, lacks := w.lacking(); lacks != 4*300_000 {
			t.Errorf("%d bytes are missing without the store", lacks)
		}
		w.close()
		w.server.SetDown(false)
		w.open()
		w.close()
		w.server.SetDown(true)
		w.open()
		defer w.close()
		pieces, lacks := w.lacking()
		if lacks != 300_000 {
			t.Errorf("%d bytes are missing when the store is away again", lacks)
		}
		w.download(pieces...)
		time.AfterFunc(time.Minute, func() { w.server.SetDown(false) })
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
	})
}

// An object that vanishes meanwhile is downloaded, and so is one that is replaced by another one of the same size, which is then in
// the way.
func TestAnObjectThatWasThereBeforeIsLost(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2} {
		for _, isReplaced := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				what := fmt.Sprint(format, isReplaced)
				w := newWriterLab(t, format, slices.Repeat([]int{600_000}, 5)...)
				w.putExcept(1)
				w.open()
				defer w.close()
				if isReplaced {
					w.server.Put(object(3), make([]byte, 600_000))
				} else {
					w.server.Remove(object(3))
				}
				pieces, _ := w.lacking()
				w.download(pieces...)
				if err := w.Finish(); err == nil {
					t.Fatalf("%s: an object is lost, and it was finished", what)
				}
				have, err := w.Recheck(t.Context())
				if err != nil || have.Count() != w.Writer.Have().Count() {
					t.Fatal(what, err)
				}
				pieces, lacks := w.lacking()
				if lacks < 600_000-2*256<<10 || lacks > 600_000+2*256<<10 {
					t.Errorf("%s: %d bytes of a file are missing", what, lacks)
				}
				w.checkHad(what)
				if isReplaced {
					w.download(pieces...)
					var e *OccupiedError
					if err := w.Finish(); !errors.As(err, &e) || e.Name != "s3://bucket/"+object(3) {
						t.Fatalf("%s: %v", what, err)
					}
					w.server.Remove(object(3))
					if _, err := w.Recheck(t.Context()); err != nil {
						t.Fatal(what, err)
					}
				}
				w.finish(what)
			})
		}
	}
}

// An object that is deleted while it is about to be compared is not replaced by what is here of it: that lacks what was only in the store.
func TestAnObjectThatIsDeletedBeforeItIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, slices.Repeat([]int{1_000_000}, 4)...)
		w.putExcept(1)
		w.open()
		defer w.close()
		w.server.SetFault(func(r *http.Request) (f s3test.Fault) {
			if r.Method == http.MethodHead {
				f.Status = 503
			}
			return f
		})
		pieces, _ := w.lacking()
		w.download(pieces...) // which completes files 0 and 2 too
		time.Sleep(time.Second)
		w.server.Remove(object(2))
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.server.SetFault(nil)
		time.Sleep(time.Minute)
		if b := w.server.Get(object(2)); b != nil {
			t.Errorf("%d bytes of a file were written whose pieces are not all here", len(b))
		}
		w.finish("deleted")
	})
}

// Objects with wrong or other content are not taken, whatever else the store does.
func TestWrongObjectsThatAreThereAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, slices.Repeat([]int{1_000_000}, 6)...)
		w.putExcept(1)
		w.server.Put(object(2), make([]byte, 999_999))
		other := bytes.Clone(w.objects[object(4)])
		other[len(other)-1] ^= 1 // in a piece that the next file shares
		w.server.Put(object(4), other)
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		w.server.SetFault(func(r *http.Request) (f s3test.Fault) {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Query().Has("list-type") { // otherwise a Recheck does not find out what has changed
				return f
			}
			switch random.IntN(6) {
			case 0:
				f.Status = 503
			case 1:
				f.Delay = time.Second
			case 2:
				if r.Method == http.MethodGet && r.Header.Get("Range") != "" {
					f.CutAfter = 100_000
				}
			}
			return f
		})
		w.open()
		defer w.close()
		pieces, lacks := w.lacking()
		if lacks < 2_000_000 || lacks > 2_000_000+5*256<<10 {
			t.Errorf("%d bytes are missing: 2 files, and what they share, and a piece", lacks)
		}
		w.checkHad("wrong")
		w.download(pieces...)
		var e *OccupiedError
		for i := range 3 {
			if err := w.Finish(); !errors.As(err, &e) {
				t.Fatal(err)
			}
			if i == 0 {
				w.server.Remove(object(2))
			}
			if _, err := w.Recheck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if e.Name != "s3://bucket/"+object(4) {
			t.Errorf("%v", e)
		}
		w.server.Remove(object(4))
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.finish("corrected")
	})
}

// An object that is listed and cannot be read has nothing of the torrent, although its file is zeros.
func TestAFileOfZerosIsNotThereUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 300_000
		l := newLab(t, metainfo.V2)
		l.isZeros = true
		l.make(metainfo.V2, "film", "data/film/%03d", []int{size, size})
		w := newWriterLabOf(l)
		w.putExcept()
		w.server.Put(object(0), bytes.Repeat([]byte("x"), size))
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, object(0)) {
				return s3test.Fault{Status: http.StatusNotFound}
			}
			return s3test.Fault{}
		})
		w.open()
		defer w.close()
		if _, lacks := w.lacking(); lacks != size {
			t.Errorf("%d bytes are missing", lacks)
		}
	})
}
