package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"seedbed/internal/id"
	"seedbed/node/tree"
)

// memory is a file in memory.
type memory struct{ *bytes.Reader }

func (m memory) Close() error { return nil }

// fakeSource is a source with one publication, or an error.
type fakeSource struct {
	version *Version
	err     error
	opened  []string // paths
	broken  error    // of every read
	asked   []Address
	reading int
	mu      sync.Mutex
}

type brokenFile struct {
	memory
	err error
}

func (b brokenFile) Read([]byte) (int, error) { return 0, b.err }

// publication returns a source with these files.
func publication(t testing.TB, files map[string]string) *fakeSource {
	t.Helper()
	s := &fakeSource{}
	var list []tree.File
	for p, data := range files {
		sum := sha256.Sum256([]byte(data))
		list = append(list, tree.File{Path: p, Size: int64(len(data)), Identity: hex.EncodeToString(sum[:8])})
	}
	files2, err := tree.New("the <site>", list, func(_ context.Context, i int) (tree.Reader, error) {
		s.mu.Lock()
		s.opened = append(s.opened, list[i].Path)
		s.mu.Unlock()
		m := memory{bytes.NewReader([]byte(files[list[i].Path]))}
		if s.broken != nil {
			return brokenFile{m, s.broken}, nil
		}
		return m, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.version = &Version{Seq: 7, InfoHash: id.ID{1, 2}, Tree: files2, Alone: Address{Key: testAddress.Key, Number: 7}}
	return s
}

func (s *fakeSource) Newest(_ context.Context, a Address, _ netip.Prefix) (*Version, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a)
	if s.err != nil {
		return nil, nil, s.err
	}
	s.reading++
	return s.version, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reading--
	}, nil
}

var testAddress = Address{Key: id.ID32{1: 7, 31: 9}}

// ask requests target, a path or a URL, with headers given as pairs.
func ask(t testing.TB, s Source, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "http://" + testAddress.Host(LocalDomain) + ":8010" + target
	}
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	NewHandler(HandlerConfig{Source: s, Domain: LocalDomain}).ServeHTTP(w, r)
	if f, ok := s.(*fakeSource); ok && f.reading != 0 {
		t.Errorf("%s: the version is still marked as being read", target)
	}
	return w
}

var website = map[string]string{
	"index.html": "<h1>home</h1>", "style.css": strings.Repeat("a{color:red}\n", 1000), "blog/index.html": "blog", "blog/a b.txt": "text",
	"files/one": "plain words", "files/two.png": "not a picture", "files/page": "<!doctype html><p>x", "odd/index.html/file": "below a folder that is called index.html",
	"empty.txt": "",
}

// Files have the type of their name, or else of their first bytes.
func TestFilesHaveTheirTypes(t *testing.T) {
	s := publication(t, website)
	for target, want := range map[string]string{"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/blog/a%20b.txt": "text/plain; charset=utf-8",
		"/files/one": "text/plain; charset=utf-8", "/files/two.png": "image/png", "/files/page": "text/html; charset=utf-8", "/empty.txt": "text/plain; charset=utf-8"} {
		w := ask(t, s, "GET", target)
		if w.Code != 200 || w.Header().Get("Content-Type") != want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %v", target, w.Code, w.Header())
		}
	}
	if len(s.asked) == 0 || s.asked[0] != testAddress {
		t.Errorf("%v was asked for", s.asked)
	}
}

// A folder shows its index.html, or a page with its entries. Its path ends with a slash.
func TestFolders(t *testing.T) {
	s := publication(t, website)
	if w := ask(t, s, "GET", "/blog/"); w.Code != 200 || w.Body.String() != "blog" {
		t.Errorf("%d, %q", w.Code, w.Body)
	}
	if w := ask(t, s, "GET", "/blog?a=b"); w.Code != 307 || w.Header().Get("Location") != "/blog/?a=b" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	for _, folder := range []string{"/files/", "/odd/", "/odd/index.html/"} {
		if w := ask(t, s, "GET", folder); w.Code != 200 || !strings.Contains(w.Body.String(), "<table>") {
			t.Errorf("%s: %d, %q", folder, w.Code, w.Body)
		}
	}
	for _, missing := range []string{"/nothing", "/files/one/", "/blog/index.html/", "//", "/blog//a%20b.txt", "/blog/../style.css", "/blog%2fa%20b.txt", "/%2e%2e/style.css", "/a%00b", "/STYLE.css"} {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.Host = testAddress.Host(LocalDomain)
		u, err := url.Parse("http://x" + missing)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		w := httptest.NewRecorder()
		NewHandler(HandlerConfig{Source: s, Domain: LocalDomain}).ServeHTTP(w, r)
		if w.Code != 404 {
			t.Errorf("%s: %d", missing, w.Code)
		}
	}
}

