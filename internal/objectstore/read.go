package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// A store of several servers may give a request to one that has just died, and notice that much later. So a read for which nothing
// comes is asked for again, on another connection, before Patience ends. The first request that brings a byte goes on, and the
// others end.

const (
	// leastQuiet is the shortest time without a byte after which a read is asked for again.
	leastQuiet = 1500 * time.Millisecond
	// quietFactor is how many times longer than usual an answer must take for that, so that a slow store is not asked more often.
	quietFactor = 4
	// maxMore is how many more requests there are for what does not come.
	maxMore = 5
	// firstBytes is how much is read of an answer before the others are given up.
	firstBytes = 16 << 10
)

// pace is how fast a store begins its answers. Its methods may be called concurrently.
type pace struct {
	usual atomic.Int64 // nanoseconds until the first byte, averaged
	// isSilent means that nothing has come since a read got nothing although it was asked for several times. Then not one of the
	// servers has died: to ask for more would keep a store that is overloaded from recovering.
	isSilent atomic.Bool
}

// note records how long it took until an answer began.
func (p *pace) note(took time.Duration) {
	p.isSilent.Store(false)
	usual := p.usual.Load()
	p.usual.Store(usual + (int64(took)-usual)/8)
}

// quiet returns after which time without a byte a read is asked for again.
func (p *pace) quiet() time.Duration {
	return max(leastQuiet, quietFactor*time.Duration(p.usual.Load()))
}

// Read opens a part of an object that has this size and ETag: n bytes from off. The error is of kind Changed if the object has
// another one. Without an ETag only the size is compared. It returns the ETag that the object has.
func (s *Store) Read(ctx context.Context, o Object, off, n int64) (body io.ReadCloser, etag string, err error) {
	ctx, watch := watched(ctx)
	p := &part{s: s, ctx: ctx, watch: watch, object: o, off: off, left: n, limits: [2]limit{{left: Patience}, {left: slowTime}}}
	if etag, err = p.open(); err != nil {
		watch.stop()
		return nil, "", err
	}
	watch.pause()
	p.object.ETag = cmp.Or(o.ETag, etag) // also for what is asked for again
	p.quiet = time.AfterFunc(Patience, p.askAgain)
	p.quiet.Stop()
	return p, etag, nil
}

// weak begins the ETags that only say that two answers mean the same. Proxies make them when they compress. The library removes
// the quote at the end.
const weak = `W/"`

// checkPart returns an error if an answer is not the part that was asked for.
func checkPart(o Object, etag string, h http.Header, off, n int64) error {
	if etag != "" && o.ETag != "" && strings.TrimPrefix(etag, weak) != strings.TrimPrefix(o.ETag, weak) {
		return errReplaced
	}
	switch r := h.Get("Content-Range"); {
	case r == "" && off == 0 && n == o.Size: // some stores send the whole without a range
		return nil
	case r != fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, o.Size) && r != fmt.Sprintf("bytes %d-%d/*", off, off+n-1):
		if strings.HasPrefix(r, fmt.Sprintf("bytes %d-", off)) { // the object has another size
			return errReplaced
		}
		return errNoRange
	}
	return nil
}

// One that sends a byte now and then would hold a place among the reads of a node for ever, and one that sends some hundred bytes a second
// for hours. A slow line that all reads of a node share has time to give each of them its turn.
const (
	// minProgress is how many bytes of a part a store sends in Patience at least.
	minProgress = 4 << 10
	// MinSlow is how many bytes of a part it sends in slowTime at least: 1 KiB a second.
	MinSlow  = 64 << 10
	slowTime = 64 * time.Second
)

// limit is how long the store may take to send some bytes.
type limit struct {
	left time.Duration // until it has sent them
	sent int           // bytes since left was the whole time
}

// note counts bytes that came. If they are enough, the time begins again.
func (l *limit) note(n int, took time.Duration, least int, whole time.Duration) {
	l.left -= took
	if l.sent += n; l.sent >= least {
		*l = limit{left: whole}
	}
}

// part is a part of an object that is being read.
type part struct {
	s         *Store
	ctx       context.Context
	watch     *watch
	object    Object
	off, left int64 // what has not been read
	answer    *answer
	first     []byte // of the answer, which was read before

	limits [2]limit // for minProgress, and for MinSlow

	quiet *time.Timer // of a read that waits
	mu    sync.Mutex
	wait  *wait // nil unless a read waits
}

// wait is a read of a body that has not returned.
type wait struct {
	off, left int64
	more      int // how many more requests may be made
	ctx       context.Context
	cancel    context.CancelFunc // ends the requests, except for that of winner
	winner    *answer            // that has brought bytes; nil if none has
	first     []byte             // its bytes
}

// answer is the answer to one request for a part.
type answer struct {
	body   io.ReadCloser
	etag   string
	err    error
	took   time.Duration
	cancel context.CancelFunc
	keep   func() bool // makes it independent of the context that it was asked for with
}

// close ends the request.
func (a *answer) close() {
	a.cancel()
	if a.body != nil {
		_ = a.body.Close()
	}
}

