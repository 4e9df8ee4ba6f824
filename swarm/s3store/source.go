package s3store

import (
	"io"
	"slices"

	"seedbed/magnet/metainfo"
)

// A source reads consecutive files of a torrent as one stream. Padding is zeros.
type source struct {
	info  *metainfo.Info
	spans []metainfo.Span
	// open opens a part of a file. If it returns nil, the part is zeros.
	open func(metainfo.Span) (io.ReadCloser, error)
	body io.ReadCloser
	left int64 // of the current span
}

// newSource returns the source of n bytes from off.
func newSource(info *metainfo.Info, off, n int64, open func(metainfo.Span) (io.ReadCloser, error)) *source {
	return &source{info: info, spans: slices.Collect(info.Spans(off, n)), open: open}
}

// Read implements io.Reader.
func (r *source) Read(b []byte) (int, error) {
	for r.left == 0 {
		if len(r.spans) == 0 {
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
		r.close()
	}
	return n, err
}

// next begins the next span.
func (r *source) next() error {
	sp := r.spans[0]
	if !r.info.Files[sp.File].Pad {
		body, err := r.open(sp)
		if err != nil {
			return err
		}
		r.body = body
	}
	r.spans, r.left = r.spans[1:], sp.Length
	return nil
}

func (r *source) close() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}
