// Package webseed makes a peer of an HTTP server that has a torrent's files
// (BEP 19): Serve speaks as a seed at one end of a connection, and fetches what is
// asked for by ranges of the files.
//
//	engine --requests--> Serve --GET, Range--> server
//	engine <---pieces--- Serve <----body-----
//
// The engine treats it like any peer and hashes what comes. Blocks are asked for in a
// row, so that a body which is open is read on from where it is; a range ends with its
// piece, or with what is on order behind that.
//
// Nothing that a server says is believed but the bytes, which are hashed. What is
// wrong with one file (it is missing, has another length or other content) costs that
// file alone: the Mirror does not offer its pieces for an hour. Serve ends then with an
// *Error, and the next Serve goes on with the rest. Addresses that Client is not allowed to
// reach are refused when they are dialled, so also after a redirect and whatever a name
// resolves to.
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

	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// Config says what is served from where.
type Config struct {
	URL    string         // as BEP 19 has it: of the file, or of the folder that the torrent's folder is in
	Info   *metainfo.Info // required
	Client *http.Client   // see NewClient
	Agent  string         // User-Agent
}

// Error is a mirror that does not serve, or does not serve one file.
type Error struct {
	URL    string
	File   int           // index of the file that is not asked for a while; -1: none
	Reason string        // the end of a sentence
	Wait   time.Duration // how long the mirror wants to be left alone; 0: it does not say
	Final  bool          // coming again is of no use
	Err    error         // what the network said, if it did
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
	// maxRange bounds one range: what is lost at most when it is broken off.
	maxRange = 16 << 20
	// stallAfter without a byte a request is given up.
	stallAfter = 30 * time.Second
	// maxOrders bounds what is on order.
	maxOrders = 4096
	// An answer that breaks off after so many bytes is asked for anew at once; after
	// fewer only maxShort times in a row, shortPause apart.
	minAnswer  = 16 << 10
	maxShort   = 2
	shortPause = time.Second
)

// server is one connection.
type server struct {
	m      *Mirror
	cfg    *Config
	nc     net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	orders []order
	some   sync.Cond // of mu: orders grew, or over was set
	over   bool

	body  body
	check checker
	short int // answers in a row that broke off early
}

// order is a block that the other end wants.
type order struct{ index, begin, length uint32 }

// Serve speaks as a seed on nc until nc is closed (nil), ctx ends, or the mirror or one
// of its files fails (*Error). It closes nc.
func (m *Mirror) Serve(ctx context.Context, nc net.Conn) error {
	s := &server{m: m, cfg: &m.cfg, nc: nc, check: checker{info: m.cfg.Info}}
	s.some.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, func() { nc.Close(); s.end() })
	defer stop()
	var listening sync.WaitGroup
	defer listening.Wait()
	defer s.body.close()
	defer s.cancel()
	listening.Go(func() {
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
	s.over = true
	s.mu.Unlock()
	s.some.Broadcast()
}

// listen takes orders until the other end is gone.
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
		o := order{m.Index, m.Begin, m.Length}
		switch m.Type {
		case wire.Request:
			if !s.valid(o) || !s.take(o) {
				return
			}
		case wire.Cancel:
			s.drop(o) // BEP 6: a request that is cancelled may be answered all the same
		}
	}
}

func (s *server) valid(o order) bool {
	i := s.cfg.Info
	return int64(o.index) < int64(i.NumPieces()) && o.length > 0 && o.length <= wire.MaxBlock &&
		int64(o.begin)+int64(o.length) <= i.DataSize(int(o.index))
}

func (s *server) take(o order) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.orders) == maxOrders {
		return false
	}
	s.orders = append(s.orders, o)
	s.some.Signal()
	return true
}

// drop answers a cancelled order with a rejection.
func (s *server) drop(o order) {
	s.mu.Lock()
	for k := range s.orders {
		if s.orders[k] == o {
			s.orders = append(s.orders[:k], s.orders[k+1:]...)
			s.mu.Unlock()
			_, _ = s.nc.Write(wire.Append(nil, wire.Msg{Type: wire.Reject, Index: o.index, Begin: o.begin, Length: o.length}))
			return
		}
	}
	s.mu.Unlock()
}

// next is the oldest order.
func (s *server) next() (o order, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.orders) == 0 && !s.over {
		s.some.Wait()
	}
	if s.over {
		return o, false
	}
	o = s.orders[0]
	s.orders = s.orders[1:]
	return o, true
}

// until is how far into the torrent the orders go on from o without a gap, or else
// the end of its piece.
func (s *server) until(o order) int64 {
	i := s.cfg.Info
	piece := int64(o.index) * i.PieceLength
	end := piece + int64(o.begin) + int64(o.length)
	s.mu.Lock()
	for _, q := range s.orders {
		if int64(q.index)*i.PieceLength+int64(q.begin) == end {
			end += int64(q.length)
		}
	}
	s.mu.Unlock()
	last := (end - 1) / i.PieceLength // the rest of the last piece is asked for next
	return last*i.PieceLength + i.DataSize(int(last))
}