// A redirect never leads to another host, whatever the folder is called.
func TestRedirectsStayOnTheHost(t *testing.T) {
	for _, name := range []string{`\evil.example`, `\\evil.example`, "http:evil", "?x", "#y", "a\r\nSet-Cookie: b", "%2f%2fevil.example"} {
		s := publication(t, map[string]string{name + "/file": "x"})
		w := ask(t, s, "GET", escapePath(name, false))
		to, err := url.Parse("http://here.example/")
		if err != nil {
			t.Fatal(err)
		}
		at, err := to.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != 307 || at.Host != "here.example" || at.Path != "/"+name+"/" || at.RawQuery != "" || strings.Contains(w.Header().Get("Location"), `\`) {
			t.Errorf("%q: %d, %q, %v", name, w.Code, w.Header().Get("Location"), err)
		}
	}
}

// The publication's own 404.html is the answer where there is no file, with status 404, also to a
// request with a range or a condition.
func TestThePublicationsOwn404(t *testing.T) {
	files := map[string]string{"404.html": strings.Repeat("<p>gone</p>", 500), "a": "x"}
	s := publication(t, files)
	for _, h := range [][]string{{}, {"Range", "bytes=0-3"}, {"If-None-Match", "*"}, {"Accept-Encoding", "gzip"}} {
		w := ask(t, s, "GET", "/b", h...)
		body := w.Body.String()
		if w.Header().Get("Content-Encoding") == "gzip" {
			body = unzip(t, w)
		}
		if w.Code != 404 || body != files["404.html"] || w.Header().Get("ETag") != "" {
			t.Errorf("%v: %d, %v, %.20q", h, w.Code, w.Header(), body)
		}
	}
	s.broken = errors.New("no peers")
	if w := ask(t, s, "GET", "/b", "Accept-Encoding", "gzip"); w.Code != 503 || w.Header().Get("Content-Encoding") != "" || !strings.Contains(w.Body.String(), "<!doctype") {
		t.Errorf("%d, %v, %.20q", w.Code, w.Header(), w.Body)
	}
}

func unzip(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// RFC 9110: GET and HEAD, 405 with Allow for others; validators, ranges, conditions.
func TestRFC9110(t *testing.T) {
	s := publication(t, website)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"} {
		if w := ask(t, s, method, "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, %v", method, w.Code, w.Header())
		}
	}
	const css = "/style.css"
	full := ask(t, s, "GET", css)
	tag := full.Header().Get("ETag")
	head := ask(t, s, "HEAD", css)
	if head.Code != 200 || head.Body.Len() > 0 || head.Header().Get("Content-Length") != "13000" || head.Header().Get("ETag") != tag || tag == "" {
		t.Errorf("HEAD: %d, %v", head.Code, head.Header())
	}
	for _, c := range []struct {
		name    string
		code    int
		body    string // the beginning
		headers []string
	}{
		{"a range", 206, "color:", []string{"Range", "bytes=2-7"}},
		{"a suffix", 206, "}\n", []string{"Range", "bytes=-2"}},
		{"several ranges", 206, "--", []string{"Range", "bytes=0-0,5-6"}},
		{"beyond the end", 416, "", []string{"Range", "bytes=13000-"}},
		{"an unknown unit is ignored", 200, "a{", []string{"Range", "lines=1-2"}},
		{"an invalid range is not satisfiable", 416, "", []string{"Range", "bytes=x"}},
		{"If-Range with the tag", 206, "co", []string{"Range", "bytes=2-3", "If-Range", tag}},
		{"If-Range with another tag", 200, "a{", []string{"Range", "bytes=2-3", "If-Range", `"x"`}},
		{"If-None-Match", 304, "", []string{"If-None-Match", `"x", ` + tag}},
		{"a weak If-None-Match", 304, "", []string{"If-None-Match", "W/" + tag}},
		{"If-None-Match with another tag", 200, "a{", []string{"If-None-Match", `"x"`}},
		{"If-Match with another tag", 412, "", []string{"If-Match", `"x"`}},
		{"a range of a compressible file", 206, "co", []string{"Range", "bytes=2-3", "Accept-Encoding", "gzip"}},
	} {
		w := ask(t, s, "GET", css, c.headers...)
		if w.Code != c.code || !strings.HasPrefix(w.Body.String(), c.body) {
			t.Errorf("%s: %d, %.20q", c.name, w.Code, w.Body)
		}
		if (c.code == 200 || c.code == 304) && w.Header().Get("ETag") != tag {
			t.Errorf("%s: %v", c.name, w.Header())
		}
	}
}

// Text is compressed if the client accepts it. The compressed form has another entity tag, and caches
// keep the two apart.
func TestCompression(t *testing.T) {
	s := publication(t, website)
	plain := ask(t, s, "GET", "/style.css")
	for _, no := range []string{"", "identity", "gzip;q=0", "*;q=0", "br", "gzip;q=0, *"} {
		if w := ask(t, s, "GET", "/style.css", "Accept-Encoding", no); w.Header().Get("Content-Encoding") != "" || w.Body.Len() != 13000 || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", no, w.Header())
		}
	}
	for _, yes := range []string{"gzip", "br, GZIP", "*", "gzip;q=0.5", "deflate, gzip;q=1.0, *;q=0"} {
		w := ask(t, s, "GET", "/style.css", "Accept-Encoding", yes)
		if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 1000 || w.Header().Get("ETag") == plain.Header().Get("ETag") ||
			w.Header().Get("Content-Length") != "" || w.Header().Get("Accept-Ranges") != "" || unzip(t, w) != website["style.css"] {
			t.Errorf("%q: %v", yes, w.Header())
		}
		again := ask(t, s, "GET", "/style.css", "Accept-Encoding", yes, "If-None-Match", w.Header().Get("ETag"))
		if again.Code != 304 || again.Body.Len() > 0 || again.Header().Get("Content-Encoding") != "" {
			t.Errorf("%q: %d, %v", yes, again.Code, again.Header())
		}
	}
	for _, small := range []string{"/", "/files/two.png", "/empty.txt"} {
		if w := ask(t, s, "GET", small, "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" || w.Header().Get("Vary") != "" {
			t.Errorf("%s: %v", small, w.Header())
		}
	}
}

// What another site makes a browser send is refused, except that the user follows a link.
func TestOtherSitesCanOnlyLink(t *testing.T) {
	s := publication(t, website)
	for _, c := range []struct {
		code    int
		headers []string
	}{
		{200, []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}},
		{200, []string{"Sec-Fetch-Site", "cross-website", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		{403, []string{"Sec-Fetch-Site", "cross-website", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}},
		{403, []string{"Sec-Fetch-Site", "cross-website", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}},
		{403, []string{"Sec-Fetch-Site", "same-website", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}},
		{403, []string{"Sec-Fetch-Site", "same-origin", "Service-Worker", "script"}},
	} {
		if w := ask(t, s, "GET", "/", c.headers...); w.Code != c.code {
			t.Errorf("%v: %d", c.headers, w.Code)
		}
	}
	for _, w := range []*httptest.ResponseRecorder{ask(t, s, "GET", "/"), ask(t, s, "GET", "/files/"), ask(t, s, "GET", "/x"), ask(t, s, "OPTIONS", "/")} {
		h := w.Header()
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") && !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "*") ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Private-Network") != "" || h.Get("Set-Cookie") != "" {
			t.Errorf("%d: %v", w.Code, h)
		}
	}
}

// A host that is neither the gateway's nor below it is refused, so that a page cannot read publications
// after its name was made to point here.
func TestOtherHostsAreRefused(t *testing.T) {
	s := publication(t, website)
	for _, host := range []string{"evil.example", "localhost.evil.example", testAddress.Host("evil.example"), "10.0.0.1:8010", "x.localhost", "evillocalhost"} {
		if w := ask(t, s, "GET", "http://"+host+"/"); w.Code != 421 {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("%v was asked for", s.asked)
	}
}

// The gateway's own page redirects what is pasted to the origin of the publication.
func TestThePageRedirectsWhatIsPasted(t *testing.T) {
	s := publication(t, website)
	key := testAddress.Key.String()
	home := "http://" + testAddress.Host(LocalDomain) + ":8010/"
	salted := Address{Key: testAddress.Key, Salt: strings.Repeat("\x00\xff", 32)}
	for q, want := range map[string]string{
		key: home, " " + strings.ToUpper(key) + "\n": home, encoding.EncodeToString(testAddress.Key[:]): home,
		"magnet:?xs=urn:btpk:" + key + "&dn=x":                                         home,
		"magnet:?xs=urn:btpk:" + key + "&s=" + hex.EncodeToString([]byte(salted.Salt)): "http://" + salted.Host(LocalDomain) + ":8010/",
		"Example.org": "http://example.org.localhost:8010/",
		"magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056": "", "nonsense": "", "http://evil.example/": "", `<script>alert(1)</script>`: "", strings.Repeat("a.", 3000): "",
	} {
		for _, host := range []string{"localhost:8010", "127.0.0.1:8010"} {
			w := ask(t, s, "GET", "http://"+host+"/?q="+url.QueryEscape(q))
			if want == "" && (w.Code != 400 || strings.Contains(w.Body.String(), "<script>")) || want != "" && (w.Code != 303 || w.Header().Get("Location") != want) {
				t.Errorf("%.60q: %d, %q", q, w.Code, w.Header().Get("Location"))
			}
		}
	}
	if w := ask(t, s, "GET", "http://localhost:8010/"); w.Code != 200 || !strings.Contains(w.Body.String(), "<form") {
		t.Error(w.Code, w.Body)
	}
	if w := ask(t, s, "GET", "http://localhost:8010/index.html"); w.Code != 404 {
		t.Error(w.Code)
	}
}

// The page of a folder shows every name as text and links to the file, whatever the name is.
func TestNamesInFoldersAreEscaped(t *testing.T) {
	names := []string{`a"b'c<d>&e`, "line\nbreak", "tab\there", "%2f", "..%2f..", "ümlaut é", "rtl\u202egnp.exe", "\u05d0\u05d1", "?q=1#frag", "javascript:alert(1)",
		`back\slash`, "A.txt", "a.txt", "<script>alert(1)<!--", "...", " ", "\xff\xfe", "folder<td>"}
	files := map[string]string{}
	for _, n := range names {
		files["d/"+n] = n
	}
	s := publication(t, files)
	w := ask(t, s, "GET", "/d/")
	body := w.Body.String()
	if strings.Contains(body, "<script") || strings.Contains(body, "\u202e") || w.Code != 200 {
		t.Errorf("%d, %s", w.Code, body)
	}
	links := hrefs(t, body)
	base, _ := url.Parse("http://here.example/d/")
	found := map[string]bool{}
	for _, link := range links {
		to, err := base.Parse(link)
		if err == nil && to.Host == s.version.Alone.Host(LocalDomain)+":8010" {
			continue
		}
		if err != nil || to.Host != "here.example" || to.Scheme != "http" {
			t.Errorf("%q leads to %v, %v", link, to, err)
			continue
		}
		w := ask(t, s, "GET", to.EscapedPath())
		if got := strings.TrimPrefix(to.Path, "/d/"); w.Code == 200 && w.Body.String() == files["d/"+got] {
			found[got] = true
		}
	}
	for _, n := range names {
		if !found[n] {
			t.Errorf("no link opens %q; the links are %q", n, links)
		}
	}
}

// hrefs returns the links of a page.
func hrefs(t testing.TB, body string) (all []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if n.Data == "a" && a.Key == "href" {
				all = append(all, a.Val)
			}
		}
	}
	return all
}

