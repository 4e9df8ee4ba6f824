package s3store

import (
	"testing"
	"testing/synctest"

	"seedbed/magnet/metainfo"
)

func TestMissing(t *testing.T) {
	for _, c := range []struct {
		at, name, objects string
		files             int
	}{
		{"data", "film", "data/film/%03d", 3},
		{"data/film", "film", "data/film/%03d", 3},
		{"", "bucket", "%03d", 3},
		{"data", "film", "data/film", 1},
		{"data/film", "film", "data/film", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.put(c.name, c.objects, 300_000, c.files)
			store := l.server.Open(c.at)
			if n, first, err := Missing(t.Context(), store, l.info); n != 0 || first != "" || err != nil {
				t.Errorf("%+v: %d are missing, %q, %v", c, n, first, err)
			}
			object := map[bool]string{true: c.objects[:len(c.objects)-len("%03d")] + "001", false: c.objects}[c.files > 1]
			l.server.Put(object, make([]byte, 299_999))
			if n, first, err := Missing(t.Context(), store, l.info); n != 1 || first != "s3://bucket/"+object || err != nil {
				t.Errorf("%+v: with another size %d are missing, %q, %v", c, n, first, err)
			}
			if c.files == 1 && c.at == "data/film" {
				return // without the object, it could be below the location
			}
			l.server.Remove(object)
			if n, first, err := Missing(t.Context(), store, l.info); n != 1 || first != "s3://bucket/"+object || err != nil {
				t.Errorf("%+v: without it %d are missing, %q, %v", c, n, first, err)
			}
			l.server.SetDown(true)
			if _, _, err := Missing(t.Context(), store, l.info); err == nil {
				t.Error("no error of a store that is away")
			}
		})
	}
}
