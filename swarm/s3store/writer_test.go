package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// A writerLab is a torrent that is downloaded into a store.
type writerLab struct {
	*lab
	whole   []byte // of the torrent, with padding
	objects map[string][]byte
	stage   string
	stop    context.CancelFunc

	mu       sync.Mutex // held by writers of
	warnings []string

	*Writer
}

// newWriterLab makes a torrent of files of these sizes, and takes its objects out of the store.
func newWriterLab(t *testing.T, format metainfo.Format, sizes ...int) *writerLab {
	t.Helper()
	return newWriterLabOf(newLab(t, format, sizes...))
}

// newWriterLabOf takes the objects of a torrent out of the store.
func newWriterLabOf(l *lab) *writerLab {
	l.t.Helper()
	w := &writerLab{lab: l, objects: map[string][]byte{}, stage: filepath.Join(l.t.TempDir(), "stage")}
	w.lab.open()
	w.whole = make([]byte, 0, w.info.Length)
	rest := w.data
	for i := range w.info.Files {
		f := &w.info.Files[i]
		if f.Pad {
			w.whole = append(w.whole, make([]byte, f.Length)...)
			continue
		}
		w.whole = append(w.whole, rest[:f.Length]...)
		w.objects["data/"+w.info.PathOf(i)] = rest[:f.Length]
		rest = rest[f.Length:]
	}
	w.lab.close()
	for name := range w.objects {
		w.server.Remove(name)
	}
	return w
}

func (w *writerLab) open() {
	w.t.Helper()
	var err error
	if w.cache, err = OpenCache(w.dir, MinCache, w.handles); err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.stage, "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	local, err := storage.Open(storage.Options{Dir: dir, Info: w.info, Record: filepath.Join(w.stage, "resume"), Handles: w.handles})
	if err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(w.t.Context())
	w.Writer, err = OpenWriter(ctx, WriterOptions{Options: Options{Info: w.info, Hash: id.ID{1}, Objects: w.server.OpenAt(w.at), Shared: NewShared(w.cache)},
		Local: local, Dir: w.stage, Warn: w.warn})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *writerLab) warn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings = append(w.warnings, err.Error())
}

func (w *writerLab) close() {
	w.t.Helper()
	w.stop()
	if err := errors.Join(w.Writer.Close(), w.cache.Close()); err != nil {
		w.t.Error(err)
	}
}

// download writes pieces as they come from peers.
func (w *writerLab) download(pieces ...int) {
	w.t.Helper()
	for _, p := range pieces {
		off := int64(p) * w.info.PieceLength
		if err := w.Writer.WriteAt(w.whole[off:min(off+w.info.PieceLength, w.info.Length)], off); err != nil {
			w.t.Fatal(err)
		}
		w.MarkVerified(p)
	}
}

// all returns all pieces in a random order.
func (w *writerLab) all() []int { return rand.New(rand.NewPCG(1, 2)).Perm(w.info.NumPieces()) }

