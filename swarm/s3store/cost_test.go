package s3store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// Peers that each download everything, in any order, cost one request for each block.
func TestRequestsOfPeersThatWantEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 40<<20)
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: 200 * time.Millisecond} })
		l.open()
		defer l.close()
		before := l.gets()
		var wg sync.WaitGroup
		for peer := range uint64(4) {
			wg.Go(func() {
				for _, p := range rand.New(rand.NewPCG(peer, 1)).Perm(l.info.NumPieces()) {
					if _, err := l.read(int64(p)*l.info.PieceLength, l.info.PieceLength); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := l.gets() - before; n > 6 { // 1.2 for each of 5 blocks
			t.Errorf("%d requests for 40 MiB", n)
		}
		if read := l.Usage.Read.Load(); read > l.info.Length*105/100 {
			t.Errorf("%d bytes read for %d", read, l.info.Length)
		}
	})
}

// Who reads one block after another from a store that takes a second to answer does not wait a second for each.
func TestReadingAheadOfASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 80<<20)
		l.open()
		defer l.close()
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: time.Second} })
		before, began := l.gets(), time.Now()
		l.check("in order")
		if n, took := l.gets()-before, time.Since(began); n != 10 || took > 5*time.Second {
			t.Errorf("%d requests for 10 blocks, %v", n, took)
		}
	})
}

// Peers that want 16 KiB of a piece, when the cache is too small to keep the rest of its block, cost a piece each, not a block.
func TestCostOfSparseReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 40<<20)
		l.open()
		defer l.close()
		l.cache.max = 16 << 20
		random := rand.New(rand.NewPCG(1, 2))
		const reads = 300
		for range reads {
			if _, err := l.read(int64(random.IntN(l.info.NumPieces()))*l.info.PieceLength, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
		most := int64(fetchedFree + fetchedFactor*reads*16<<10 + 2*BlockSize + reads*l.info.PieceLength)
		if read := l.Usage.Read.Load(); read > most {
			t.Errorf("%d reads of 16 KiB cost %d MiB, at most %d are allowed", reads, read>>20, most>>20)
		}
		l.cache.max = MinCache
		l.check("all, after that")
	})
}

// What nobody wants any more when it is its turn is not fetched.
func TestUnwantedFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 80<<20)
		l.open()
		defer l.close()
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: time.Second} })
		before := l.gets()
		for p := l.info.NumPieces() - 1; p >= 0; p -= 32 { // all blocks, without reading ahead
			l.Fetch(int64(p)*l.info.PieceLength, 16<<10, func(error) {}, func() bool { return false })
		}
		time.Sleep(time.Minute)
		if n := l.gets() - before; n > 0 {
			t.Errorf("%d requests for what nobody wants", n)
		}
		l.check("afterwards")
	})
}

// Who wants a block just when it is given up, because nobody wanted it before, asks again without an error.
func TestABlockThatIsWantedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20)
		l.open()
		defer l.close()
		for range cap(l.shared.places) {
			l.shared.places <- struct{}{}
		}
		given := make(chan error, 1)
		late := func() bool { // nobody wants it; a reader comes just after that was found out
			l.fetches[0].wait(waiter{func(err error) { given <- err }, always, 1000})
			return false
		}
		l.Fetch(0, 1000, func(error) {}, late)
		<-l.shared.places
		if err := <-given; err != nil {
			t.Error(err)
		}
		for range cap(l.shared.places) - 1 {
			<-l.shared.places
		}
		l.check("afterwards")
	})
}

// Another program may delete or cut the cache while it is in use. That costs a few requests, and no wrong bytes.
func TestADamagedCache(t *testing.T) {
	for what, damage := range map[string]func(l *lab) error{
		"deleted": func(l *lab) error { return os.RemoveAll(l.dir) },
		"cut":     func(l *lab) error { return os.Truncate(l.blockFile(0), 100_000) },
		"torn": func(l *lab) error { // and the folder cannot be used any more
			dir := filepath.Dir(filepath.Dir(l.blockFile(0)))
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1, 10<<20)
			l.open()
			defer func() { _ = errors.Join(l.Storage.Close(), l.cache.Close()) }()
			l.check("first")
			synctest.Wait()
			if err := damage(l); err != nil {
				t.Fatal(err)
			}
			l.handles.Close() // forget what is open
			before := l.gets()
			if what == "torn" {
				_, err := l.read(0, 16<<10)
				var e *storage.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), l.dir) {
					t.Errorf("%s: %v", what, err)
				}
				return
			}
			l.check(what)
			if n := l.gets() - before; n > 2 {
				t.Errorf("%s: %d requests for 2 blocks", what, n)
			}
		})
	}
}

// Small objects cost a request each, because a store sends only one with an answer, but several are on the way at a time. Those in two
// pieces may cost two.
func TestManySmallObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, slices.Repeat([]int{20 << 10}, 200)...)
		l.open()
		defer l.close()
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: 100 * time.Millisecond} })
		before, began := len(l.server.Requests()), time.Now()
		l.check("all")
		if n, took := len(l.server.Requests())-before, time.Since(began); n > 200+l.info.NumPieces() || took > 200/8*100*time.Millisecond+time.Second {
			t.Errorf("%d requests, %v", n, took)
		}
	})
}