// answer fetches a block and sends it. A block that completes a piece with another hash
// is sent too: the engine finds the same, and takes the piece from elsewhere.
func (s *server) answer(o order) error {
	b := wire.AppendPieceHeader(make([]byte, 0, wire.PieceHeaderLen+int(o.length)), o.index, o.begin, int(o.length))
	b = b[:cap(b)]
	block := b[wire.PieceHeaderLen:]
	if err := s.read(block, int64(o.index)*s.cfg.Info.PieceLength+int64(o.begin), s.until(o)); err != nil {
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

// read fetches a stretch of the torrent; until is how far it will go on.
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

// readFile fetches a stretch of a file. What breaks off goes on from there.
func (s *server) readFile(b []byte, file int, at, until int64) error {
	for len(b) > 0 {
		if !s.body.goesOn(file, at) {
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
		gave := s.body.at - s.body.begin
		s.body.close()
		switch {
		case gave >= minAnswer:
			s.short = 0
		case gave > 0 && s.short < maxShort:
			s.short++
			if err := s.sleep(shortPause); err != nil {
				return err
			}
		default:
			return s.m.fail(file, restShort, fmt.Sprintf("breaks off in %q", s.m.name(file)), err)
		}
	}
	return nil
}

func (s *server) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// open asks for [from, to) of a file.
func (s *server) open(file int, from, to int64) error {
	f := &s.cfg.Info.Files[file]
	ctx, cancel := context.WithCancel(s.ctx)
	stall := time.AfterFunc(stallAfter, cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, FileURL(s.cfg.URL, s.cfg.Info, file), nil)
	if err != nil {
		cancel()
		stall.Stop()
		return &Error{URL: s.cfg.URL, File: -1, Reason: "is no URL that can be asked", Final: true, Err: err}
	}
	if s.cfg.Agent != "" {
		req.Header.Set("User-Agent", s.cfg.Agent)
	}
	req.Header.Set("Accept-Encoding", "identity") // ranges are of the file itself
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		cancel()
		stall.Stop()
		var refused *addressError
		return &Error{URL: s.cfg.URL, File: -1, Reason: "is not reached", Err: plain(err), Final: errors.As(err, &refused)}
	}
	s.body = body{file: file, begin: from, at: from, end: to, from: resp.Body, stall: stall, cancel: cancel}
	if err := s.judge(resp, file, f.Length, from, to); err != nil {
		s.body.close()
		return err
	}
	return nil
}

// plain is an error without the URL, which is told apart.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// judge returns what is wrong with an answer. A Content-Encoding is not: servers name the
// kind of a .tgz so though its bytes are those of the file, and the hash decides.
func (s *server) judge(resp *http.Response, file int, size, from, to int64) error {
	name := s.m.name(file)
	bad := func(rest time.Duration, format string, args ...any) error {
		return s.m.fail(file, rest, fmt.Sprintf(format, args...), nil)
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/", from, to-1)
		total, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), want)
		if !ok || total != "*" && total != strconv.FormatInt(size, 10) {
			return bad(restLong, "has %q in another size: it answers the range %s%d with %.60q", name, want, size, resp.Header.Get("Content-Range"))
		}
	case http.StatusOK:
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			return bad(restLong, "has %q in another size", name)
		}
		if from != 0 {
			return bad(restLong, "does not give parts of %q (no Range)", name)
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return &Error{URL: s.cfg.URL, File: -1, Reason: fmt.Sprintf("is busy (%s)", resp.Status), Wait: retryAfter(resp)}
	default:
		rest := restLong
		if resp.StatusCode >= 500 {
			rest = restShort
		}
		return bad(rest, "answers %s for %q", resp.Status, name)
	}
	return nil
}

// retryAfter is how long a server asks to be left alone, an hour at most.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}

// body is an answer that is being read.
type body struct {
	file    int
	begin   int64 // in the file, as at and end
	at, end int64
	from    io.ReadCloser
	stall   *time.Timer
	cancel  context.CancelFunc
}

func (b *body) goesOn(file int, at int64) bool {
	return b.from != nil && b.file == file && b.at == at && at < b.end
}

func (b *body) read(p []byte) (int, error) {
	b.stall.Reset(stallAfter)
	n, err := io.ReadFull(b.from, p)
	b.stall.Stop()
	b.at += int64(n)
	return n, err
}

func (b *body) close() {
	if b.from == nil {
		return
	}
	b.stall.Stop()
	if b.at < b.end {
		b.cancel() // the connection goes with what it would still bring
	}
	b.from.Close()
	b.cancel()
	b.from = nil
}