// checkStore compares the objects in the store.
func (w *writerLab) checkStore() {
	w.t.Helper()
	for name, want := range w.objects {
		if got := w.server.Get(name); got == nil || !bytes.Equal(got, want) {
			w.t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
	if _, err := os.Stat(w.stage); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("the local data is still there: %v", err)
	}
}

// read reads a range as the swarm does: for a minute it asks again while the store is away.
func (w *writerLab) read(b []byte, off int64) error {
	for deadline := time.Now().Add(time.Minute); ; {
		wait := make(chan error, 1)
		if w.Writer.Fetch(off, int64(len(b)), func(err error) { wait <- err }, always) {
			if err := w.Writer.ReadAt(b, off); !errors.Is(err, storage.ErrNotLocal) {
				return err
			}
			continue
		}
		err := <-wait
		if errors.Is(err, storage.ErrAway) && time.Now().Before(deadline) {
			time.Sleep(time.Second)
		} else if err != nil {
			return err
		}
	}
}

// checkReads reads everything.
func (w *writerLab) checkReads(what string) {
	w.t.Helper()
	for off := int64(0); off < w.info.Length; off += 64 << 10 {
		b := make([]byte, min(64<<10, w.info.Length-off))
		if err := w.read(b, off); err != nil || !bytes.Equal(b, w.whole[off:off+int64(len(b))]) {
			w.t.Fatalf("%s: at %d: wrong data, or %v", what, off, err)
		}
	}
}

// count counts the requests that begin with a text.
func (w *writerLab) count(begin string) (n int) {
	for _, r := range w.server.Requests() {
		if strings.HasPrefix(r, begin) {
			n++
		}
	}
	return n
}

func TestDownloadsIntoAStore(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		for name, sizes := range map[string][]int{"one": {9<<20 + 5}, "many": {1, 300_000, 9 << 20, 0, 5, 256 << 10, 256<<10 + 1}} {
			synctest.Test(t, func(t *testing.T) {
				w := newWriterLab(t, format, sizes...)
				w.open()
				defer w.close()
				all := w.all()
				w.download(all[1:]...)
				synctest.Wait()
				w.checkNothingIsPartial()
				w.download(all[0])
				if done, err := w.Complete(); done || err != nil {
					t.Errorf("%v %s: complete before Finish: %v %v", format, name, done, err)
				}
				if err := w.Finish(); err != nil {
					t.Fatal(err)
				}
				if done, err := w.Complete(); !done || err != nil {
					t.Errorf("%v %s: complete: %v %v", format, name, done, err)
				}
				w.checkStore()
				w.checkReads(fmt.Sprint(format, name))
				if len(w.warnings) > 0 {
					t.Errorf("%q", w.warnings)
				}
			})
		}
	}
}

// checkNothingIsPartial checks that every object in the store is whole.
func (w *writerLab) checkNothingIsPartial() {
	w.t.Helper()
	for name, want := range w.objects {
		if got := w.server.Get(name); got != nil && !bytes.Equal(got, want) {
			w.t.Errorf("%s has %d of %d bytes", name, len(got), len(want))
		}
	}
}

// While the store is away the download goes on, is readable, and is uploaded when the store is back. This is reported once.
func TestTheStoreIsAwayDuringADownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 300_000, 9<<20, 300_000)
		w.open()
		defer w.close()
		w.server.SetDown(true)
		w.download(w.all()...)
		time.AfterFunc(10*time.Minute, func() { w.server.SetDown(false) })
		w.checkReads("without the store")
		began := time.Now()
		if err := w.Finish(); err != nil || time.Since(began) > 10*time.Minute+2*retryLongest {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		w.checkStore()
		if len(w.warnings) != 1 {
			t.Errorf("%q", w.warnings)
		}
	})
}

// Every fault at random.
func TestUploadsToAStoreThatFailsAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V2, 1, 300_000, 40<<20, 0, 5, 256<<10, 256<<10+1)
		w.open()
		defer w.close()
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch random.IntN(5) {
			case 0:
				return s3test.Fault{Status: 503}
			case 1:
				return s3test.Fault{Lost: true} // done, but nobody learns of it
			case 2:
				return s3test.Fault{Delay: time.Second}
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.server.SetFault(nil)
		w.checkStore()
		for u := range w.server.Open("").Uploads(t.Context(), "") {
			t.Errorf("the upload of %s is left over", u.Name)
		}
	})
}

// A restart goes on with the parts that the store has.
func TestUploadsGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 52<<20)
		w.open()
		var mu sync.Mutex
		parts := 0
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Query().Has("partNumber") {
				if parts++; parts > 2 {
					return s3test.Fault{Status: 503}
				}
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		time.Sleep(20 * time.Second)
		w.close()
		w.server.SetFault(nil)
		before := w.count("PUT")
		w.open()
		defer w.close()
		if have := w.o.Local.Have(); have.Count() != w.info.NumPieces() {
			t.Errorf("%d of %d pieces after the restart", have.Count(), w.info.NumPieces())
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		if n := w.count("PUT") - before; n != 4-2 {
			t.Errorf("%d writes after 2 of 4 parts were there", n)
		}
	})
}