// If the disk is full, older blocks make room. If that does not help, reading fails, and the store is not asked again and again.
func TestAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 50<<20)
		l.open()
		defer l.close()
		var mu sync.Mutex
		room := int64(20 << 20)
		l.cache.write = func(f *os.File, b []byte, off int64) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			used := int64(0)
			_ = filepath.Walk(l.dir, func(_ string, fi os.FileInfo, err error) error {
				if err == nil {
					used += fi.Size()
				}
				return nil
			})
			if used+int64(len(b)) > room {
				return 0, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
			}
			return f.WriteAt(b, off)
		}
		l.check("with room for 2 blocks")
		mu.Lock()
		room = 0
		mu.Unlock()
		before := l.gets()
		failed := 0
		for range 100 {
			wait := make(chan error, 1)
			if !l.Fetch(30<<20, 16<<10, func(err error) { wait <- err }, always) && <-wait != nil {
				failed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := l.gets() - before; failed < 100 || n > 6 {
			t.Errorf("%d of 100 reads failed, %d requests in 10 s without any room", failed, n)
		}
		mu.Lock()
		room = 20 << 20
		mu.Unlock()
		time.Sleep(retryLongest)
		l.check("with room again")
	})
}

// A store that ignores ranges, or sends wrong bytes, is never believed.
func TestAStoreThatLies(t *testing.T) {
	for what, fault := range map[string]s3test.Fault{"flip": {Flip: true}, "ranges": {IgnoreRange: true}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1, 10<<20)
			l.open()
			defer l.close()
			l.server.SetFault(func(*http.Request) s3test.Fault { return fault })
			wrong := 0
			for off := int64(0); off < l.info.Length; off += l.info.PieceLength {
				b, err := l.read(off, l.info.PieceLength)
				if err != nil {
					wrong++
				} else if string(b) != string(l.data[off:off+l.info.PieceLength]) {
					t.Fatalf("%s: wrong bytes at %d", what, off)
				}
			}
			if wrong == 0 {
				t.Errorf("%s: no error", what)
			}
			l.server.SetFault(nil)
			if _, err := l.Recheck(t.Context()); err != nil {
				t.Error(err)
			}
			if what == "flip" { // the objects look as before, so what was wrong is taken to be so
				l.server.Put("data/film", l.data)
				if _, err := l.Recheck(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A torrent whose object comes slowly does not hold up another one of the node.
func TestASlowObjectHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 80<<20)
		l.open()
		l.shared.places = make(chan struct{}, 9) // film has 10 blocks, and would take all
		defer l.close()
		other := &lab{t: t, server: l.server, at: l.at, handles: l.handles, cache: l.cache}
		other.make(metainfo.V1, "other", "data/other", []int{10 << 20})
		var err error
		other.Storage, err = Open(t.Context(), Options{Info: other.info, Hash: id.ID{2}, Objects: l.server.OpenAt(l.at), Shared: l.shared})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Storage.Close()
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if strings.HasSuffix(r.URL.Path, "/film") {
				return s3test.Fault{Delay: 7 * time.Second}
			}
			return s3test.Fault{Delay: 100 * time.Millisecond}
		})
		began := time.Now()
		var wg sync.WaitGroup
		for off := int64(0); off < l.info.Length; off += BlockSize {
			wg.Go(func() {
				if _, err := l.read(off, 16<<10); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		other.check("other")
		if took := time.Since(began); took > 2*100*time.Millisecond {
			t.Errorf("the other torrent took %v with 2 blocks of 100 ms", took)
		}
		wg.Wait()
	})
}

// A cache that is made smaller between two runs keeps the newest blocks. One that is too small for the pieces is refused.
func TestTheSizeOfTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 50<<20)
		l.open()
		l.check("first")
		l.close()
		l.server.SetDown(true)
		cache, err := OpenCache(l.dir, MinCache, l.handles)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		if n, size := cache.Size(); n != 7 || size != 50<<20 {
			t.Errorf("%d blocks, %d bytes", n, size)
		}
		if _, err := OpenCache(l.dir, MinCache, l.handles); err == nil {
			t.Error("two caches in one folder")
		}
		if _, err := OpenCache(t.TempDir(), MinCache-1, l.handles); err == nil {
			t.Error("a cache that is too small is opened")
		}
		info := *l.info
		info.PieceLength = 256 << 20
		var e *CacheError
		if _, err := Open(t.Context(), Options{Info: &info, Hash: id.ID{3}, Objects: l.server.OpenAt(l.at), Shared: NewShared(cache)}); !errors.As(err, &e) ||
			fmt.Sprint(err) != "film has pieces of 256 MiB, which need a cache of at least 1024 MiB" {
			t.Error(err)
		}
	})
}

// A reader of one of many small objects does not wait for thousands of others that happen to be in the same block.
func TestOneOfManySmallObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, slices.Repeat([]int{1000}, 1000)...)
		l.open()
		defer l.close()
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: 100 * time.Millisecond} })
		before, began := l.gets(), time.Now()
		if b, err := l.read(990_000, 1000); err != nil || string(b) != string(l.data[990_000:][:1000]) {
			t.Error(err)
		}
		least := int(l.info.PieceLength/1000) + 2
		rounds := (least + openAhead - 1) / openAhead
		if n, took := l.gets()-before, time.Since(began); n > least || took > time.Duration(rounds+1)*100*time.Millisecond {
			t.Errorf("%d requests, %v", n, took)
		}
	})
}
