package gateway

import (
	"math"
	"strings"
	"testing"

	"seedbed/internal/id"
)

// Every publication has one host, and the host leads to it.
func TestHostsLeadToTheirPublication(t *testing.T) {
	for _, a := range []Address{{Key: id.ID32{1}}, {Key: id.ID32{255, 31: 255}, Salt: "x"}, {Key: id.ID32{2}, Salt: strings.Repeat("\xff", 64)},
		{Key: id.ID32{2}, Salt: strings.Repeat("\x00", 39)}, {Key: id.ID32{2}, Salt: strings.Repeat("\x00", 40)}, {Key: id.ID32{3}, Number: 7}, {Key: id.ID32{3}, Salt: "x", Number: math.MaxInt64}, {Name: "example.org"}, {Name: "a-b.c--d.example"}} {
		for _, host := range []string{a.Host("localhost"), a.Host("localhost") + ":80", strings.ToUpper(a.Host("localhost")) + ".:8010"} {
			got, isOwn, err := parseHost(host, "localhost", false)
			if got != a || isOwn || err != nil {
				t.Errorf("%s: %+v, %v, %v", host, got, isOwn, err)
			}
		}
		for label := range strings.SplitSeq(a.Host("localhost"), ".") {
			if len(label) > 63 {
				t.Errorf("%d bytes in one label", len(label))
			}
		}
	}
}

// A name in one label stands for the name with dots.
func TestNamesInOneLabel(t *testing.T) {
	for label, want := range map[string]string{"example-org": "example.org", "my--site-example-org": "my-site.example.org", "example.org": "example.org"} {
		if a, _, err := parseHost(label+".gate.example", "gate.example", false); a.Name != want || err != nil {
			t.Errorf("%s: %+v, %v", label, a, err)
		}
	}
}

// Names outside the domain are served only if that is wanted.
func TestNamesByHost(t *testing.T) {
	if a, isOwn, err := parseHost("www.example.org:443", "gate.example", true); a.Name != "www.example.org" || isOwn || err != nil {
		t.Error(a, isOwn, err)
	}
	if _, _, err := parseHost("www.example.org", "gate.example", false); err == nil {
		t.Error("accepted")
	}
	for _, own := range []string{"localhost", "LOCALHOST:8010", "127.0.0.1:8010", "[::1]:8010", "[::1]", "127.0.0.1"} {
		if _, isOwn, err := parseHost(own, "localhost", false); !isOwn || err != nil {
			t.Errorf("%s: %v", own, err)
		}
	}
}

// Hosts that are not valid name nothing, and none that is valid has a second form.
func FuzzHost(f *testing.F) {
	key := strings.Repeat("a", 51) + "q"
	for _, s := range []string{"localhost", key + ".localhost", "mfrgg." + key + ".localhost:80", "example-org.localhost", "::1", "[::1]:1", "a..b.localhost", key + "." + key + ".localhost", "--.localhost", ".localhost", "v-7." + key + ".localhost", "v-07." + key + ".localhost", "v--7.mfrgg." + key + ".localhost", "v-7.localhost", "v-9223372036854775808." + key + ".localhost", "\x00-a.localhost"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, host string, names bool) {
		a, isOwn, err := parseHost(host, "localhost", names)
		if err != nil && (isOwn || a != Address{}) {
			t.Errorf("%q: %+v, %v, %v", host, a, isOwn, err)
		}
		if err != nil || isOwn {
			return
		}
		if a.Name != "" && !isName(a.Name) || len(a.Salt) > maxSalt || (a.Name == "") == (a.Key == id.ID32{} && a.Name != "") {
			t.Errorf("%q: %+v", host, a)
		}
		again, isOwn, err := parseHost(a.Host("localhost"), "localhost", false)
		if again != a || isOwn || err != nil {
			t.Errorf("%q: %+v, then %+v, %v", host, a, again, err)
		}
	})
}

// The path of a URL leads to the path of a file and back.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/", "//", "/a//b", "/..", "/%2e%2e/x", "/a%2fb", "/%00", "/%zz", "", "/a%20b/%C3%BC", "/%5c%5cx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		path, isFolder, ok := parsePath(escaped)
		if !ok {
			return
		}
		for part := range strings.SplitSeq(path, "/") {
			if path != "" && (part == "" || part == "." || part == "..") || strings.Contains(part, "\x00") {
				t.Errorf("%q: %q", escaped, path)
			}
		}
		to := escapePath(path, isFolder)
		if strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
			t.Errorf("%q leads to %q", path, to)
		}
		again, folder, ok := parsePath(to)
		if again != path || folder != isFolder || !ok {
			t.Errorf("%q: %q, then %q", escaped, path, again)
		}
	})
}