// A folder of 100,000 files is shown in pages, folders first.
func TestLargeFoldersHavePages(t *testing.T) {
	files := map[string]string{}
	for i := range 100_000 {
		files[fmt.Sprintf("d/%06d", i)] = ""
	}
	files["d/zz/below"] = ""
	s := publication(t, files)
	seen := 0
	for _, p := range []int{1, 2, 50, 101} {
		body := ask(t, s, "GET", fmt.Sprint("/d/?page=", p)).Body.String()
		if p == 1 && !strings.Contains(body, `href="/d/zz/"`) || len(body) > 200*pageLength {
			t.Errorf("page %d: %d bytes", p, len(body))
		}
		seen += strings.Count(body, `href="/d/0`)
	}
	if seen != 999+1000+1000+1 { // the folder comes first
		t.Errorf("%d files are shown", seen)
	}
	for _, odd := range []string{"0", "-1", "x", "99999999999999999999", "102"} {
		if w := ask(t, s, "GET", "/d/?page="+odd); w.Code != 200 {
			t.Errorf("page %s: %d", odd, w.Code)
		}
	}
}

// Failures have their status, say when to try again, and are not cached.
func TestFailures(t *testing.T) {
	s := &fakeSource{err: &Failure{Code: 504, Retry: 30, Title: "Nothing <here>", Text: "No node knows it."}}
	w := ask(t, s, "GET", "/", "Sec-Fetch-Mode", "navigate")
	if w.Code != 504 || w.Header().Get("Retry-After") != "30" || w.Header().Get("Refresh") != "30" || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), "Nothing &lt;here&gt;") {
		t.Errorf("%d, %v, %s", w.Code, w.Header(), w.Body)
	}
	broken := publication(t, website)
	broken.broken = errors.New("no peers")
	for _, target := range []string{"/", "/style.css", "/files/one"} {
		w := ask(t, broken, "GET", target, "Accept-Encoding", "gzip")
		if h := w.Header(); w.Code != 503 || h.Get("ETag") != "" || h.Get("Content-Encoding") != "" || h.Get("Accept-Ranges") != "" || h.Get("Vary") != "" || h.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d, %v", target, w.Code, h)
		}
	}
}

