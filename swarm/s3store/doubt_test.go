package s3store

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// A fault of some seconds, as when a proxy before the store is restarted, is no reason to take objects for lost or wrong.
func TestAShortFaultLosesNothing(t *testing.T) {
	for what, fault := range map[string]s3test.Fault{"404": {Status: http.StatusNotFound}, "412": {Status: http.StatusPreconditionFailed}, "flip": {Flip: true}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1, 300_000, 10<<20, 300_000)
			l.open()
			defer l.close()
			end := time.Now().Add(3 * time.Second)
			l.server.SetFault(func(*http.Request) s3test.Fault {
				if time.Now().Before(end) {
					return fault
				}
				return s3test.Fault{}
			})
			before := l.gets()
			l.check(what)
			if n := l.gets() - before; n > 2*4 { // 4 files in 2 blocks
				t.Errorf("%s: %d requests", what, n)
			}
		})
	}
}

// Objects that the store denies to have for longer are offered again when it lists them as before, also those that share a piece
// with a file that never was away.
func TestObjectsThatComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 300_000, 300_000, 300_000)
		l.open()
		defer l.close()
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if strings.HasSuffix(r.URL.Path, "/001") {
				return s3test.Fault{Status: http.StatusNotFound}
			}
			return s3test.Fault{}
		})
		var e *storage.Error
		if _, err := l.read(300_000, 100); !errors.As(err, &e) || e.Kind != storage.Changed {
			t.Errorf("a file that the store denies to have: %v", err)
		}
		l.server.SetFault(nil)
		if have, err := l.Recheck(t.Context()); err != nil || have.Count() != l.info.NumPieces() {
			t.Errorf("after a recheck: %d of %d pieces, %v", have.Count(), l.info.NumPieces(), err)
		}
		l.check("when it is back")
	})
}

// An object that is written again is looked at again, even if its ETag is the same: the first answers may have been corrupted.
func TestAnObjectThatIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 200<<10)
		l.open()
		defer l.close()
		var flips atomic.Int32
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodGet {
				flips.Add(1)
				return s3test.Fault{Flip: true}
			}
			return s3test.Fault{}
		})
		if _, err := l.read(0, 100); err == nil || flips.Load() != 2 {
			t.Errorf("wrong bytes: %v after %d requests", err, flips.Load())
		}
		l.server.SetFault(nil)
		if have, err := l.Recheck(t.Context()); err != nil || have.Count() == l.info.NumPieces() {
			t.Errorf("the same object: %d pieces, %v", have.Count(), err)
		}
		time.Sleep(2 * time.Second)
		l.server.Put("data/film", l.data)
		if have, err := l.Recheck(t.Context()); err != nil || have.Count() != l.info.NumPieces() {
			t.Errorf("written again: %d of %d pieces, %v", have.Count(), l.info.NumPieces(), err)
		}
		l.check("written again")
	})
}
