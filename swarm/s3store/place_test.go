package s3store

import (
	"fmt"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// The objects are below the location, or the location is what the torrent is made of; then it has its name.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		at, name string // of the store and the torrent
		files    int
		objects  string // format of their names
		want     bool
	}{
		{"s3://bucket/data", "film", 2, "data/film/%03d", true},
		{"s3://bucket/data/film", "film", 2, "data/film/%03d", true},
		{"s3://bucket/data/film", "film", 2, "data/film/film/%03d", true},
		{"s3://bucket/data/film", "other", 2, "data/film/%03d", false},
		{"s3://bucket", "film", 2, "film/%03d", true},
		{"s3://bucket", "bucket", 2, "%03d", true},
		{"s3://bucket", "bucket", 2, "bucket/%03d", true},
		{"s3://bucket/data", "film", 1, "data/film", true},
		{"s3://bucket/data/film", "film", 1, "data/film", true},
		{"s3://bucket/data/film", "film", 1, "data/film/film", true},
		{"s3://bucket", "bucket", 1, "bucket", true},
	} {
		for _, isDown := range []bool{false, true} { // at the start
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, metainfo.V1)
				l.put(c.name, c.objects, 300_000, c.files)
				l.at = c.at
				l.server.SetDown(isDown)
				l.open()
				defer l.close()
				l.server.SetDown(false)
				if have := l.Have(); !isDown && (have.Count() == l.info.NumPieces()) != c.want {
					t.Errorf("%+v: %d of %d pieces", c, have.Count(), l.info.NumPieces())
				}
				if c.want {
					l.check(fmt.Sprint(c, isDown))
				} else if _, err := l.read(0, 10); err == nil {
					t.Errorf("%+v: no error", c)
				}
			})
		}
	}
}

// What create is given for a torrent is also where its objects are found.
func TestTheLocationOfMakeIsThatOfOpen(t *testing.T) {
	for at, objects := range map[string]string{"data/film": "data/film/%03d", "": "%03d"} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.put("film", objects, 300_000, 2)
			var err error
			if l.info, err = Make(t.Context(), l.server.Open(at), MakeOptions{Format: metainfo.V1}); err != nil {
				t.Fatal(err)
			}
			l.at = objectstore.Location{Bucket: s3test.Bucket, Prefix: at}.String()
			l.open()
			defer l.close()
			l.check(at)
		})
	}
}
