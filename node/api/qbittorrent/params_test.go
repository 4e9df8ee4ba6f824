package qbittorrent

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a request has, its parameters are read within their limits, or it is refused.
func FuzzParse(f *testing.F) {
	f.Add("GET", "a=1&b=%20", "", "")
	f.Add("POST", "a=1", "application/x-www-form-urlencoded", "a=2&hashes=all|x")
	f.Add("POST", "", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"urls\"\r\n\r\nmagnet:?x\r\n--b\r\nContent-Disposition: form-data; name=\"torrents\"; filename=\"a\"\r\n\r\nde\r\n--b--\r\n")
	f.Add("POST", "%zz", "multipart/form-data", "--")
	f.Add("POST", "rid=9223372036854775808&ratioLimit=NaN&limit=1e400", "text/plain", "json={}")
	f.Fuzz(func(t *testing.T, method, query, kind, body string) {
		if method != "POST" {
			method = "GET"
		}
		r := httptest.NewRequest(method, "http://localhost/", bytes.NewReader([]byte(body)))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		p, err := parse(r, true)
		if err != nil {
			if status, text := statusOf(err); status < 400 || status >= 500 || text == "" {
				t.Fatalf("%d %s", status, text)
			}
			return
		}
		if len(p.files) > maxParts {
			t.Fatal(len(p.files))
		}
		for name := range p.values {
			_ = p.boolean(name, false)
			if n := p.number(name, 1); n-n != 0 {
				t.Fatal(n)
			}
			if n := p.integer(name, 7); n != 7 && !strings.ContainsAny(p.get(name), "0123456789") {
				t.Fatal(n)
			}
			for _, x := range p.list(name, "|") {
				if x == "" || strings.Contains(x, "|") {
					t.Fatalf("%q", x)
				}
			}
			_, _ = minutes(p.integer(name, 0))
			_, _ = indexes(p.list(name, "|"), 5)
		}
	})
}

func TestRequestsAreLimited(t *testing.T) {
	r := newRig(t)
	r.login()
	if code, _ := r.post("torrents/stop", "hashes="+strings.Repeat("x", maxValues)); code != 413 {
		t.Errorf("a large form: %d", code)
	}
	if code, _ := r.upload("", "", nil, map[string]string{"urls": strings.Repeat("x", maxValues+1)}); code != 413 {
		t.Errorf("a large part: %d", code)
	}
	parts := map[string]string{}
	for i := range maxParts + 1 {
		parts[fmt.Sprint(i)] = ""
	}
	if code, _ := r.upload("", "", nil, parts); code != 413 {
		t.Errorf("many parts: %d", code)
	}
	if code, _ := r.post("torrents/add", "urls="+strings.Repeat("x%0A", maxURLs+1)); code != 400 {
		t.Errorf("many URLs: %d", code)
	}
	if code, body := r.post("torrents/add", "urls=http://127.0.0.1:1/x.torrent"); code != 200 || body != "Fails." {
		t.Errorf("a private address: %d %s", code, body)
	}
	var log []struct{ Message string }
	for len(log) == 0 { // the log follows the events
		r.object("log/main?normal=false&info=false", &log)
	}
	if m := log[len(log)-1].Message; !strings.Contains(m, "127.0.0.1 is not an allowed address") {
		t.Errorf("%q", m)
	}
}
