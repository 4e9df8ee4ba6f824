package s3store

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// A store that sends some hundred bytes a second does not hold a place among the fetches for hours, whatever the length of the pieces. A slow
// line does what it can.
func TestASlowFetchEnds(t *testing.T) {
	for _, c := range []struct {
		pieces  int64
		drip    int
		longest time.Duration
	}{{16 << 10, 600, 5 * time.Minute}, {256 << 10, 600, 5 * time.Minute}, {256 << 10, 64 << 10 / fetchesAtOnce, 0}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.pieces = c.pieces
			l.put("film", "data/film", 2<<20, 1)
			l.open()
			defer l.close()
			l.server.SetFault(func(r *http.Request) s3test.Fault {
				if r.Method == http.MethodGet {
					return s3test.Fault{Drip: c.drip}
				}
				return s3test.Fault{}
			})
			began := time.Now()
			wait := make(chan error, 1)
			if l.Fetch(2<<20-1000, 1000, func(err error) { wait <- err }, always) {
				t.Fatal("it is there")
			}
			<-wait
			for range 100 {
				if len(l.shared.places) == 0 {
					break
				}
				time.Sleep(10 * time.Second)
			}
			took, whole := time.Since(began), l.isWhole(0)
			if c.longest == 0 && !whole || c.longest > 0 && (whole || took > c.longest) {
				t.Errorf("pieces of %d bytes, %d bytes a second: %v, whole: %v", c.pieces, c.drip, took, whole)
			}
		})
	}
}
