package s3store

import (
	"fmt"
	"net/http"
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

// Of a location that has the name of the torrent and a folder of that name below, the one that has the torrent's files is found, however deep
// the nesting.
func TestPlacesWithinEachOther(t *testing.T) {
	for _, c := range []struct {
		at      string
		objects string            // format of the names of the torrent's files
		others  map[string]string // other objects
	}{
		{"s3://bucket/site", "site/%03d", map[string]string{"site/site/x": "x"}},
		{"s3://bucket/site", "site/site/%03d", map[string]string{"site/x": "x"}},
		{"s3://bucket/site", "site/%03d", map[string]string{"site/site/000": "another size", "site/site/site/000": "x"}},
		{"s3://bucket/site", "site/site/%03d", map[string]string{"site/000": "another size"}},
		{"s3://bucket/site/site", "site/site/%03d", map[string]string{"site/site/site/x": "x", "site/000": "x"}},
		{"s3://bucket/site/site", "site/site/site/%03d", map[string]string{"site/site/x": "x", "site/x": "x"}},
		{"s3://bucket/data/site", "data/site/%03d", map[string]string{"data/site/site": "x", "data/site/site/x": "x"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.put("site", c.objects, 300_000, 2)
			for name, content := range c.others {
				l.server.Put(name, []byte(content))
			}
			l.at = c.at
			l.open()
			defer l.close()
			if have := l.Have(); have.Count() != l.info.NumPieces() {
				t.Errorf("%+v: %d of %d pieces", c, have.Count(), l.info.NumPieces())
				return
			}
			l.check(fmt.Sprint(c))
		})
	}
}

// What others have put into the folder of a torrent, however much, costs neither time nor the torrent.
func TestAFolderWithManyOtherObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 300_000, 300_000)
		for i := range maxListed*(2+1) + 1 { // they are listed before the files
			l.server.Put(fmt.Sprintf("data/film/+%03d", i), []byte("x"))
		}
		l.open()
		defer l.close()
		if have := l.Have(); have.Count() != l.info.NumPieces() {
			t.Errorf("%d of %d pieces", have.Count(), l.info.NumPieces())
		}
		l.check("among others")
		l.server.Remove("data/film/001")
		if _, err := l.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all, _ := l.Complete(); all {
			t.Error("an object that is not there was found")
		}
		l.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodHead {
				return s3test.Fault{Status: http.StatusServiceUnavailable}
			}
			return s3test.Fault{}
		})
		if err := l.survey(t.Context()); objectstore.KindOf(err) != objectstore.Unavailable {
			t.Errorf("a store that does not answer for a file: %v", err)
		}
	})
}

// What create is given for a torrent is also where its objects are found.
func TestTheLocationOfMakeIsThatOfOpen(t *testing.T) {
	for at, objects := range map[string]string{"data/film": "data/film/%03d", "": "%03d"} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.put("film", objects, 300_000, 2)
			made, err := Make(t.Context(), l.server.Open(at), MakeOptions{Format: metainfo.V1})
			if err != nil {
				t.Fatal(err)
			}
			l.info = made.Info
			l.at = objectstore.Location{Bucket: s3test.Bucket, Prefix: at}.String()
			l.open()
			defer l.close()
			l.check(at)
		})
	}
}
