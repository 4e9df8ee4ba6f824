package s3store

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"seedbed/internal/id"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// A torrent of 100,000 small objects is found with a request for 1,000 of them, and little memory for each.
func TestOpeningManyObjects(t *testing.T) {
	const page = 1000
	files := 100_000
	if raceEnabled {
		files = 10_000
	}
	plan := metainfo.Plan{Name: "film", PieceLength: 256 << 10, Format: metainfo.V1}
	for i := range files {
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprintf("%06d", i)}, Length: 1000})
	}
	d, err := metainfo.NewDraft(plan)
	if err != nil {
		t.Fatal(err)
	}
	info, err := d.Finish(make([]metainfo.Digest, d.Layout().NumPieces()))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, server: s3test.New(t), dir: t.TempDir(), handles: storage.NewHandles(0)}
		var lists, others atomic.Int64
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.URL.Query().Get("list-type") != "2" {
				others.Add(1)
			}
			first := int(lists.Add(1)-1) * page
			var b strings.Builder
			fmt.Fprintf(&b, "<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", first+page < files, first+page)
			for i := first; i < min(first+page, files); i++ {
				fmt.Fprintf(&b, "<Contents><Key>data/film/%06d</Key><Size>1000</Size><ETag>%032x</ETag></Contents>", i, i)
			}
			b.WriteString("</ListBucketResult>")
			return s3test.Fault{Status: http.StatusOK, Body: []byte(b.String())}
		})
		if l.cache, err = OpenCache(l.dir, MinCache, l.handles); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l.Storage, err = Open(t.Context(), Options{Info: info, Hash: id.ID{1}, Objects: l.server.Open("data"), Shared: NewShared(l.cache)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if n, other := int(lists.Load()), others.Load(); n != files/page || other != 0 {
			t.Errorf("%d lists, and %d other requests", n, other)
		}
		if have := l.Have(); have.Count() != info.NumPieces() {
			t.Errorf("%d of %d pieces", have.Count(), info.NumPieces())
		}
		if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > int64(files)*100 && !raceEnabled {
			t.Errorf("%d bytes are kept for each object", used/int64(files))
		} else {
			t.Logf("%d bytes are kept for each object", used/int64(files))
		}
	})
}