// ask makes a request for n bytes from off. It ends with ctx until keep is called.
func (p *part) ask(ctx context.Context, off, n int64) *answer {
	s, o := p.s, p.object
	own, cancel := context.WithCancel(p.ctx)
	a := &answer{cancel: cancel, keep: context.AfterFunc(ctx, func() {
		if p.ctx.Err() == nil { // or it ends by itself, and with the cause
			cancel()
		}
	})}
	began := time.Now()
	var opts minio.GetObjectOptions
	opts.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	if o.ETag != "" && !strings.HasPrefix(o.ETag, weak) { // RFC 9110: a weak one never matches
		opts.Set("If-Match", `"`+o.ETag+`"`)
	}
	s.request(&s.counts.gets)
	raw, got, header, err := s.core.GetObject(own, s.at.Bucket, s.at.Prefix+o.Name, opts)
	a.took = time.Since(began)
	if err == nil {
		a.body, a.etag = raw, got.ETag
		err = checkPart(o, got.ETag, header, off, n)
	}
	if err != nil {
		a.err = s.fail(own, "read", o.Name, err)
	}
	return a
}

// open asks for the part until an answer begins, and returns the ETag of the object.
func (p *part) open() (etag string, err error) {
	answers, taken := make(chan *answer), make(chan struct{})
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer close(taken)
	asked, waiting := 0, 0
	ask := func() {
		asked++
		waiting++
		go func() {
			a := p.ask(ctx, p.off, p.left)
			select {
			case answers <- a:
			case <-taken:
				a.close()
			}
		}()
	}
	ask()
	again := time.NewTimer(p.s.pace.quiet())
	defer again.Stop()
	for {
		select {
		case a := <-answers:
			waiting--
			if a.err == nil {
				a.keep()
				p.s.pace.note(a.took)
				p.answer = a
				return a.etag, nil
			}
			a.close()
			if waiting == 0 || KindOf(a.err) != Unavailable {
				p.noteSilence(asked)
				return "", a.err
			}
		case <-again.C:
			if asked <= maxMore && !p.s.pace.isSilent.Load() {
				ask()
				again.Reset(p.s.pace.quiet())
			}
		}
	}
}

// noteSilence records that the store is silent if it was why a read has ended, for which there were several requests.
func (p *part) noteSilence(requests int) {
	if requests > 1 && errors.Is(context.Cause(p.ctx), errSilent) {
		p.s.pace.isSilent.Store(true)
	}
}

// Read implements io.Reader. It returns io.EOF only after the whole part.
func (p *part) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	n, err := copy(b, p.first), error(nil)
	p.first = p.first[n:]
	if n == 0 {
		n, err = p.readBody(b)
	}
	p.off, p.left = p.off+int64(n), p.left-int64(n)
	p.s.counts.read.Add(int64(n))
	if p.s.use != nil {
		p.s.use.Read.Add(int64(n))
	}
	if err == io.EOF && p.left == 0 {
		return n, nil
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errCut
	}
	if err != nil {
		err = p.s.fail(p.ctx, "read", p.object.Name, err)
	}
	return n, err
}

// readBody reads from the answer, or from another one that brings bytes before it does.
func (p *part) readBody(b []byte) (int, error) {
	w := &wait{off: p.off, left: p.left, more: maxMore}
	p.mu.Lock()
	p.wait = w
	p.mu.Unlock()
	began := time.Now()
	p.watch.timer.Reset(min(p.limits[0].left, p.limits[1].left))
	p.quiet.Reset(p.s.pace.quiet())
	n, err := p.answer.body.Read(b)
	p.watch.pause()
	p.mu.Lock()
	p.wait = nil
	p.mu.Unlock()
	p.quiet.Stop()
	if w.cancel != nil {
		w.cancel()
	}
	switch {
	case w.winner != nil:
		p.answer.close()
		n = copy(b, w.first)
		p.answer, p.first, err = w.winner, w.first[n:], nil
	case w.cancel != nil && n > 0: // the store is only slow
		p.s.pace.note(time.Since(began))
	case n == 0:
		p.noteSilence(1 + maxMore - w.more)
	}
	took := time.Since(began)
	p.limits[0].note(n+len(p.first), took, minProgress, Patience)
	p.limits[1].note(n+len(p.first), took, MinSlow, slowTime)
	return n, err
}

// askAgain asks for what a read waits for. If that brings bytes first, the read gets them.
func (p *part) askAgain() {
	p.mu.Lock()
	w := p.wait
	if w == nil || w.more == 0 || p.s.pace.isSilent.Load() {
		p.mu.Unlock()
		return
	}
	w.more--
	if w.cancel == nil {
		w.ctx, w.cancel = context.WithCancel(p.ctx)
	}
	p.quiet.Reset(p.s.pace.quiet())
	p.mu.Unlock()
	a := p.ask(w.ctx, w.off, w.left)
	if a.err == nil {
		first := make([]byte, min(w.left, firstBytes))
		n, _ := a.body.Read(first)
		p.mu.Lock()
		defer p.mu.Unlock()
		if n > 0 && p.wait == w && w.winner == nil && a.keep() {
			w.winner, w.first = a, first[:n]
			p.answer.cancel()
			return
		}
	}
	a.close()
}

// Close ends the request.
func (p *part) Close() error {
	p.quiet.Stop()
	p.answer.close()
	p.watch.stop()
	return nil
}
