package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", "http://127.0.0.1"+target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var links = regexp.MustCompile(`(?:href|src)="([^"]+)"`)

// The links of the page are relative, so that it works below a base path. Browsers may keep what
// they lead to for good, but ask each time whether the page itself has changed.
func TestThePageAndItsFiles(t *testing.T) {
	index := get(t, "/")
	b := body(t, index)
	if index.StatusCode != 200 || index.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("%s %v", index.Status, index.Header)
	}
	if again := get(t, "/", "If-None-Match", index.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("an unchanged page: %s", again.Status)
	}
	found := links.FindAllSubmatch(b, -1)
	if len(found) < 3 {
		t.Fatalf("the page has no links:\n%s", b)
	}
	for _, l := range found {
		r := get(t, "/"+string(l[1]))
		if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s %v", l[1], r.Status, r.Header)
		}
	}
	if r := get(t, "/page/0123456789abcdef/app.js"); r.StatusCode != 404 {
		t.Errorf("a file of another version: %s", r.Status)
	}
	if !IsOpen("/") || !IsOpen("/page/x/app.js") || IsOpen("/v1/torrents") || IsOpen("/pages") {
		t.Error("other paths than those of the page are open")
	}
}

func TestFilesAreCompressedForThoseWhoTakeThat(t *testing.T) {
	plain := body(t, get(t, "/"))
	for header, packed := range map[string]bool{"": false, "gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "identity": false} {
		r := get(t, "/", "Accept-Encoding", header)
		b := body(t, r)
		if (r.Header.Get("Content-Encoding") == "gzip") != packed {
			t.Errorf("%q: %v", header, r.Header)
			continue
		}
		if packed {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(b, plain) {
			t.Errorf("%q: another page", header)
		}
	}
}

// Nothing but our files can run or be shown, and no other page can frame this one.
func TestThePolicyOfThePage(t *testing.T) {
	for _, target := range []string{"/", "/page/none"} {
		h := get(t, target).Header
		p := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(p, want) {
				t.Errorf("%s: the policy lacks %s", target, want)
			}
		}
		if strings.Contains(p, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", target, h)
		}
	}
	if w := httptest.NewRecorder(); true {
		New().ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", w.Code)
		}
	}
}

// What is sent of a script is its source, line by line, without the lines that are comments and without indentation.
func TestScriptsAreSentWithoutComments(t *testing.T) {
	source := "/** f\n * does.\n */\n// why\n/* one */\n/* x */ b();\nimport {a} from \"./a.js\";\n\n\t// more\n\ta(`http://x`); // here\n  return 1 // 2"
	want := "\n\n\n\n\n/* x */ b();\nimport {a} from \"./a.js\";\n\n\na(`http://x`); // here\nreturn 1 // 2"
	if got := strip([]byte(source)); string(got) != want {
		t.Errorf("%q, not %q", got, want)
	}
}

// maxPacked is the limit of the whole page, compressed, in bytes.
const maxPacked = 150_000

func TestThePageIsSmall(t *testing.T) {
	s := load()
	sum := len(s.index.packed)
	for name, f := range s.files {
		if !strings.HasPrefix(path.Base(name), "LICENSE") {
			sum += len(f.packed)
		}
	}
	if t.Logf("the page has %d bytes compressed", sum); sum > maxPacked {
		t.Errorf("the page has %d bytes compressed, %d at most", sum, maxPacked)
	}
}

// The libraries are the files that lib/SOURCES lists (vendor.sh fetches them), each with its licence.
func TestTheLibrariesAreThoseOfTheList(t *testing.T) {
	list, err := embedded.ReadFile("static/lib/SOURCES")
	if err != nil {
		t.Fatal(err)
	}
	listed, licences := map[string]bool{"SOURCES": true}, map[string]bool{}
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		b, err := embedded.ReadFile("static/lib/" + f[3])
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f[4] {
			t.Errorf("%s differs from the list; make vendor fetches it anew", f[3])
		}
		listed[f[3]], licences[f[0]] = true, licences[f[0]] || f[3] == "LICENSE-"+f[0]
	}
	for name, ok := range licences {
		if !ok {
			t.Errorf("%s has no licence", name)
		}
	}
	err = fs.WalkDir(embedded, "static/lib", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !listed[path.Base(name)] {
			t.Errorf("%s is not in the list", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var imports = regexp.MustCompile(`(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"`)

// Every module that a file imports is there.
func TestImportsExist(t *testing.T) {
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".js" {
			return err
		}
		b, err := embedded.ReadFile(name)
		for _, m := range imports.FindAllSubmatch(b, -1) {
			to := path.Join(path.Dir(name), string(m[1]))
			if !strings.HasPrefix(string(m[1]), ".") {
				t.Errorf("%s imports %s, which no browser can find", name, m[1])
			} else if _, err := embedded.Open(to); err != nil {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var classAtStart = regexp.MustCompile(`(?m)^\.([a-z0-9-]+)`)

// Two views do not give one class two looks: all style sheets are loaded at once.
func TestAClassBelongsToOneStyleSheet(t *testing.T) {
	owner := map[string]string{}
	for _, name := range []string{"css/list.css", "css/torrent.css", "css/views.css", "css/add.css"} {
		b, err := embedded.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range classAtStart.FindAllSubmatch(b, -1) {
			class := string(m[1])
			if first, ok := owner[class]; ok && first != name && class != "torrents" { // which css/torrent.css changes while details are shown
				t.Errorf("the class %s is in %s and in %s", class, first, name)
			}
			owner[class] = name
		}
	}
}