// The files at the address of one version are cached for good; those at the address of the newest one, those of
// a private publication, pages that the gateway makes and errors are not.
func TestOneVersionIsImmutable(t *testing.T) {
	s := publication(t, website)
	fixed := testAddress
	fixed.Number = 7
	at := "http://" + fixed.Host(LocalDomain)
	for target, want := range map[string]string{at + "/style.css": immutable, at + "/": immutable, at + "/files/": "no-cache", at + "/nothing": "no-store", "/style.css": "no-cache"} {
		w := ask(t, s, "GET", target)
		if w.Header().Get("Cache-Control") != want {
			t.Errorf("%s: %q", target, w.Header().Get("Cache-Control"))
		}
		if again := ask(t, s, "GET", target, "If-None-Match", w.Header().Get("ETag")); w.Code == 200 && w.Header().Get("ETag") != "" && (again.Code != 304 || again.Header().Get("Cache-Control") != want) {
			t.Errorf("%s: %d, %v", target, again.Code, again.Header())
		}
	}
	if !slices.Contains(s.asked, fixed) {
		t.Errorf("%v was asked for", s.asked)
	}
	if w := ask(t, s, "GET", "/files/"); !strings.Contains(w.Body.String(), `href="http://`+fixed.Host(LocalDomain)+`:8010/files/"`) {
		t.Errorf("no link to the version: %s", w.Body)
	}
	s.version.IsPrivate = true
	if w := ask(t, s, "GET", at+"/style.css"); w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("a private publication: %v", w.Header())
	}
	s.broken = errors.New("no peers")
	if w := ask(t, s, "GET", at+"/style.css"); w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
}

// Answers are counted by their status, and so are the bytes of files and pages.
func TestAnswersAreCounted(t *testing.T) {
	s := publication(t, website)
	h := NewHandler(HandlerConfig{Source: s, Domain: LocalDomain})
	for _, target := range []string{"/files/one", "/files/one", "/nothing", "/blog"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://"+testAddress.Host(LocalDomain)+target, nil))
	}
	got := h.count.stats()
	if want := map[int]int64{200: 2, 404: 1, 307: 1}; !maps.Equal(got.Requests, want) || got.Sent < int64(2*len(website["files/one"])+100) {
		t.Errorf("%+v, want %v", got, want)
	}
}
