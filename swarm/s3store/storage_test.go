package s3store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
	"seedbed/swarm/storage"
)

// A lab is a torrent whose files are in a store.
type lab struct {
	t       testing.TB
	server  *s3test.Store
	dir     string // of the cache
	at      string // location of the store
	info    *metainfo.Info
	data    []byte // of the torrent, without padding
	isZeros bool   // make makes files of zeros
	pieces  int64  // length of pieces; 0 is 256 KiB
	cache   *Cache
	handles *storage.Handles
	*Storage
}

// newLab makes a torrent of files of these sizes, in a folder unless there is only one. Without sizes there is no torrent yet.
func newLab(t testing.TB, format metainfo.Format, sizes ...int) *lab {
	t.Helper()
	l := &lab{t: t, server: s3test.New(t), dir: t.TempDir(), at: "s3://" + s3test.Bucket + "/data"}
	if len(sizes) > 0 {
		l.make(format, "film", "data/film/%03d", sizes)
	}
	return l
}

// put makes a torrent of n files of one size.
func (l *lab) put(name, objects string, size, n int) {
	l.make(metainfo.V1, name, objects, slices.Repeat([]int{size}, n))
}

// make makes a torrent. Its objects have the names that a format makes of their numbers.
func (l *lab) make(format metainfo.Format, torrent, objects string, sizes []int) {
	l.t.Helper()
	src := l.t.TempDir()
	path := filepath.Join(src, torrent)
	random := rand.NewChaCha8([32]byte{1})
	l.data = nil
	for i, n := range sizes {
		b := make([]byte, n)
		if !l.isZeros {
			_, _ = random.Read(b)
		}
		l.data = append(l.data, b...)
		name, object := torrent, strings.TrimSuffix(objects, "/%03d")
		if len(sizes) > 1 {
			name, object = fmt.Sprintf("%s/%03d", torrent, i), fmt.Sprintf(objects, i)
			if err := os.MkdirAll(path, 0o755); err != nil {
				l.t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(src, name), b, 0o644); err != nil {
			l.t.Fatal(err)
		}
		l.server.Put(object, b)
	}
	made, err := create.Make(l.t.Context(), path, create.Options{Format: format, PieceLength: cmp.Or(l.pieces, 256<<10)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.info = made.Info
}

// open opens the cache and the torrent.
func (l *lab) open() {
	l.t.Helper()
	handles := storage.NewHandles(0)
	var err error
	if l.cache, err = OpenCache(l.dir, MinCache, handles); err != nil {
		l.t.Fatal(err)
	}
	l.Storage, err = Open(l.t.Context(), Options{Info: l.info, Hash: id.ID{1}, Objects: l.server.OpenAt(l.at), Shared: NewShared(l.cache)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.handles = handles
}

func (l *lab) close() {
	l.t.Helper()
	if err := errors.Join(l.Storage.Close(), l.cache.Close()); err != nil {
		l.t.Error(err)
	}
}

func always() bool { return true }

// read reads a range as the swarm does: it waits until it can be read.
func (l *lab) read(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	for deadline := time.Now().Add(time.Minute); ; {
		wait := make(chan error, 1)
		if !l.Fetch(off, n, func(err error) { wait <- err }, always) {
			err := <-wait
			if err != nil && (!errors.Is(err, storage.ErrAway) || time.Now().After(deadline)) {
				return nil, err
			}
			if err != nil {
				time.Sleep(askAwayEvery)
			}
			continue
		}
		if err := l.ReadAt(b, off); err != storage.ErrNotLocal {
			return b, err
		}
	}
}

// check reads everything in ranges of 16 KiB, and compares it.
func (l *lab) check(what string) {
	l.t.Helper()
	var got []byte
	for off := int64(0); off < l.info.Length; off += 16 << 10 {
		b, err := l.read(off, min(16<<10, l.info.Length-off))
		if err != nil {
			l.t.Fatalf("%s: at %d: %v", what, off, err)
		}
		for sp := range l.info.Spans(off, int64(len(b))) {
			if !l.info.Files[sp.File].Pad {
				got = append(got, b[:sp.Length]...)
			}
			b = b[sp.Length:]
		}
	}
	if !bytes.Equal(got, l.data) {
		l.t.Errorf("%s: the data is wrong", what)
	}
}

// gets counts the reads of objects.
func (l *lab) gets() (n int) {
	for _, r := range l.server.Requests() {
		if strings.HasPrefix(r, "GET ") && strings.Contains(r, "/film") {
			n++
		}
	}
	return n
}

func TestReadsOfObjects(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		for name, sizes := range map[string][]int{"one": {9<<20 + 5}, "many": {1, 300_000, 9 << 20, 0, 5, 256 << 10, 256<<10 + 1}} {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, format, sizes...)
				l.open()
				defer l.close()
				if have := l.Have(); have.Count() != l.info.NumPieces() {
					t.Errorf("%v %s: %d of %d pieces", format, name, have.Count(), l.info.NumPieces())
				}
				l.check(fmt.Sprint(format, name))
				before := l.gets()
				if name == "one" && before != 2 {
					t.Errorf("%v: %d requests for 9 MiB", format, before)
				}
				l.check(fmt.Sprint(format, name, " again"))
				if n := l.gets() - before; n > 0 {
					t.Errorf("%v %s: %d more requests for what is in the cache", format, name, n)
				}
			})
		}
	}
}

// After a restart, what was synced is served without the store, and without hashing it again.
func TestTheCacheSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		l.open()
		l.check("first")
		l.close()
		l.server.SetDown(true)
		l.open()
		defer l.close()
		before := l.gets()
		l.check("after the restart, without the store")
		if n := l.gets() - before; n > 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// blockFile returns the path of a block in the cache.
func (l *lab) blockFile(block int) string {
	l.t.Helper()
	hash := id.ID{1}.String()
	list, err := filepath.Glob(filepath.Join(l.dir, hash[:2], hash, fmt.Sprintf("%d.*", block)))
	if err != nil || len(list) != 1 {
		l.t.Fatalf("block %d: %q, %v", block, list, err)
	}
	return list[0]
}

// What a killed process has not synced is not trusted.
func TestUnprovenBlocksAreFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		l.open()
		l.check("first")
		l.close()
		cut, unproven := l.blockFile(0), l.blockFile(1)
		b, err := os.ReadFile(unproven)
		if err == nil {
			b[100] ^= 1
			err = errors.Join(os.WriteFile(unproven+newSuffix, b, 0o600), os.Remove(unproven), os.Truncate(cut, 1000))
		}
		if err != nil {
			t.Fatal(err)
		}
		before := l.gets()
		l.open()
		defer l.close()
		l.check("after a kill")
		if n := l.gets() - before; n != 2 {
			t.Errorf("%d requests for 2 blocks", n)
		}
	})
}

