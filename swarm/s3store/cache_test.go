package s3store

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"seedbed/internal/id"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// Blocks that are fetched at a time never push out each other before they are read: that would cost their requests again and again.
func TestBlocksAreReadBeforeTheyAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 48<<20)
		l.open()
		defer l.close()
		l.cache.max = 20 << 20
		l.cache.space = semaphore.NewWeighted(l.cache.max / reservedPart)
		// While a request takes time, all readers read what is there, however busy the machine is.
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: 100 * time.Millisecond} })
		before := l.gets()
		var wg sync.WaitGroup
		for block := range int64(6) {
			wg.Go(func() {
				for off := range int64(BlockSize >> 18) {
					if _, err := l.read(block*BlockSize+off<<18, 256<<10); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := l.gets() - before; n > 6 {
			t.Errorf("%d requests for 6 blocks", n)
		}
	})
}

// After the disk was full, the cache grows again.
func TestTheCacheGrowsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 50<<20)
		l.open()
		defer l.close()
		l.check("first")
		for l.cache.makeRoom(BlockSize, 2) {
		}
		l.check("while the disk is full")
		if _, size := l.cache.Size(); size > blocksInCache*BlockSize {
			t.Errorf("%d bytes while the disk is full", size)
		}
		time.Sleep(limitTime)
		l.check("later")
		if _, size := l.cache.Size(); size != 50<<20 {
			t.Errorf("%d bytes when it has room again", size)
		}
	})
}

// While the disk of the cache is slow, nobody who only asks what is in it waits, and what is in it can be read.
func TestASlowDiskHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20)
		l.open()
		defer l.close()
		goOn := make(chan struct{})
		var renamed atomic.Int32
		l.cache.rename = func(from, to string) error {
			<-goOn
			err := os.Rename(from, to)
			renamed.Add(1)
			<-goOn
			return err
		}
		before := l.gets()
		for _, when := range []string{"before", "after"} {
			l.check(when + " the file has its name")
			synctest.Wait()
			l.handles.Close() // the file is opened again
			if !l.cache.mu.TryLock() {
				t.Fatal("the cache is locked while the disk works")
			}
			l.cache.mu.Unlock()
			l.check(when + " the file has its name, again")
			goOn <- struct{}{}
			synctest.Wait()
		}
		if n := l.gets() - before; n != 1 || renamed.Load() != 1 || strings.HasSuffix(l.blockFile(0), newSuffix) {
			t.Errorf("%d requests, %d files got names, %s", n, renamed.Load(), l.blockFile(0))
		}
	})
}

// A block that is removed while it gets its name leaves no file.
func TestABlockThatIsRemovedWhileItIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20)
		l.open()
		defer l.close()
		l.cache.rename = func(from, to string) error {
			err := os.Rename(from, to)
			if err == nil { // the remover was at the old name already
				err = os.Link(to, to+".kept")
			}
			l.cache.drop(l.key(0))
			if err == nil {
				err = os.Rename(to+".kept", to)
			}
			return err
		}
		l.check("first")
		synctest.Wait()
		if left, err := os.ReadDir(filepath.Join(l.dir, "01", id.ID{1}.String())); err == nil && len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
}

// A disk that does not answer does not hold up the end of the process.
func TestCloseOfACacheOnADeadDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20)
		l.open()
		goOn := make(chan struct{})
		l.cache.rename = func(from, to string) error { <-goOn; return os.Rename(from, to) }
		l.check("first")
		if err := l.Storage.Close(); err != nil {
			t.Error(err)
		}
		if err := l.cache.Close(); err == nil || !strings.Contains(err.Error(), l.dir) {
			t.Error(err)
		}
		close(goOn)
		<-l.cache.synced
		if err := l.cache.lock.Release(); err != nil {
			t.Error(err)
		}
	})
}