// If the store does not let us list the parts of an upload after a restart, the download stops and says so. It does not begin another
// upload beside it, and goes on with it when it may.
func TestPartsThatCannotBeListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 52<<20)
		w.open()
		w.server.SetFault(func(r *http.Request) (f s3test.Fault) {
			if r.URL.Query().Get("partNumber") == "4" {
				f.Status = http.StatusServiceUnavailable
			}
			return f
		})
		w.download(w.all()...)
		time.Sleep(20 * time.Second)
		w.close()
		before := w.count("PUT")
		var begins atomic.Int32
		w.server.SetFault(func(r *http.Request) (f s3test.Fault) {
			if isBegin(r) {
				begins.Add(1)
			}
			if r.Method == http.MethodGet && r.URL.Query().Has("uploadId") {
				f.Status = http.StatusForbidden
			}
			return f
		})
		w.open()
		defer w.close()
		if err := w.Finish(); objectstore.KindOf(err) != objectstore.Denied || len(w.warnings) != 2 {
			t.Errorf("%v; warned: %q", err, w.warnings)
		}
		w.server.SetFault(nil)
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		w.checkNoUploads("when the parts may be listed")
		if n := w.count("PUT") - before; n != 1 || begins.Load() != 0 {
			t.Errorf("%d parts were written when one was missing, and %d uploads begun", n, begins.Load())
		}
	})
}

// An object with other content is never overwritten, one with the same content is taken.
func TestObjectsThatAreThereAlready(t *testing.T) {
	for _, conditions := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWriterLab(t, metainfo.V1, 300_000, 9<<20)
			w.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{IgnoreMatch: !conditions} })
			names := slices.Sorted(func(yield func(string) bool) {
				for name := range w.objects {
					if !yield(name) {
						return
					}
				}
			})
			other := bytes.Clone(w.objects[names[1]])
			other[len(other)-1] ^= 1
			w.server.Put(names[0], w.objects[names[0]])
			w.server.Put(names[1], other)
			w.open()
			defer w.close()
			w.download(w.all()...)
			err := w.Finish()
			var e *OccupiedError
			if !errors.As(err, &e) || e.Name != "s3://bucket/"+names[1] || len(w.warnings) != 1 {
				t.Errorf("%v, warnings %q", err, w.warnings)
			}
			if !bytes.Equal(w.server.Get(names[1]), other) {
				t.Error("the other object is overwritten")
			}
			w.checkReads("meanwhile")
			w.server.Remove(names[1])
			if _, err := w.Recheck(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			w.checkStore()
		})
	}
}

// Uploads that nobody completes are aborted after a day, and those of a torrent that is removed at once.
func TestOrphansAreAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 20<<20)
		store := w.server.Open("data")
		begin := func(name string) {
			if _, err := store.Begin(t.Context(), name, ""); err != nil {
				t.Error(err)
			}
		}
		uploads := func() (names []string) {
			for u, err := range store.Uploads(t.Context(), "") {
				if err != nil {
					t.Error(err)
				}
				names = append(names, u.Name)
			}
			slices.Sort(names)
			return names
		}
		begin("film/000")
		begin("film/other")
		slow, err := store.Begin(t.Context(), "film/001", "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Hour)
		if _, err := slow.Write(t.Context(), 1, bytes.NewReader(make([]byte, 10)), 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		begin("film/001") // of another node, perhaps
		w.open()
		synctest.Wait()
		if got := fmt.Sprint(uploads()); got != "[film/001 film/001 film/other]" {
			t.Errorf("%s", got)
		}
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.URL.Query().Has("partNumber") {
				return s3test.Fault{Status: 503}
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		synctest.Wait()
		w.close()
		w.server.SetFault(nil)
		if n := len(uploads()); n != 4 {
			t.Errorf("%d uploads: the lab is wrong", n)
		}
		if err := Abandon(t.Context(), store, w.info, w.stage); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(uploads()); got != "[film/001 film/001 film/other]" {
			t.Errorf("after Abandon: %s", got)
		}
	})
}

// The ETags of a store that encrypts are not the MD5 of the data. Parts that are there are not written again, although requests
// fail meanwhile.
func TestUploadsToAStoreThatEncrypts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 52<<20)
		w.open()
		defer w.close()
		var mu sync.Mutex
		parts := 0
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Query().Has("partNumber") {
				if parts++; parts == 3 {
					return s3test.Fault{Status: 503}
				}
			}
			return s3test.Fault{Encrypted: true}
		})
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		if parts != 4+1 {
			t.Errorf("%d parts were written, 1 of them in vain", parts)
		}
	})
}

