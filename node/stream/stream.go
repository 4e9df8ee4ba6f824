// Package stream serves the files of a torrent over HTTP, also during the download, to
// players and browsers. Those of a private publication are decrypted. It supports ranges, media types and HEAD. It is meant for users of
// this machine. It rejects a request whose Host header is not the address at which the
// request arrived, because otherwise a web page from elsewhere could read the files (DNS
// rebinding).
package stream

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"seedbed/internal/addrs"
	"seedbed/node"
)

// maxRequests is the maximum number of file requests at a time. Players make two or three.
const maxRequests = 64

// RetryAway is after how many seconds a client should ask again for what does not answer, as an object store (Retry-After).
const RetryAway = 10

// Server serves the files of a Source. It is an http.Handler.
type Server struct {
	source Source
	name   string // a further accepted host name; "" for none
	mux    http.ServeMux

	gate *Gate
}

// New returns a Server of source. The Host of a
// request may be the address at which it arrived, localhost if that is a loopback address,
// or name.
func New(source Source, name string) *Server {
	s := &Server{source: source, name: strings.ToLower(name), gate: NewGate(maxRequests)}
	s.mux.HandleFunc("GET /{$}", s.index)
	s.mux.HandleFunc("GET /playlist.m3u", s.playlist)
	s.mux.HandleFunc("GET /{file}/{name...}", s.file)
	s.mux.HandleFunc("GET /{file}", s.file)
	return s
}

// Requests returns the number of file requests so far, and the number of those that are
// open now.
func (s *Server) Requests() (served, open int) { return s.gate.Requests() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.isOurHost(r) {
		http.Error(w, "this server does not serve the host of the request", http.StatusMisdirectedRequest)
		return
	}
	setSafe(w.Header())
	s.mux.ServeHTTP(w, r)
}

// isOurHost reports whether the Host header of the request is accepted.
func (s *Server) isOurHost(r *http.Request) bool {
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

// Path returns the URL path of the file with that number and that path or name.
func Path(number int, file string) string {
	return "/" + strconv.Itoa(number) + "/" + url.PathEscape(path.Base(file))
}

// file serves one file or the requested ranges of it.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("file"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	a := Answer{Gate: s.gate, Client: clientOf(r), Open: func(ctx context.Context, h http.Header) (Content, error) {
		return s.source.Open(ctx, number, h)
	}}
	switch err := a.Serve(w, r); {
	case err == nil:
	case errors.Is(err, node.ErrNoMetadata):
		notYet(w)
	case errors.Is(err, ErrTooMany):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, ErrTooManyOfClient):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error()+"; close some of them", http.StatusTooManyRequests)
	case errors.Is(err, node.ErrNoFile), errors.Is(err, node.ErrNotSelected):
		http.NotFound(w, r)
	default:
		if node.KindOf(err) == node.FaultNetwork {
			w.Header().Set("Retry-After", strconv.Itoa(RetryAway))
		}
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// clientOf returns the client of a request. Each is an account, because there are no tokens.
func clientOf(r *http.Request) (c Client) {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Account = addrs.ClientNet(from.Addr()).String()
	}
	return c
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

var page = template.Must(template.New("index").Parse(`<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Name}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}td{padding:.2em 1em .2em 0}td+td{text-align:right;white-space:nowrap}</style>
<h1>{{.Name}}</h1><p><a href="/playlist.m3u">playlist</a></p>
<table>{{range .Files}}<tr><td><a href="{{.URL}}">{{.Path}}</a></td><td>{{.Size}} bytes</td></tr>
{{end}}</table>
`))

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	files, isKnown := s.source.Files()
	if !isKnown {
		notYet(w)
		return
	}
	var entries []entry
	for _, f := range files {
		entries = append(entries, entry{f.Path, Path(f.Number, f.Path), f.Size})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, struct {
		Name  string
		Files []entry
	}{s.source.Name(), entries}) // an error means that the client has disconnected
}

// playlist serves the playable files, in the order of the source.
func (s *Server) playlist(w http.ResponseWriter, r *http.Request) {
	files, isKnown := s.source.Files()
	if !isKnown {
		notYet(w)
		return
	}
	writePlaylist(w, files, "http://"+r.Host)
}

// WritePlaylist answers with an M3U playlist of the playable files of a torrent whose metadata is
// known, in the torrent's order. root is the URL to which Path is relative, without a slash at the end.
func WritePlaylist(w http.ResponseWriter, t *node.Torrent, root string) {
	files, _ := OfTorrent(t).Files() // none if it was removed
	writePlaylist(w, files, root)
}

func writePlaylist(w http.ResponseWriter, files []File, root string) {
	w.Header().Set("Content-Type", "audio/x-mpegurl; charset=utf-8")
	fmt.Fprintln(w, "#EXTM3U")
	for _, f := range files {
		if IsPlayable(f.Path) {
			fmt.Fprintf(w, "#EXTINF:-1,%s\n%s%s\n", strings.Map(printable, f.Path), root, Path(f.Number, f.Path))
		}
	}
}

func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// IsPlayable reports whether a file with that name is video or audio.
func IsPlayable(name string) bool {
	mime := typeOf(name)
	return strings.HasPrefix(mime, "video/") || strings.HasPrefix(mime, "audio/")
}
