// Package webseed uses an HTTP server that has a torrent's files as a peer (BEP 19): Serve
// acts as a seed on a connection, and fetches requested blocks as ranges of the files.
//
//	engine --requests--> Serve --GET, Range--> server
//	engine <---pieces--- Serve <----body-----
//
// The engine treats it like any peer and verifies the data. Blocks are usually requested
// in sequence, so one HTTP request covers the rest of the piece and the requests that follow
// it without a gap, and its response is read while it contains what is requested next.
//
// Nothing from the server is trusted except the data, which is hashed. If one file is
// wrong (missing, of another length or with other content), only that file is affected:
// the Mirror does not offer its pieces for an hour. Serve then ends with an *Error, and
// the next Serve continues with the rest. Addresses that Client may not contact are
// rejected when they are dialed, even after a redirect and whatever a name resolves to.
package webseed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// Config configures a Mirror.
type Config struct {
	URL    string         // as in BEP 19: of the file, or of the folder that contains the torrent's folder
	Info   *metainfo.Info // required
	Client *http.Client   // see NewClient
	Agent  string         // User-Agent
}

// Error means that a mirror, or one of its files, is unavailable.
type Error struct {
	URL    string
	File   int           // index of the file that is paused; -1 means none
	Reason string        // end of a sentence that starts with the URL
	Wait   time.Duration // how long the mirror asks us to wait; 0 if it does not say
	Final  bool          // retrying is useless
	Err    error         // network error, if any
}

func (e *Error) Error() string {
	s := "the web seed " + e.URL + " " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

const (
	// maxRange is the maximal length of an HTTP range in bytes. At most that much is lost if
	// the response is interrupted.
	maxRange = 16 << 20
	// stallAfter is how long an HTTP response may deliver no byte.
	stallAfter = 30 * time.Second
	// maxRequests bounds the outstanding requests.
	maxRequests = 4096
	// A response that breaks off after at least minAnswer bytes is requested again at
	// once. Shorter ones are requested again at most maxShort times in a row, with pauses
	// of shortPause.
	minAnswer  = 16 << 10
	maxShort   = 2
	shortPause = time.Second
)

// server serves one connection.
type server struct {
	m      *Mirror
	cfg    *Config
	nc     net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	requests []request
	changed  sync.Cond // of mu: requests grew, or ended was set
	ended    bool

	body  body
	check checker
	short int // consecutive responses that broke off early
}

// request is a requested block.
type request struct{ index, begin, length uint32 }

// Serve acts as a seed on nc until nc is closed (nil), ctx ends, or the mirror or one of
// its files fails (*Error). It closes nc.
func (m *Mirror) Serve(ctx context.Context, nc net.Conn) error {
	s := &server{m: m, cfg: &m.cfg, nc: nc, check: checker{info: m.cfg.Info}}
	s.changed.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, func() { nc.Close(); s.end() })
	defer stop()
	var listener sync.WaitGroup
	defer listener.Wait()
	defer s.body.close()
	defer s.cancel()
	listener.Go(func() {
		defer s.cancel()
		s.listen()
	})
	b := wire.Append(nil, m.offer())
	if _, err := nc.Write(wire.Append(b, wire.Msg{Type: wire.Unchoke})); err != nil {
		return nil
	}
	for {
		o, ok := s.next()
		if !ok {
			return nil
		}
		err := s.answer(o)
		var bad *Error
		switch {
		case errors.As(err, &bad) && ctx.Err() == nil:
			return bad
		case err != nil:
			return nil
		}
	}
}

func (s *server) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.changed.Broadcast()
}

// listen queues requests until the peer closes the connection.
func (s *server) listen() {
	defer s.end()
	var prefix [wire.PrefixLen]byte
	var frame []byte
	for {
		if _, err := io.ReadFull(s.nc, prefix[:]); err != nil {
			return
		}
		n, err := wire.Length(prefix[:])
		if err != nil {
			return
		}
		if n > cap(frame) {
			frame = make([]byte, n)
		}
		if _, err := io.ReadFull(s.nc, frame[:n]); err != nil {
			return
		}
		m, err := wire.Parse(frame[:n])
		if err != nil {
			return
		}
		o := request{m.Index, m.Begin, m.Length}
		switch m.Type {
		case wire.Request:
			if !s.valid(o) || !s.enqueue(o) {
				return
			}
		case wire.Cancel:
			s.cancelRequest(o) // BEP 6: a canceled request may still be answered
		}
	}
}