// An upload that the store has given up is made again from the beginning.
func TestAnUploadThatIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 52<<20)
		w.open()
		defer w.close()
		var once sync.Once
		store := w.server.Open("data")
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.URL.Query().Get("partNumber") == "4" {
				once.Do(func() {
					for u := range store.Uploads(t.Context(), "") {
						if err := u.Abort(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
	})
}

// An object that another node writes meanwhile is compared by its ETag, if that is known to say what is in it. Otherwise it is read, once, and a
// connection that ends costs only the rest.
func TestAnObjectIsComparedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 300_000, 20<<20)
		names := slices.Sorted(maps.Keys(w.objects))
		w.open()
		defer w.close()
		w.server.Put(names[0], w.objects[names[0]])
		other := bytes.Clone(w.objects[names[1]])
		other[len(other)-1] ^= 1
		w.server.Put(names[1], other)
		var mu sync.Mutex
		cut := 0
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			if r.Header.Get("Range") != "" {
				if cut++; cut == 1 {
					return s3test.Fault{CutAfter: 15 << 20}
				}
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		for range 3 {
			var e *OccupiedError
			if err := w.Finish(); !errors.As(err, &e) {
				t.Fatal(err)
			}
			if _, err := w.Recheck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if read := w.Remote().Usage.Read.Load(); read < 20<<20 || read > 20<<20+2*bufferSize || cut != 2 {
			t.Errorf("%d bytes were read in %d requests", read, cut)
		}
		w.server.Put(names[1], w.objects[names[1]])
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		if w.Remote().Usage.Read.Load() > 20<<20+2*bufferSize {
			t.Error("an object with the right ETag was read")
		}
	})
}

// Stopping a torrent ends Finish, and everything else.
func TestStoppingEndsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 300_000)
		w.open()
		w.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Hang: true} })
		w.download(w.all()...)
		time.AfterFunc(time.Second, w.stop)
		if err := w.Finish(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		w.close()
	})
}

func TestTheSizeOfParts(t *testing.T) {
	for _, size := range []int64{1, 5 << 20, 100 << 30, 160 << 30, 1 << 40, 5 << 40, objectstore.MaxObject} {
		per := partSizeFor(size)
		if n := (size + per - 1) / per; n > 10_000 || per < 5<<20 || per > 5<<30 {
			t.Errorf("%d: %d parts of %d", size, n, per)
		}
	}
}

// An object that vanishes before everything is uploaded is written again, and is the one that is blamed, although it shares a piece
// with another file.
func TestAnObjectVanishesBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 300_000, 1_000_000, 300_000)
		w.open()
		defer w.close()
		w.download(w.all()...)
		synctest.Wait()
		w.server.Remove("data/film/001")
		if err := w.Finish(); err == nil || !strings.Contains(err.Error(), "film/001") {
			t.Errorf("%v", err)
		}
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		if left, err := filepath.Glob(w.stage + "*"); len(left) > 0 || err != nil {
			t.Errorf("%v is left", left)
		}
	})
}

// An object that somebody else replaces after it was uploaded, while the download goes on, is not taken for ours.
func TestAnUploadedObjectIsReplaced(t *testing.T) {
	for what, restart := range map[string]bool{"at once": false, "after a restart": true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWriterLab(t, metainfo.V2, slices.Repeat([]int{600_000}, 3)...)
			w.open()
			defer func() { w.close() }()
			all := w.all()
			last := slices.Max(all)
			w.download(slices.DeleteFunc(all, func(p int) bool { return p == last })...)
			time.Sleep(time.Second)
			if w.server.Get(object(0)) == nil || w.server.Get(object(2)) != nil {
				t.Fatal("not the files are uploaded that are complete")
			}
			w.server.Put(object(0), make([]byte, 600_000))
			if restart {
				w.close()
				w.open()
			}
			w.download(last)
			var e *OccupiedError
			for range 3 {
				if err := w.Finish(); err == nil {
					t.Fatalf("%s: it was finished with an object that is not ours", what)
				} else if errors.As(err, &e) {
					break
				}
				if _, err := w.Recheck(t.Context()); err != nil {
					t.Fatal(what, err)
				}
			}
			if e == nil || e.Name != "s3://bucket/"+object(0) {
				t.Fatalf("%s: %v", what, e)
			}
			w.server.Remove(object(0))
			if _, err := w.Recheck(t.Context()); err != nil {
				t.Fatal(what, err)
			}
			w.finish(what)
		})
	}
}
