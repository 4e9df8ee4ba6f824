// Package stream serves the files of a torrent over HTTP during the download, to
// players and browsers: with ranges, media types and HEAD. It is for local users. It
// rejects a request whose Host header is not the address that it arrived at, because
// a foreign web page could otherwise read the files (DNS rebinding).
package stream

import (
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"seedbed/node"
)

// maxRequests limits the files that are read at the same time; players use two or three.
const maxRequests = 64

// A Server serves one torrent. It is an http.Handler.
type Server struct {
	t    *node.Torrent
	name string // an accepted host name besides the addresses; "" for none
	mux  http.ServeMux

	served atomic.Int64
	open   atomic.Int64
}

// New serves t, which was added with Spec.ReadAhead. The Host of a request may be the
// address that it arrived at, localhost if that is a loopback address, or name.
func New(t *node.Torrent, name string) *Server {
	s := &Server{t: t, name: strings.ToLower(name)}
	s.mux.HandleFunc("GET /{$}", s.index)
	s.mux.HandleFunc("GET /playlist.m3u", s.playlist)
	s.mux.HandleFunc("GET /{file}/{name...}", s.file)
	s.mux.HandleFunc("GET /{file}", s.file)
	return s
}

// Requests returns the number of file requests so far, and of those that are open now.
func (s *Server) Requests() (served, open int) { return int(s.served.Load()), int(s.open.Load()) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.ours(r) {
		http.Error(w, "this is not the host that was asked for", http.StatusMisdirectedRequest)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	// A file may be a page with scripts: the sandbox gives it no origin.
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	s.mux.ServeHTTP(w, r)
}

// ours reports whether the Host header of the request is one of our addresses.
func (s *Server) ours(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = strings.Trim(r.Host, "[]"), "80"
	}
	if port != strconv.Itoa(int(at.Port())) {
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap() == at.Addr().Unmap()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return (host == "localhost" && at.Addr().IsLoopback()) || (host == s.name && s.name != "")
}

// Path returns the URL path of a file, given by its index in the torrent's files.
func Path(t *node.Torrent, file int) string {
	return "/" + strconv.Itoa(t.Info().FileNumber(file)) + "/" + url.PathEscape(fileName(t, file))
}

// fileName returns the last part of a file's path.
func fileName(t *node.Torrent, file int) string {
	path := t.Info().Files[file].Path
	return path[len(path)-1]
}

// file serves one file or the requested ranges of it.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("file"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if s.open.Add(1) > maxRequests {
		s.open.Add(-1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	defer s.open.Add(-1)
	info := s.t.Info()
	if info == nil {
		notYet(w)
		return
	}
	index, ok := info.FileIndex(number)
	if !ok {
		http.NotFound(w, r)
		return
	}
	f, err := s.t.OpenFile(r.Context(), index)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	s.served.Add(1)
	name := fileName(s.t, index)
	h := w.Header()
	h.Set("Content-Type", typeOf(name))
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, s.t.InfoHash(), number))
	h.Set("Cache-Control", "private, max-age=86400")
	ranges, satisfiable := cleanRange(r.Header.Get("Range"))
	if !satisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size()))
		http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	r.Header.Del("Range")
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	http.ServeContent(w, r, name, time.Time{}, f)
}

func notYet(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the metadata is not known yet", http.StatusServiceUnavailable)
}

// entry is a file in the listings.
type entry struct {
	Path, URL string
	Size      int64
}

func (s *Server) entries() (out []entry) {
	for _, i := range s.t.Files() {
		out = append(out, s.entry(i))
	}
	return out
}

func (s *Server) entry(file int) entry {
	f := &s.t.Info().Files[file]
	return entry{strings.Join(f.Path, "/"), Path(s.t, file), f.Length}
}

var page = template.Must(template.New("index").Parse(`<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Name}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}td{padding:.2em 1em .2em 0}td+td{text-align:right;white-space:nowrap}</style>
<h1>{{.Name}}</h1><p><a href="/playlist.m3u">playlist</a></p>
<table>{{range .Files}}<tr><td><a href="{{.URL}}">{{.Path}}</a></td><td>{{.Size}} bytes</td></tr>
{{end}}</table>
`))

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	if s.t.Info() == nil {
		notYet(w)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, struct {
		Name  string
		Files []entry
	}{s.t.Name(), s.entries()}) // an error means that the client has disconnected
}

// playlist serves the playable files, in the torrent's order.
func (s *Server) playlist(w http.ResponseWriter, r *http.Request) {
	if s.t.Info() == nil {
		notYet(w)
		return
	}
	w.Header().Set("Content-Type", "audio/x-mpegurl; charset=utf-8")
	fmt.Fprintln(w, "#EXTM3U")
	for _, i := range Playable(s.t) {
		e := s.entry(i)
		fmt.Fprintf(w, "#EXTINF:-1,%s\nhttp://%s%s\n", strings.Map(printable, e.Path), r.Host, e.URL)
	}
}

func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// Playable returns the wanted files that players can play, by their index.
func Playable(t *node.Torrent) (out []int) {
	for _, i := range t.Files() {
		mime := typeOf(fileName(t, i))
		if strings.HasPrefix(mime, "video/") || strings.HasPrefix(mime, "audio/") {
			out = append(out, i)
		}
	}
	return out
}
