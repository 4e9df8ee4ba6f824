// Package webseed makes a peer of an HTTP server that has a torrent's files
// (BEP 19): Serve speaks as a seed at one end of a connection, and fetches what is
// asked for by ranges of the files.
//
//	engine --requests--> Serve --GET, Range--> server
//	engine <---pieces--- Serve <----body-----
//
// The engine treats it like any peer: it hashes what comes, and bans the address of
// who sends what is wrong. Blocks are asked for in a row, so that a body which is
// open is read on from where it is; a range ends with its piece, or with what is on
// order behind that.
//
// Nothing that a server says is believed but the bytes, which are hashed: a status,
// a range or a length that is not what was asked for ends the connection with an
// *Error. Addresses that Client is not allowed to reach are refused when they
// are dialled, so also after a redirect and whatever a name resolves to.
package webseed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	Log    *slog.Logger
}

// Error is a mirror that does not serve.
type Error struct {
	URL    string
	Reason string        // the end of a sentence
	Wait   time.Duration // the server asks to come again after that; 0: it does not say
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
)

// CheckURL says why a URL cannot be one of a web seed.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no http or https URL", s)
	}
	return nil
}

// server is one connection.
type server struct {
	cfg    Config
	nc     net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	orders []order
	some   sync.Cond // of mu: orders grew, or over was set
	over   bool

	body body
}

// order is a block that the other end wants.
type order struct{ index, begin, length uint32 }

// Serve speaks as a seed on nc until nc is closed (nil), ctx ends, or the mirror
// fails (*Error). It closes nc.
func Serve(ctx context.Context, nc net.Conn, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{cfg: cfg, nc: nc}
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
	b := wire.Append(nil, wire.Msg{Type: wire.HaveAll})
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

// answer fetches a block and sends it.
func (s *server) answer(o order) error {
	b := wire.AppendPieceHeader(make([]byte, 0, wire.PieceHeaderLen+int(o.length)), o.index, o.begin, int(o.length))
	b = b[:cap(b)]
	if err := s.read(b[wire.PieceHeaderLen:], int64(o.index)*s.cfg.Info.PieceLength+int64(o.begin), s.until(o)); err != nil {
		return err
	}
	_, err := s.nc.Write(b)
	return err
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

// readFile fetches a stretch of a file.
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
		if err != nil {
			s.body.close()
			return s.broken("broke off", err)
		}
	}
	return nil
}

func (s *server) broken(reason string, err error) error {
	return &Error{URL: s.cfg.URL, Reason: reason, Err: err}
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
		return &Error{URL: s.cfg.URL, Reason: "is no URL that can be asked", Final: true, Err: err}
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
		return &Error{URL: s.cfg.URL, Reason: "is not reached", Err: plain(err), Final: errors.As(err, &refused)}
	}
	s.body = body{file: file, at: from, end: to, from: resp.Body, stall: stall, cancel: cancel}
	if err := s.check(resp, f.Length, from, to); err != nil {
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

// check says what is wrong with an answer.
func (s *server) check(resp *http.Response, size, from, to int64) error {
	bad := func(final bool, format string, args ...any) error {
		return &Error{URL: s.cfg.URL, Reason: fmt.Sprintf(format, args...), Wait: retryAfter(resp), Final: final}
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/", from, to-1)
		total, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), want)
		if !ok || total != "*" && total != strconv.FormatInt(size, 10) {
			return bad(true, "has a file of another size: it answers the range %s%d with %.60q", want, size, resp.Header.Get("Content-Range"))
		}
	case http.StatusOK:
		if resp.ContentLength != size {
			return bad(true, "has a file of another size")
		}
		if from != 0 {
			return bad(true, "does not give parts of files (no Range)")
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return bad(false, "is busy (%s)", resp.Status)
	default:
		return bad(resp.StatusCode < 500, "answers %s", resp.Status)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return bad(true, "gives files that are encoded (%.20q)", enc)
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
	at, end int64 // in the file
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

// FileURL is where a file of a torrent is (BEP 19): at the URL itself, if that does
// not end in a slash and the torrent is a single file; else at the torrent's name,
// and the file's path, below it.
func FileURL(base string, info *metainfo.Info, file int) string {
	if !info.IsMulti() && !strings.HasSuffix(base, "/") {
		return base
	}
	f := &info.Files[file]
	path := f.Path
	if f.Literal != nil {
		path = f.Literal // as the torrent spells it
	}
	parts := []string{strings.TrimSuffix(base, "/")}
	if info.IsMulti() {
		parts = append(parts, url.PathEscape(info.Name))
	}
	for _, c := range path {
		parts = append(parts, url.PathEscape(c))
	}
	return strings.Join(parts, "/")
}