// Many readers of one block cost one request.
func TestOneFetchForManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20)
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: time.Second} })
		l.open()
		defer l.close()
		before := l.gets()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := l.read(int64(i)*64<<10, 16<<10); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := l.gets() - before; n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// Every kind of fault at random: all bytes are right in the end, and the right ones only.
func TestAStoreThatFailsAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 1, 300_000, 20<<20, 0, 5, 256<<10, 256<<10+1)
		l.open()
		defer l.close()
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		l.server.SetFault(func(*http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch random.IntN(6) {
			case 0:
				return s3test.Fault{Status: 500}
			case 1:
				return s3test.Fault{Status: 503}
			case 2:
				return s3test.Fault{CutAfter: 1 + random.IntN(8<<20)}
			case 3:
				return s3test.Fault{Delay: time.Second}
			}
			return s3test.Fault{}
		})
		l.check("random faults")
	})
}

// While the store is away, what is cached is served; afterwards everything goes on by itself.
func TestTheStoreIsAwayForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		l.open()
		defer l.close()
		if _, err := l.read(0, 16<<10); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.server.SetDown(true)
		if !l.Fetch(4<<20, 16<<10, nil, always) {
			t.Error("what is cached is not served")
		}
		began := time.Now()
		time.AfterFunc(40*time.Second, func() { l.server.SetDown(false) })
		if _, err := l.read(17<<20, 16<<10); err != nil || time.Since(began) > 46*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		l.server.SetDown(true)
		if _, err := l.read(9<<20, 16<<10); err == nil {
			t.Error("no error after a minute without the store")
		}
	})
}

