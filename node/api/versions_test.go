package api_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/filetest"
	"seedbed/node/api"
	"seedbed/node/view"
)

// The versions of a publication are compared by the one who publishes and by the one who follows.
func TestVersionsAreCompared(t *testing.T) {
	rigs := withDHT(t, 3)
	pub, r := rigs[0], rigs[1]
	site := filepath.Join(pub.d.Dir(), "site")
	var last view.Job
	publish := func() int64 {
		t.Helper()
		if code := pub.do("POST", "/v1/publications", object{"key": "web", "path": site}, &last); code != 202 {
			t.Fatal(code)
		}
		last = *pub.ended(&last)
		if last.Status != "done" || last.Seq == nil {
			t.Fatalf("%+v %+v", last, last.Fault)
		}
		return *last.Seq
	}
	filetest.Write(t, filepath.Join(site, "a.html"), []byte("one"))
	filetest.Write(t, filepath.Join(site, "b.html"), []byte("stays"))
	first := publish()

	var f view.Followed
	if code := r.do("POST", "/v1/follows", object{"link": last.Link, "poll_s": 1, "peers": []string{pub.d.Node().Addrs()[0].String()}}, &f); code != 201 {
		t.Fatalf("%d %+v", code, f)
	}
	var on api.FollowedVersions
	current := func(seq int64) bool {
		r.do("GET", "/v1/follows/"+f.Target+"/versions", nil, &on)
		return len(on.Versions) > 0 && on.Versions[0].Current && on.Versions[0].Seq == seq
	}
	eventually(t, func() bool { return current(first) })

	filetest.Write(t, filepath.Join(site, "a.html"), []byte("longer"))
	filetest.Write(t, filepath.Join(site, "c.html"), []byte("new"))
	second := publish()
	eventually(t, func() bool { return current(second) })
	if v := on.Versions; len(v) != 2 || v[1].Seq != first || v[1].Current || v[0].FileCount != 3 || v[0].Name != "site" {
		t.Errorf("%+v", v)
	}
	for who, at := range map[*rig]string{pub: "/v1/publications/web", r: "/v1/follows/" + f.Target} {
		var d view.VersionDiff
		if code := who.do("GET", fmt.Sprintf("%s/diff?from=%d&to=%d&limit=1", at, first, second), nil, &d); code != 200 || !d.More || len(d.Files) != 1 || d.Files[0].Path != "a.html" || d.Files[0].OldSize != 3 || d.Files[0].Size != 6 ||
			d.Added != 1 || d.Changed != 1 || d.Same != 1 || d.Removed != 0 || d.OldSize != 8 || d.Size != 14 {
			t.Errorf("%s: %d %+v", at, code, d)
		}
		var p api.Problem
		for query, want := range map[string]int{"": 422, "?from=1&to=x": 422, "?from=0&to=1": 422, fmt.Sprintf("?from=%d&to=999999999999", first): 400} {
			if code := who.do("GET", at+"/diff"+query, nil, &p); code != want || p.Detail == "" {
				t.Errorf("%s%s: %d %+v", at, query, code, p)
			}
		}
		if code := who.do("GET", strings.TrimRight(at, "0123456789abcdef")+"nosuch/diff?from=1&to=2", nil, &p); code != 404 {
			t.Errorf("%s: %d", at, code)
		}
	}

	// The follower goes back to the first version and stays there, and then continues.
	at := "/v1/follows/" + f.Target + "/stay"
	if code := r.do("PUT", at, object{"seq": first}, &f); code != 200 || *f.Seq != first || !f.Stays || *f.NewestSeq != second || !strings.Contains(f.Folder, fmt.Sprint(first)) {
		t.Errorf("%d %+v", code, f)
	}
	var p api.Problem
	if code := r.do("PUT", at, object{"seq": second + 1}, &p); code != 400 || p.Hint == "" {
		t.Errorf("a version that is not on disk: %d %+v", code, p)
	}
	if code := r.do("PUT", at, object{"seq": 0}, nil); code != 422 {
		t.Errorf("version 0: %d", code)
	}
	f = view.Followed{}
	if code := r.do("DELETE", at, nil, &f); code != 200 || *f.Seq != second || f.Stays {
		t.Errorf("%d %+v", code, f)
	}
}
