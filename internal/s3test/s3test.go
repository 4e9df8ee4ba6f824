// Package s3test has an object store for tests, in memory and with faults on demand. It needs no sockets, so it
// works in fake time.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"seedbed/internal/objectstore"
)

// Bucket is the bucket of every Store.
const Bucket = "bucket"

// A Fault changes what the store does with a request.
type Fault struct {
	Delay       time.Duration // before the answer begins
	Status      int           // the answer, if it is not 0
	Body        []byte        // of the answer, with Status
	Hang        bool          // there is no answer
	CutAfter    int           // bytes of the body, after which the connection ends, if it is not 0
	HangAfter   int           // bytes of the body, after which nothing comes, if it is not 0
	HangFor     time.Duration // how long nothing comes then; 0 is for ever
	Drip        int           // bytes of the body after each of which the store pauses for a second, if it is not 0
	Flip        bool          // a bit of the body is wrong
	IgnoreRange bool          // the whole object is sent
	IgnoreMatch bool          // conditions are not looked at
	Encrypted   bool          // the ETags of parts are not their MD5, as with encryption by the store
	OtherETag   bool          // the ETag of an object is not the MD5 of its content
	WeakETag    bool          // the ETag is weak, and matches no condition
	Clock       time.Duration // by which the clock of the store is ahead
	Lost        bool          // the request is done after Delay, even if the client has given up, and its answer is lost
}

// A Store is an object store in memory.
type Store struct {
	t       testing.TB
	backend *memory
	fake    http.Handler
	conns   chan net.Conn
	ended   chan struct{}

	mu       sync.Mutex
	fault    func(r *http.Request) Fault
	isDown   bool
	open     map[net.Conn]struct{}
	requests []string // METHOD PATH RANGE
}

// New starts a store, which ends with the test.
func New(t testing.TB) *Store {
	t.Helper()
	s := &Store{t: t, backend: &memory{Backend: s3mem.New(), made: map[string]*io.SectionReader{}}, conns: make(chan net.Conn), ended: make(chan struct{}), open: map[net.Conn]struct{}{}}
	s.fake = gofakes3.New(s.backend, gofakes3.WithTimeSkewLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	if err := s.backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var running sync.WaitGroup
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			running.Add(1)
		case http.StateClosed:
			running.Done()
		}
	}
	running.Go(func() { _ = server.Serve(listener{s}) })
	t.Cleanup(func() {
		close(s.ended)
		_ = server.Close()
		running.Wait()
	})
	return s
}

// listener accepts the connections of Dial.
type listener struct{ s *Store }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.s.conns:
		return c, nil
	case <-l.s.ended:
		return nil, net.ErrClosed
	}
}

func (listener) Close() error   { return nil }
func (listener) Addr() net.Addr { return &net.TCPAddr{} }

// Dial connects to the store, whatever the address.
func (s *Store) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDown {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case s.conns <- theirs:
		s.open[ours] = struct{}{}
		return ours, nil
	case <-s.ended:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Open returns a client for the objects below prefix.
func (s *Store) Open(prefix string) *objectstore.Store {
	s.t.Helper()
	return s.OpenAt(objectstore.Scheme + Bucket + "/" + prefix)
}

// lookup answers with a public address, whatever the host.
func (s *Store) lookup(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
}

// OpenAt returns a client for a location.
func (s *Store) OpenAt(location string) *objectstore.Store {
	s.t.Helper()
	at, err := objectstore.ParseLocation(location)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := objectstore.Open(objectstore.Config{At: at, Endpoint: "http://store.test", Region: "us-east-1", Anonymous: true, Dial: s.Dial, Lookup: s.lookup})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// Put writes an object, past all faults.
func (s *Store) Put(name string, data []byte) {
	s.t.Helper()
	if _, err := s.backend.PutObject(Bucket, name, map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		s.t.Fatal(err)
	}
}

// Get reads an object, past all faults. It is nil if there is none.
func (s *Store) Get(name string) []byte {
	o, err := s.backend.GetObject(Bucket, name, nil)
	if err != nil {
		return nil
	}
	defer o.Contents.Close()
	b, err := io.ReadAll(o.Contents)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Remove removes an object, past all faults.
func (s *Store) Remove(name string) {
	s.t.Helper()
	if _, err := s.backend.DeleteObject(Bucket, name); err != nil {
		s.t.Fatal(err)
	}
}

// SetFault sets what goes wrong from now on; nil is nothing. It is called for each request, also concurrently.
func (s *Store) SetFault(f func(r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// SetDown takes the store away, with all its connections, or brings it back.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isDown = down
	if down {
		for c := range s.open {
			c.Close()
		}
		clear(s.open)
	}
}

// Requests returns the requests so far: method, path and range.
func (s *Store) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers a request, with its fault.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	fault := s.fault
	s.mu.Unlock()
	var f Fault
	if fault != nil {
		f = fault(r)
	}
	if f.Lost {
		s.lose(r, f.Delay)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
		return
	case f.Status != 0:
		w.WriteHeader(f.Status)
		_, _ = w.Write(f.Body)
		return
	}
	if f.Clock != 0 {
		w.Header().Set("Date", time.Now().Add(f.Clock).UTC().Format(http.TimeFormat))
	}
	if f.IgnoreRange {
		r.Header.Del("Range")
	}
	if f.IgnoreMatch {
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
	}
	if f.OtherETag {
		rename(s.fake, w, r)
		return
	}
	if f.WeakETag {
		weaken(s.fake, w, r)
		return
	}
	if f.Encrypted {
		encryptETags(s.fake, w, r)
		return
	}
	if f.CutAfter == 0 && f.HangAfter == 0 && f.Drip == 0 && !f.Flip || r.Method == http.MethodHead { // no body
		s.fake.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	s.fake.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if f.Flip && len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	if f.CutAfter > 0 && f.CutAfter < len(body) {
		_, _ = w.Write(body[:f.CutAfter])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if f.HangAfter > 0 && f.HangAfter < len(body) {
		_, _ = w.Write(body[:f.HangAfter])
		_ = http.NewResponseController(w).Flush()
		if f.HangFor == 0 {
			<-r.Context().Done()
			return
		}
		time.Sleep(f.HangFor)
		body = body[f.HangAfter:]
	}
	for f.Drip > 0 && len(body) > f.Drip {
		if _, err := w.Write(body[:f.Drip]); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		body = body[f.Drip:]
		time.Sleep(time.Second)
	}
	_, _ = w.Write(body)
}

// lose does what a request asks for after a delay, and closes the connection.
func (s *Store) lose(r *http.Request, delay time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		time.Sleep(delay)
		again := r.Clone(context.WithoutCancel(r.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		s.fake.ServeHTTP(httptest.NewRecorder(), again)
	}
	panic(http.ErrAbortHandler)
}
