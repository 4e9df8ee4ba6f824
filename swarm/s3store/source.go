package s3store

import (
	"io"
	"slices"

	"seedbed/magnet/metainfo"
)

const (
	// openAhead is how many small files are asked for at a time.
	openAhead = 8
	// smallFile is up to which size in bytes a part of a file is asked for before the one before it has come: the answers wait in
	// the buffers of connections.
	smallFile = 1 << 20
)

// A source reads consecutive files of a torrent as one stream. Padding is zeros.
type source struct {
	info  *metainfo.Info
	spans []metainfo.Span // those that are not opened
	// open opens a part of a file. If it returns nil, the part is zeros.
	open  func(metainfo.Span) (io.ReadCloser, error)
	ahead []opening // the next spans
	body  io.ReadCloser
	left  int64 // of the current span
}

// opening is a span that is being opened.
type opening struct {
	span   metainfo.Span
	result chan opened
}

type opened struct {
	body io.ReadCloser
	err  error
}

// newSource returns the source of n bytes from off.
func newSource(info *metainfo.Info, off, n int64, open func(metainfo.Span) (io.ReadCloser, error)) *source {
	return &source{info: info, spans: slices.Collect(info.Spans(off, n)), open: open}
}

// Read implements io.Reader.
func (r *source) Read(b []byte) (int, error) {
	for r.left == 0 {
		if len(r.ahead) == 0 && len(r.spans) == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	b = b[:min(int64(len(b)), r.left)]
	n, err := len(b), error(nil)
	if r.body == nil {
		clear(b)
	} else if n, err = r.body.Read(b); err == io.EOF && int64(n) == r.left {
		err = nil
	}
	if r.left -= int64(n); r.left == 0 {
		r.closeBody()
	}
	return n, err
}

// next begins the next span.
func (r *source) next() error {
	for len(r.spans) > 0 && (len(r.ahead) == 0 || len(r.ahead) < openAhead && r.spans[0].Length <= smallFile) {
		o := opening{r.spans[0], make(chan opened, 1)}
		if r.info.Files[o.span.File].Pad {
			o.result <- opened{}
		} else {
			go func() {
				body, err := r.open(o.span)
				o.result <- opened{body, err}
			}()
		}
		r.ahead, r.spans = append(r.ahead, o), r.spans[1:]
	}
	o := r.ahead[0]
	r.ahead = r.ahead[1:]
	got := <-o.result
	if got.err != nil {
		return got.err
	}
	r.body, r.left = got.body, o.span.Length
	return nil
}

func (r *source) closeBody() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// close ends all requests. It waits for those that are not answered, so the caller ends the context of open before.
func (r *source) close() {
	r.closeBody()
	for _, o := range r.ahead {
		if got := <-o.result; got.body != nil {
			_ = got.body.Close()
		}
	}
	r.ahead = nil
}

// hashPiece reads a piece with the padding at its end from src, and returns its digest. It calls take with each part of it, and the
// offset of the part in the piece.
func hashPiece(src io.Reader, h *metainfo.PieceHash, info *metainfo.Info, p int, buffer []byte, take func(b []byte, off int64) error) (metainfo.Digest, error) {
	size, data := info.PieceSize(p), info.DataSize(p)
	for off := int64(0); off < size; {
		b := buffer[:min(int64(len(buffer)), size-off)]
		if _, err := io.ReadFull(src, b); err != nil {
			return metainfo.Digest{}, err
		}
		if off < data {
			_, _ = h.Write(b[:min(int64(len(b)), data-off)])
		}
		if err := take(b, off); err != nil {
			return metainfo.Digest{}, err
		}
		off += int64(len(b))
	}
	return h.Digest(), nil
}