func (s *server) valid(o request) bool {
	i := s.cfg.Info
	return int64(o.index) < int64(i.NumPieces()) && o.length > 0 && o.length <= wire.MaxBlock &&
		int64(o.begin)+int64(o.length) <= i.DataSize(int(o.index))
}

func (s *server) enqueue(o request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == maxRequests {
		return false
	}
	s.requests = append(s.requests, o)
	s.changed.Signal()
	return true
}

// cancelRequest rejects a request that was canceled before it was answered.
func (s *server) cancelRequest(o request) {
	s.mu.Lock()
	for k := range s.requests {
		if s.requests[k] == o {
			s.requests = append(s.requests[:k], s.requests[k+1:]...)
			s.mu.Unlock()
			_, _ = s.nc.Write(wire.Append(nil, wire.Msg{Type: wire.Reject, Index: o.index, Begin: o.begin, Length: o.length}))
			return
		}
	}
	s.mu.Unlock()
}

// next returns the oldest request.
func (s *server) next() (o request, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.requests) == 0 && !s.ended {
		s.changed.Wait()
	}
	if s.ended {
		return o, false
	}
	o = s.requests[0]
	s.requests = s.requests[1:]
	return o, true
}

// contiguousEnd returns the torrent offset up to which requests continue from o without a gap, or
// the end of its piece.
func (s *server) contiguousEnd(o request) int64 {
	i := s.cfg.Info
	piece := int64(o.index) * i.PieceLength
	end := piece + int64(o.begin) + int64(o.length)
	s.mu.Lock()
	for _, q := range s.requests {
		if int64(q.index)*i.PieceLength+int64(q.begin) == end {
			end += int64(q.length)
		}
	}
	s.mu.Unlock()
	last := (end - 1) / i.PieceLength // the rest of the last piece will be requested next
	return last*i.PieceLength + i.DataSize(int(last))
}

// answer fetches a block and sends it. A block that completes a bad piece is sent too: the
// engine verifies the piece itself, and requests it from another peer.
func (s *server) answer(o request) error {
	b := wire.AppendPieceHeader(make([]byte, 0, wire.PieceHeaderLen+int(o.length)), o.index, o.begin, int(o.length))
	b = b[:cap(b)]
	block := b[wire.PieceHeaderLen:]
	if err := s.read(block, int64(o.index)*s.cfg.Info.PieceLength+int64(o.begin), s.contiguousEnd(o)); err != nil {
		return err
	}
	if _, err := s.nc.Write(b); err != nil {
		return err
	}
	switch s.check.add(int(o.index), int64(o.begin), block) {
	case pieceGood, pieceUntracked:
		s.m.failures = 0
	case pieceBad:
		return s.m.badPiece(int(o.index))
	}
	return nil
}

// read fetches a range of the torrent; until is the offset at which reading is expected to end.
func (s *server) read(b []byte, off, until int64) error {
	info := s.cfg.Info
	for sp := range info.Spans(off, int64(len(b))) {
		f := &info.Files[sp.File]
		part := b[:sp.Length]
		if f.Pad {
			clear(part)
		} else if err := s.readFile(part, sp.File, sp.Offset, min(until-f.Offset, f.Length)); err != nil {
			return err
		}
		b = b[sp.Length:]
	}
	return nil
}

