//go:build linux

package integration

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A storeProxy is a proxy in front of an object store that counts what is read from it, and that can fail.
type storeProxy struct {
	url   string
	gets  atomic.Int64 // requests for objects, or parts of them
	lists atomic.Int64 // the other requests
	read  atomic.Int64 // bytes of objects, without refusals
	fault atomic.Pointer[func(*http.Request) storeFault]
	rate  atomic.Int64 // bytes of objects a second, if it is not 0
	mu    sync.Mutex
	due   time.Time // for the next byte
}

// proxyBurst is for how long the rate of a limited proxy can be caught up, so that sleeping for too long does not lower it.
const proxyBurst = 100 * time.Millisecond

// limit limits the bytes of objects a second for all requests together.
func (p *storeProxy) limit(rate int64) { p.rate.Store(rate) }

// pass waits until n bytes may go to a client.
func (p *storeProxy) pass(n int) {
	rate := p.rate.Load()
	if rate == 0 {
		return
	}
	p.mu.Lock()
	now := time.Now()
	if least := now.Add(-proxyBurst); p.due.Before(least) {
		p.due = least
	}
	at := p.due
	p.due = at.Add(time.Duration(n) * time.Second / time.Duration(rate))
	p.mu.Unlock()
	time.Sleep(time.Until(at))
}

// A storeFault changes the answer to a request.
type storeFault struct {
	delay  time.Duration // before the answer begins
	status int           // of the answer, if it is not 0
	cut    int64         // bytes of the body after which the connection ends, if it is not 0
	down   bool          // the connection ends without an answer
}

// proxied puts a proxy in front of the store until the test ends, for all clients but s3cmd.
func (o *objectStore) proxied(t testing.TB, ip string) *storeProxy {
	t.Helper()
	target, err := url.Parse(o.url)
	must(t, err)
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "7070"))
	must(t, err)
	p := &storeProxy{url: "http://" + l.Addr().String()}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	forward := &httputil.ReverseProxy{
		// The host is part of the signature and stays.
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: p.count,
		ErrorLog:       quiet,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := p.faultOf(r)
		select {
		case <-time.After(f.delay):
		case <-r.Context().Done():
		}
		switch {
		case f.down:
			panic(http.ErrAbortHandler)
		case f.status != 0:
			w.WriteHeader(f.status)
		default:
			forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
		}
	})}
	go func() { _ = server.Serve(l) }()
	before := o.url
	t.Cleanup(func() {
		_ = server.Close()
		o.url = before
	})
	o.url = p.url
	return p
}

type faultKey struct{}

// fail makes requests fail as f says. A nil f ends that.
func (p *storeProxy) fail(f func(*http.Request) storeFault) {
	if f == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&f)
}

func (p *storeProxy) faultOf(r *http.Request) storeFault {
	if f := p.fault.Load(); f != nil {
		return (*f)(r)
	}
	return storeFault{}
}

// isObject reports whether a request is for the content of an object.
func isObject(r *http.Request) bool {
	return r.Method == "GET" && !r.URL.Query().Has("list-type") && !r.URL.Query().Has("location") && strings.Count(r.URL.Path, "/") > 1
}

// count counts an answer, and applies the faults of bodies.
func (p *storeProxy) count(r *http.Response) error {
	if !isObject(r.Request) {
		p.lists.Add(1)
		return nil
	}
	p.gets.Add(1)
	if r.StatusCode >= 300 { // as to a request without credentials, which finds out whether everybody can read the object
		return nil
	}
	f, _ := r.Request.Context().Value(faultKey{}).(storeFault)
	r.Body = &countedBody{ReadCloser: r.Body, p: p, fault: f}
	return nil
}

type countedBody struct {
	io.ReadCloser
	p     *storeProxy
	fault storeFault
	n     int64
}

func (b *countedBody) Read(buf []byte) (int, error) {
	if f := b.fault; f.cut > 0 {
		if b.n >= f.cut {
			return 0, io.ErrUnexpectedEOF // the proxy then closes the connection
		}
		buf = buf[:min(int64(len(buf)), f.cut-b.n)]
	}
	n, err := b.ReadCloser.Read(buf)
	b.n += int64(n)
	b.p.read.Add(int64(n))
	b.p.pass(n)
	return n, err
}
