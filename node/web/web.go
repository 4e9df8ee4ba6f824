// Package web serves the web page of a daemon.
//
// The page is the files below static: plain ES modules that use the REST interface and its event stream,
// with a session that POST /v1/session begins. The files are the same for everyone and need no token;
// they contain no data.
//
// Every file is compressed once, when the program starts; scripts and style sheets lose their comments. index.html has links to the others below
// a path with a hash of all files, so a browser keeps them for good, and never has files of two versions.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed static
var embedded embed.FS

// filesPath is the beginning of the paths of all files but index.html. The hash follows.
const filesPath = "/page/"

// IsOpen reports whether a path is that of a file of the page. The guard must pass such requests on
// without a token (guard.Config.Open).
func IsOpen(path string) bool { return path == "/" || strings.HasPrefix(path, filesPath) }

// policy allows the page to load and run only what this server serves as a file.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; font-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is a file as it is sent.
type file struct {
	plain, packed []byte
	kind          string // the media type
	tag           string // the ETag
}

// site is all files.
type site struct {
	index file
	files map[string]file // by their path
}

// load reads and compresses the files.
var load = sync.OnceValue(func() *site {
	plain := map[string][]byte{}
	h := sha256.New()
	root, err := fs.Sub(embedded, "static")
	if err == nil {
		err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(root, name)
			plain[name] = b
			h.Write([]byte(name + "\x00" + strconv.Itoa(len(b)) + "\x00"))
			h.Write(b)
			return err
		})
	}
	if err != nil {
		panic(err) // the files are part of the program
	}
	base := filesPath + hex.EncodeToString(h.Sum(nil)[:8]) + "/"
	s := &site{files: map[string]file{}}
	for name, b := range plain {
		if ext := path.Ext(name); (ext == ".js" || ext == ".css") && !strings.HasPrefix(name, "lib/") {
			b = strip(b)
		}
		if name == "index.html" {
			// Relative, so that they work below a base path.
			b = bytes.ReplaceAll(b, []byte("static/"), []byte(strings.TrimPrefix(base, "/")))
			s.index = newFile(name, b)
			continue
		}
		s.files[base+name] = newFile(name, b)
	}
	return s
})

// strip removes from a script or style sheet the indentation, and empties the lines that are only comments, also comments of
// several lines. Comments explain the source to its readers, and are 12 kB of the compressed
// page; the indentation is 2 kB. The lines keep their numbers. No template of the page has text with a line that begins like a
// comment, or text in which indentation counts.
func strip(b []byte) []byte {
	out := make([]byte, 0, len(b))
	isInside := false // of a comment that began on an earlier line
	for line := range bytes.Lines(b) {
		text := bytes.TrimSpace(line)
		isEnd := bytes.HasSuffix(text, []byte("*/"))
		isBlock := isInside || bytes.HasPrefix(text, []byte("/*")) && (isEnd || !bytes.Contains(text, []byte("*/")))
		isInside = isBlock && !isEnd
		if isBlock || bytes.HasPrefix(text, []byte("//")) {
			line = []byte("\n")
		}
		out = append(out, bytes.TrimLeft(line, " \t")...)
	}
	return out
}

func newFile(name string, b []byte) file {
	sum := sha256.Sum256(b)
	f := file{plain: b, kind: mime.TypeByExtension(path.Ext(name)), tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	switch path.Ext(name) { // the tables of the system may differ
	case ".js":
		f.kind = "text/javascript; charset=utf-8"
	case "":
		f.kind = "text/plain; charset=utf-8"
	}
	var to bytes.Buffer
	z, err := gzip.NewWriterLevel(&to, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(b)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // a buffer accepts everything
	}
	f.packed = to.Bytes()
	return f
}

// New returns the handler of the page: of / and of everything below /page/.
func New() http.Handler {
	s := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
			return
		}
		f, cache := s.index, "no-cache"
		if r.URL.Path != "/" {
			var ok bool
			if f, ok = s.files[r.URL.Path]; !ok {
				http.Error(w, "this file is not part of the page of this version; load the page again", http.StatusNotFound)
				return
			}
			cache = "public, max-age=31536000, immutable"
		}
		h.Set("Cache-Control", cache)
		f.serve(w, r)
	})
}

// serve sends a file, compressed if the client takes that.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // an error means that the client has gone
	}
}

// takesGzip reports whether an Accept-Encoding header names gzip, with a weight other than 0.
func takesGzip(header string) bool {
	for e := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(e, " ", ""), ";q=")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(weight, "0.") != "" || weight == ""
		}
	}
	return false
}
