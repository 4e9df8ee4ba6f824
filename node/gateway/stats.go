package gateway

import (
	"maps"
	"net/http"
	"sync"
)

// Stats are the numbers of a gateway since it was opened.
type Stats struct {
	Requests     map[int]int64 // that have been answered, by status
	Sent         int64         // bytes of files and pages
	Publications int           // that are remembered
	Lookups      int           // that run now
	Copies       int           // versions in the cache
	CacheBytes   int64         // disk space of the cache; updated every ten seconds
}

// Stats returns the numbers of the gateway.
func (s *Server) Stats() Stats {
	x := s.handler.count.stats()
	s.library.addTo(&x)
	return x
}

// addTo sets the numbers of the library.
func (l *Library) addTo(s *Stats) {
	l.mu.Lock()
	s.Publications = l.sites.Len()
	l.mu.Unlock()
	s.Lookups = l.lookups.taken()
	c := l.copies
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Copies, s.CacheBytes = c.usage.copies, c.usage.bytes
}

// count counts what a Handler answers.
type count struct {
	mu    sync.Mutex
	codes map[int]int64
	sent  int64
}

func (c *count) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Requests: maps.Clone(c.codes), Sent: c.sent}
}

// counted counts one answer.
type counted struct {
	http.ResponseWriter
	code int
	sent int64
}

// WriteHeader implements http.ResponseWriter.
func (w *counted) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (w *counted) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// Unwrap returns the writer for http.ResponseController.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// add counts an answer that has ended. One without a status was cut off before it began.
func (c *count) add(w *counted) {
	if w.code == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codes[w.code]++
	c.sent += w.sent
}
