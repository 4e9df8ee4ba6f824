package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"seedbed/node"
)

// ErrStalled ends a request whose client has taken no data, or for which no data has come, for a long
// time.
var ErrStalled = errors.New("no data was sent for too long")

// errorWithin is how long a client may take to receive an error.
const errorWithin = 10 * time.Second

// Content is a file that is served. *node.FileReader implements it.
type Content interface {
	io.ReadSeekCloser
	Size() int64
}

// Answer says how to answer a request for a file.
type Answer struct {
	Gate   *Gate // required
	Client Client
	// Stall, if not 0, is how long the client may take no data, or wait for data, before its
	// connection is closed.
	Stall time.Duration
	// Open opens the file until ctx ends, and sets the headers that describe it: at least its type.
	Open func(ctx context.Context, h http.Header) (Content, error)
}

// Serve answers a GET or HEAD request with the file or the requested ranges of it (RFC 9110). While
// the torrent downloads, the answer begins when the first data is there. Serve returns an error if it
// has sent nothing, so that the caller can answer with it. If an error comes later, it closes the
// connection, so that the client notices that the answer is not complete.
func (a *Answer) Serve(w http.ResponseWriter, r *http.Request) error {
	if err := a.Gate.enter(a.Client); err != nil {
		return err
	}
	defer a.Gate.leave(a.Client)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	f, err := a.Open(ctx, w.Header())
	if err != nil {
		return err
	}
	defer f.Close()
	return serve(w, r, f, a.Stall, cancel)
}

// Request is a request for a file of a torrent.
type Request struct {
	Torrent *node.Torrent
	File    int   // index in Info.Files
	Gate    *Gate // required
	Client  Client
	// Stall, if not 0, is how long the client may take no data, or wait for data, before its
	// connection is closed.
	Stall time.Duration
	// Attach makes a browser save the file instead of showing it.
	Attach bool
}

// Serve answers a GET or HEAD request with a file of a torrent. Its errors are those of Answer.Serve.
func Serve(w http.ResponseWriter, r *http.Request, q Request) error {
	a := Answer{Gate: q.Gate, Client: q.Client, Stall: q.Stall, Open: func(ctx context.Context, h http.Header) (Content, error) {
		return openFile(ctx, q.Torrent, q.File, q.Attach, h)
	}}
	return a.Serve(w, r)
}

// openFile opens a file of a torrent, and sets the headers that describe it.
func openFile(ctx context.Context, t *node.Torrent, file int, attach bool, h http.Header) (Content, error) {
	f, err := t.OpenFile(ctx, file)
	if err != nil {
		return nil, err
	}
	info := t.Info()
	if info == nil { // it was removed
		return nil, errors.Join(node.ErrEnded, f.Close())
	}
	describe(h, t.FileName(file), fmt.Sprintf("%s-%d", t.InfoHash(), info.FileNumber(file)), attach)
	return f, nil
}

// describe sets the headers of a file with that name. tag identifies its content.
func describe(h http.Header, name, tag string, attach bool) {
	setSafe(h)
	h.Set("Content-Type", typeOf(name))
	h.Set("ETag", `"`+tag+`"`)
	h.Set("Cache-Control", "private, max-age=86400")
	disposition := "inline"
	if attach {
		disposition = "attachment"
	}
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
}

// setSafe sets the headers that keep a file of a stranger from acting as a page of this server: it may
// have scripts. The sandbox takes its origin away.
func setSafe(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// serve implements Answer.Serve for an open file. stop ends a read that waits for data.
func serve(w http.ResponseWriter, r *http.Request, f Content, stall time.Duration, stop context.CancelCauseFunc) error {
	out := &answer{ResponseWriter: w, to: http.NewResponseController(w), stall: stall}
	if stall > 0 {
		out.timer = time.AfterFunc(stall, func() { stop(ErrStalled) })
		defer out.timer.Stop()
	}
	out.progress()
	ranges, satisfiable := cleanRange(r.Header.Get("Range"))
	if !satisfiable {
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(f.Size(), 10))
		http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
		return nil
	}
	r.Header.Del("Range")
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	in := &input{Content: f}
	http.ServeContent(out, r, "", time.Time{}, in) // the type is set
	switch {
	case in.err == nil:
		out.begin()
		return nil
	case out.begun:
		panic(http.ErrAbortHandler) // closes the connection
	}
	_ = out.to.SetWriteDeadline(time.Now().Add(errorWithin)) // the present one may be over
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Range", "Content-Disposition", "Accept-Ranges", "ETag", "Cache-Control", "Content-Encoding"} {
		w.Header().Del(name)
	}
	return in.err
}

// input notes the error of a read.
type input struct {
	Content
	err error
}

// Read implements io.Reader.
func (i *input) Read(b []byte) (int, error) {
	n, err := i.Content.Read(b)
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}

// answer sends the header with the first data, and extends the time limits with each write.
type answer struct {
	http.ResponseWriter
	to    *http.ResponseController
	stall time.Duration
	timer *time.Timer // nil if stall is 0
	code  int         // 0: not known yet
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) { a.code = code }

// begin sends the header.
func (a *answer) begin() {
	if !a.begun && a.code != 0 {
		a.begun = true
		a.ResponseWriter.WriteHeader(a.code)
	}
}

// Write implements io.Writer.
func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	a.begin()
	n, err := a.ResponseWriter.Write(b)
	a.progress()
	return n, err
}

// progress begins the next period in which data must be sent. The server's own limits on the whole
// request do not apply to a file, which takes as long as it is played. Errors are ignored: a writer
// without deadlines has none.
func (a *answer) progress() {
	var until time.Time
	if a.stall > 0 {
		a.timer.Reset(a.stall)
		until = time.Now().Add(a.stall)
	}
	_ = a.to.SetReadDeadline(time.Time{})
	_ = a.to.SetWriteDeadline(until)
}
