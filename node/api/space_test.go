package api_test

import (
	"path/filepath"
	"testing"

	"seedbed/node/api"
)

// The free space is that of the folder that a new torrent gets: the given one, that of its category, or that of the daemon.
func TestTheSpaceWhereANewTorrentWouldBe(t *testing.T) {
	r := newRig(t)
	films := filepath.Join(r.d.Dir(), "films")
	if code := r.do("PUT", "/v1/categories/film", object{"dir": films}, nil); code != 200 {
		t.Fatalf("the category: %d", code)
	}
	for query, want := range map[string]string{"": r.d.Dir(), "?category=film": films, "?category=film/old": filepath.Join(films, "old"), "?category=new": r.d.Dir(),
		"?category=film&dir=" + r.d.Dir() + "/a/b": filepath.Join(r.d.Dir(), "a", "b")} {
		var s api.FolderSpace
		if code := r.do("GET", "/v1/space"+query, nil, &s); code != 200 || s.Dir != want || s.Free <= 0 || s.Total < s.Free {
			t.Errorf("%q: %d %+v, not of %s", query, code, s, want)
		}
	}
	for _, dir := range []string{"/etc", "relative"} {
		var p api.Problem
		if code := r.do("GET", "/v1/space?dir="+dir, nil, &p); code != 400 || p.Detail == "" || p.Hint == "" {
			t.Errorf("%s: %d %+v", dir, code, p)
		}
	}
}
