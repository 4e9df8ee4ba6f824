package s3store

import (
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// refusals are answers of stores that refuse to send what they would send with other credentials, or another day.
var refusals = map[string]struct {
	status int
	body   string
	kind   objectstore.Kind
}{
	"expired": {http.StatusBadRequest, "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>", objectstore.Denied},
	"denied":  {http.StatusForbidden, "<Error><Code>AccessDenied</Code><Message>denied</Message></Error>", objectstore.Denied},
	"region":  {http.StatusBadRequest, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>region</Message></Error>", objectstore.Elsewhere},
	"strange": {http.StatusTeapot, "", objectstore.Unsupported},
}

// openWarned opens the torrent of a lab, and returns what it warns of.
func (l *lab) openWarned() *[]error {
	l.t.Helper()
	l.open()
	s := l.Storage
	if err := s.Close(); err != nil {
		l.t.Fatal(err)
	}
	var warnings []error
	var err error
	l.Storage, err = Open(l.t.Context(), Options{Info: l.info, Hash: id.ID{1}, Objects: s.o.Objects, Shared: s.shared,
		Warn: func(err error) { warnings = append(warnings, err) }})
	if err != nil {
		l.t.Fatal(err)
	}
	return &warnings
}

// A store that refuses is away: peers are told so, it is reported once, few requests are made, and all is well when it sends again.
func TestAStoreThatRefuses(t *testing.T) {
	for name, r := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, metainfo.V1, 20<<20)
				warnings := l.openWarned()
				defer l.close()
				l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: r.status, Body: []byte(r.body)} })
				before := l.gets()
				for range 100 {
					wait := make(chan error, 1)
					if l.Fetch(0, 16<<10, func(err error) { wait <- err }, always) {
						t.Fatal("what the store refuses is here")
					}
					if err := <-wait; !errors.Is(err, storage.ErrAway) {
						t.Fatal("error: ", err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := l.gets() - before; n < 2 || n > 3 {
					t.Errorf("%d requests in 10 seconds", n)
				}
				if len(*warnings) != 1 || objectstore.KindOf((*warnings)[0]) != r.kind {
					t.Errorf("warnings: %v", *warnings)
				}
				l.server.SetFault(nil)
				l.check("when it sends again")
			})
		})
	}
}

// An object that is refused holds up no other one of the torrent.
func TestAnObjectThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 8<<20, 8<<20)
		warnings := l.openWarned()
		defer l.close()
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.URL.Path == "/"+s3test.Bucket+"/data/film/000" {
				return s3test.Fault{Status: http.StatusForbidden}
			}
			return s3test.Fault{}
		})
		for range 3 {
			wait := make(chan error, 1)
			l.Fetch(0, 16<<10, func(err error) { wait <- err }, always)
			if err := <-wait; !errors.Is(err, storage.ErrAway) {
				t.Fatal("error: ", err)
			}
			began := time.Now()
			if _, err := l.read(8<<20, 16<<10); err != nil || time.Since(began) > 0 {
				t.Errorf("the other object: %v, after %v", err, time.Since(began))
			}
			l.cache.drop(l.key(1))
			time.Sleep(refusedTime)
		}
		if len(*warnings) != 1 {
			t.Errorf("warnings: %v", *warnings)
		}
	})
}

// A store that is down is reported once, and again after the next time it worked, but not for all torrents.
func TestAnOutageIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 60<<20)
		warnings := l.openWarned()
		defer l.close()
		for outage := range int64(4) {
			l.server.SetDown(true)
			ready := make(chan error, 1)
			l.Fetch(outage*BlockSize, 16<<10, func(err error) { ready <- err }, always)
			if err := <-ready; !errors.Is(err, storage.ErrAway) {
				t.Fatal("error: ", err)
			}
			time.Sleep(warnPause / 3)
			l.server.SetDown(false)
			if _, err := l.read(outage*BlockSize, 16<<10); err != nil {
				t.Fatal(err)
			}
		}
		if len(*warnings) != 2 || objectstore.KindOf((*warnings)[1]) != objectstore.Unavailable {
			t.Errorf("warnings of 4 outages within 14 minutes: %v", *warnings)
		}
	})
}

// A folder of the cache that cannot be written to is reported too: nothing can be read from the store without it.
func TestACacheThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		warnings := l.openWarned()
		defer l.close()
		write := l.cache.write
		l.cache.write = func(*os.File, []byte, int64) (int, error) { return 0, syscall.EROFS }
		for range 20 {
			wait := make(chan error, 1)
			l.Fetch(0, 16<<10, func(err error) { wait <- err }, always)
			if err := <-wait; !errors.Is(err, storage.ErrAway) {
				t.Fatal("error: ", err)
			}
			time.Sleep(time.Second)
		}
		var e *CacheFolderError
		if len(*warnings) != 1 || !errors.As((*warnings)[0], &e) || !errors.Is(e.Err, syscall.EROFS) {
			t.Errorf("warnings: %v", *warnings)
		}
		l.cache.write = write
		l.check("when it can be written")
	})
}

// A store that answers 503 is asked again with growing pauses, and not as fast as it answers.
func TestAStoreThatFailsIsNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		l.open()
		defer l.close()
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: http.StatusServiceUnavailable} })
		before := l.gets()
		if _, err := l.read(0, 16<<10); !errors.Is(err, storage.ErrAway) {
			t.Errorf("after a minute: %v", err)
		}
		// 0.5, 1, 2 and 4 s, then every 5 s
		if n := l.gets() - before; n < 10 || n > 20 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}