// An object that is replaced under us is never served, the rest is, and what is right again is served again.
func TestAnObjectThatChanges(t *testing.T) {
	for _, size := range []int{300_000, 9 << 20} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V2, 300_000, size, 300_000)
			l.open()
			defer l.close()
			good := l.server.Get("data/film/001")
			bad := bytes.Clone(good)
			bad[len(bad)-1] ^= 1
			l.server.Put("data/film/001", bad)
			changed := slices.IndexFunc(l.info.Files, func(f metainfo.File) bool { return !f.Pad && f.Path[0] == "001" })
			f := l.info.Files[changed]
			var e *storage.Error
			_, err := l.read(f.Offset+f.Length-10, 10)
			if !errors.As(err, &e) || e.Kind != storage.Changed || !strings.Contains(err.Error(), "s3://bucket/data/film/001: it is not what the torrent was made of") {
				t.Errorf("%d: %v", size, err)
			}
			_, err = l.Recheck(t.Context()) // it has another ETag
			if err == nil {
				_, err = l.read(f.Offset+f.Length-10, 10)
			}
			if !errors.As(err, &e) {
				t.Errorf("%d: the new object: %v", size, err)
			}
			have, err := l.Recheck(t.Context())
			first, end := l.info.PiecesOf(changed)
			if err != nil || have.Has(end-1) || !have.Has(first) && size > 1<<20 {
				t.Errorf("%d: after a recheck: %v, first %d %v, end %d %v", size, err, first, have.Has(first), end, have.Has(end-1))
			}
			for p := range l.info.NumPieces() {
				if p < first || p >= end {
					if !have.Has(p) {
						t.Errorf("%d: piece %d of another file is gone", size, p)
					}
					if _, err := l.read(int64(p)*l.info.PieceLength, 100); err != nil {
						t.Errorf("%d: piece %d of another file: %v", size, p, err)
					}
				}
			}
			l.server.Put("data/film/001", good)
			if have, err = l.Recheck(t.Context()); err != nil || have.Count() != l.info.NumPieces() {
				t.Errorf("%d: when it is right again: %v", size, err)
			}
			if _, err := l.read(f.Offset+f.Length-10, 10); err != nil {
				t.Errorf("%d: when it is right again: %v", size, err)
			}
		})
	}
}

// A folder of objects without some files, or with files of another size, gives the rest.
func TestMissingObjects(t *testing.T) {
	l := newLab(t, metainfo.V2, 300_000, 300_000, 300_000)
	l.server.Put("data/film/000", make([]byte, 10))
	for i := range l.info.Files {
		if f := &l.info.Files[i]; !f.Pad && f.Path[0] == "002" {
			f.Path[0] = "other"
		}
	}
	l.open()
	defer l.close()
	if have := l.Have(); have.Count() != 2 || !have.Has(2) || !have.Has(3) {
		t.Errorf("%v", have)
	}
	if _, err := l.read(0, 10); err == nil {
		t.Error("a file of another size is read")
	}
}

