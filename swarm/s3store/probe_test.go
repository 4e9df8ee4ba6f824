package s3store

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// Of an object that is replaced by another one of its size, no piece is offered until the right one is there, and it costs one piece
// for each object to find that out.
func TestAWrongObjectIsNotOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 1<<20, 20<<20)
		l.open()
		defer l.close()
		wrong := slices.Repeat([]byte{1}, 20<<20)
		others := l.info.NumPieces() - 20<<20/int(l.info.PieceLength)
		have := func(what string, pieces, requests int) {
			t.Helper()
			before := l.gets()
			for range 3 {
				have, err := l.Recheck(t.Context())
				if err != nil || have.Count() != pieces {
					t.Errorf("%s: %d pieces, want %d, %v", what, have.Count(), pieces, err)
				}
			}
			if n := l.gets() - before; n != requests {
				t.Errorf("%s: %d objects were read, want %d", what, n, requests)
			}
		}
		l.server.Put("data/film/001", wrong)
		if _, err := l.read(2<<20, 100); err == nil {
			t.Error("a wrong object was read")
		}
		have("replaced by a wrong one", others, 1)
		time.Sleep(2 * time.Second)
		wrong[0]++
		l.server.Put("data/film/001", wrong)
		have("replaced by another wrong one", others, 1)
		l.server.Put("data/film/001", l.data[1<<20:])
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Header.Get("Range") != "" {
				return s3test.Fault{Status: http.StatusForbidden}
			}
			return s3test.Fault{}
		})
		have("put right, but it cannot be read", others, 3)
		l.server.SetFault(nil)
		have("put right", l.info.NumPieces(), 1)
		l.check("put right")
	})
}
