package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a file of zeros. From missing on, a read waits until ctx ends.
type fake struct {
	ctx     context.Context
	size    int64
	missing int64
	pos     int64
}

func (f *fake) Size() int64  { return f.size }
func (f *fake) Close() error { return nil }

func (f *fake) Read(b []byte) (int, error) {
	if f.pos >= f.size {
		return 0, io.EOF
	}
	if f.pos >= f.missing {
		<-f.ctx.Done()
		return 0, context.Cause(f.ctx)
	}
	n := int(min(int64(len(b)), f.missing-f.pos))
	clear(b[:n])
	f.pos += int64(n)
	return n, nil
}

func (f *fake) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += f.size
	}
	f.pos = off
	return off, nil
}

// pipes is a listener of connections without buffers.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

const stall = 10 * time.Minute

// connect serves a fake file of that size to a new connection. ended gets the error of the request when
// it has ended.
func connect(t *testing.T, size, missing int64) (c net.Conn, ended <-chan error) {
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	result := make(chan error, 1)
	server := &http.Server{WriteTimeout: time.Minute, ReadTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		var err error
		defer func() {
			if e := recover(); e != nil {
				err = errors.New("aborted")
				defer panic(e)
			}
			result <- err
		}()
		if err = serve(w, r, &fake{ctx: ctx, size: size, missing: missing}, stall, cancel); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})}
	go server.Serve(p)
	c, remote := net.Pipe()
	p.conns <- remote
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c, result
}

// A client that takes no data is disconnected after a while.
func TestAReaderThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, ended := connect(t, 1<<30, 1<<30)
		<-ended
		if took := time.Since(began); took != stall {
			t.Errorf("it ends after %v", took)
		}
	})
}

// A client that reads slowly is served as long as it reads.
func TestASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ended := connect(t, 1<<20, 1<<20)
		r := bufio.NewReaderSize(c, 16)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for b := make([]byte, 64<<10); err == nil; time.Sleep(stall / 2) {
			var k int
			k, err = io.ReadFull(resp.Body, b)
			n += int64(k)
		}
		if n != 1<<20 {
			t.Errorf("it got %d bytes: %v", n, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// If no data comes, the answer is an error; if no more comes, the client notices that it is cut off.
func TestAReaderOfMissingData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ended := connect(t, 1<<20, 0)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 503 || !strings.Contains(string(b), "no data") || resp.Header.Get("ETag") != "" || !errors.Is(<-ended, ErrStalled) {
			t.Errorf("%s %v %s", resp.Status, resp.Header, b)
		}
		c, ended = connect(t, 1<<20, 1<<19)
		if resp, err = http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err == nil || len(b) > 1<<19 {
			t.Errorf("%s, %d bytes, %v", resp.Status, len(b), err)
		}
		<-ended
	})
}

// The place of a reader is free when its client disconnects while it waits.
func TestAClientThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c, ended := connect(t, 1<<20, 0)
		time.Sleep(time.Second)
		c.Close()
		if err := <-ended; err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