// The cache keeps its size, and what is evicted is fetched again.
func TestTheCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 40<<20)
		l.open()
		defer l.close()
		l.cache.max = 24 << 20
		l.check("first")
		l.check("second")
		synctest.Wait()
		if blocks, size := l.cache.Size(); size > 24<<20 || blocks != 3 {
			t.Errorf("%d blocks, %d bytes", blocks, size)
		}
		var onDisk int64
		_ = filepath.Walk(l.dir, func(_ string, fi os.FileInfo, err error) error {
			if err == nil && fi.Mode().IsRegular() {
				onDisk += fi.Size()
			}
			return nil
		})
		if onDisk > 24<<20 {
			t.Errorf("%d bytes on the disk", onDisk)
		}
	})
}

// A torrent whose objects were there earlier is read without looking for them first: the first byte takes one answer of the store.
// What has gone since then is an error, and is not offered after the objects were looked for.
func TestKnownObjectsAreReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 300_000, 300_000)
		const first = 700 * time.Millisecond
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: first} })
		known := func() {
			t.Helper()
			handles := storage.NewHandles(0)
			var err error
			if l.cache, err = OpenCache(t.TempDir(), MinCache, handles); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if l.Storage, err = Open(t.Context(), Options{Info: l.info, Hash: id.ID{1}, Objects: l.server.OpenAt(l.at), Shared: NewShared(l.cache), IsKnown: true}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 0 || l.Have().Count() != l.info.NumPieces() {
				t.Errorf("it was opened after %v, with %d pieces", took, l.Have().Count())
			}
			l.handles = handles
		}
		known()
		began := time.Now()
		b, err := l.read(0, 16<<10)
		if took := time.Since(began); err != nil || !bytes.Equal(b, l.data[:16<<10]) || took > first+100*time.Millisecond {
			t.Errorf("the first block took %v: %v", took, err)
		}
		l.close()
		if err := l.server.Open("data").Remove(t.Context(), "film/001"); err != nil {
			t.Fatal(err)
		}
		known()
		defer l.close()
		if _, err := l.read(300_000+256<<10, 1000); err == nil {
			t.Error("a file that has gone was read")
		}
		time.Sleep(10 * time.Second)
		if have := l.Have(); have.Count() == l.info.NumPieces() || !have.Has(0) {
			t.Errorf("%d pieces are offered", have.Count())
		}
	})
}

// When the store is away, nobody waits long for what is not in the cache; when it is back, that is fetched.
func TestNobodyWaitsForAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 120<<20)
		l.open()
		defer l.close()
		if _, err := l.read(0, 16<<10); err != nil {
			t.Fatal(err)
		}
		l.server.SetDown(true)
		ask := func(off int64) (took time.Duration, err error) {
			start, answer := time.Now(), make(chan error, 1)
			if l.Fetch(off, 16<<10, func(err error) { answer <- err }, always) {
				return 0, nil
			}
			err = <-answer
			return time.Since(start), err
		}
		var wg sync.WaitGroup
		for i := range int64(12) { // more than can be fetched at a time
			wg.Go(func() {
				if took, err := ask((i + 3) * 8 << 20); !errors.Is(err, storage.ErrAway) || took > 4*awayAfter {
					t.Errorf("block %d: %v after %v", i+3, err, took)
				}
			})
		}
		wg.Wait()
		for i := range int64(12) {
			if took, err := ask((i + 3) * 8 << 20); !errors.Is(err, storage.ErrAway) || took > 0 {
				t.Errorf("again block %d: %v after %v", i+3, err, took)
			}
		}
		if _, err := l.read(0, 16<<10); err != nil {
			t.Errorf("in the cache: %v", err)
		}
		time.Sleep(5 * time.Minute) // all fetches have ended
		l.server.SetDown(false)
		start := time.Now()
		for {
			if _, err := ask(24 << 20); err == nil {
				break
			}
			time.Sleep(askAwayEvery)
		}
		if took := time.Since(start); took > 2*retryLongest {
			t.Errorf("it was noticed after %v that the store is back", took)
		}
		if _, err := l.read(32<<20, 16<<20); err != nil {
			t.Errorf("in the end: %v", err)
		}
	})
}