// readFile fetches a range of a file. After an interruption it resumes at that point.
func (s *server) readFile(b []byte, file int, at, until int64) error {
	for len(b) > 0 {
		if !s.body.continuesAt(file, at) {
			s.body.close()
			if err := s.open(file, at, min(max(until, at+int64(len(b))), at+maxRange)); err != nil {
				return err
			}
		}
		n := min(int64(len(b)), s.body.end-at)
		k, err := s.body.read(b[:n])
		b, at = b[k:], at+int64(k)
		if err == nil {
			continue
		}
		received := s.body.at - s.body.begin
		s.body.close()
		switch {
		case received >= minAnswer:
			s.short = 0
		case received > 0 && s.short < maxShort:
			s.short++
			if err := await.Sleep(s.ctx, shortPause); err != nil {
				return err
			}
		default:
			return s.m.fail(file, pauseShort, fmt.Sprintf("broke off in %q", s.m.name(file)), err)
		}
	}
	return nil
}

// open requests [from, to) of a file.
func (s *server) open(file int, from, to int64) error {
	f := &s.cfg.Info.Files[file]
	ctx, cancel := context.WithCancel(s.ctx)
	stall := time.AfterFunc(stallAfter, cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, FileURL(s.cfg.URL, s.cfg.Info, file), nil)
	if err != nil {
		cancel()
		stall.Stop()
		return &Error{URL: s.cfg.URL, File: -1, Reason: "is not a usable URL", Final: true, Err: err}
	}
	if s.cfg.Agent != "" {
		req.Header.Set("User-Agent", s.cfg.Agent)
	}
	req.Header.Set("Accept-Encoding", "identity") // ranges must refer to the file itself
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		cancel()
		stall.Stop()
		var refused *addressError
		return &Error{URL: s.cfg.URL, File: -1, Reason: "could not be reached", Err: withoutURL(err), Final: errors.As(err, &refused)}
	}
	s.body = body{file: file, begin: from, at: from, end: to, reader: resp.Body, stall: stall, cancel: cancel}
	if err := s.checkResponse(resp, file, f.Length, from, to); err != nil {
		s.body.close()
		return err
	}
	return nil
}

// withoutURL returns an error without the URL, which is reported separately.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// checkResponse checks the header of a response. A Content-Encoding is not an error: servers
// set it for a .tgz although they send the file's bytes. The hash shows whether the data is
// right.
func (s *server) checkResponse(resp *http.Response, file int, size, from, to int64) error {
	name := s.m.name(file)
	bad := func(pause time.Duration, format string, args ...any) error {
		return s.m.fail(file, pause, fmt.Sprintf(format, args...), nil)
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/", from, to-1)
		total, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), want)
		if !ok || total != "*" && total != strconv.FormatInt(size, 10) {
			return bad(pauseLong, "has %q with another size: it answered the range %s%d with %.60q", name, want, size, resp.Header.Get("Content-Range"))
		}
	case http.StatusOK:
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			return bad(pauseLong, "has %q with another size", name)
		}
		if from != 0 {
			return bad(pauseLong, "does not support ranges of %q", name)
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return &Error{URL: s.cfg.URL, File: -1, Reason: fmt.Sprintf("is busy (%s)", resp.Status), Wait: retryAfter(resp)}
	default:
		pause := pauseLong
		if resp.StatusCode >= 500 {
			pause = pauseShort
		}
		return bad(pause, "answered %s for %q", resp.Status, name)
	}
	return nil
}

// retryAfter returns how long a server asks us to wait, at most an hour.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}

// body is the body of the response that is being read.
type body struct {
	file    int
	begin   int64 // in the file, as at and end
	at, end int64
	reader  io.ReadCloser
	stall   *time.Timer
	cancel  context.CancelFunc
}

func (b *body) continuesAt(file int, at int64) bool {
	return b.reader != nil && b.file == file && b.at == at && at < b.end
}

func (b *body) read(p []byte) (int, error) {
	b.stall.Reset(stallAfter)
	n, err := io.ReadFull(b.reader, p)
	b.stall.Stop()
	b.at += int64(n)
	return n, err
}

func (b *body) close() {
	if b.reader == nil {
		return
	}
	b.stall.Stop()
	if b.at < b.end {
		b.cancel() // closes the connection, which discards the rest
	}
	b.reader.Close()
	b.cancel()
	b.reader = nil
}
