package gateway

import (
	"compress/gzip"
	"net/http"
	"path"

	"seedbed/node/tree"
)

// Only files in this range of sizes, in bytes, are compressed: a smaller one fits into a packet or
// two, and a larger one takes the processor for long.
const (
	minCompressed = 1400
	maxCompressed = 8 << 20
)

// packed compresses an answer.
type packed struct {
	http.ResponseWriter
	z *gzip.Writer // nil before the first byte
}

// compress returns a writer that compresses the answer, or nil if the answer stays as it is: the type
// is not text, the client does not accept gzip, or asks for a range, which would be one of the
// compressed form.
func compress(w http.ResponseWriter, r *http.Request, f tree.File) *packed {
	if !isText(typeOf(path.Base(f.Path))) || f.Size < minCompressed || f.Size > maxCompressed {
		return nil
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if !acceptsGzip(r) || r.Header.Get("Range") != "" {
		return nil
	}
	return &packed{ResponseWriter: w}
}

// WriteHeader implements http.ResponseWriter.
func (p *packed) WriteHeader(code int) {
	h := p.Header()
	h.Del("Accept-Ranges")
	if code == http.StatusOK || code == http.StatusNotFound {
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
	}
	p.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (p *packed) Write(b []byte) (int, error) {
	if p.z == nil {
		p.z, _ = gzip.NewWriterLevel(p.ResponseWriter, gzip.BestSpeed) // the level is valid
	}
	n, err := p.z.Write(b)
	if err == nil {
		err = p.z.Flush() // a file that is still being fetched is shown as far as it is there
	}
	return n, err
}

// Close writes the end of the compressed answer, if it has begun.
func (p *packed) Close() error {
	if p.z == nil {
		return nil
	}
	return p.z.Close()
}

// Unwrap returns the writer for http.ResponseController.
func (p *packed) Unwrap() http.ResponseWriter { return p.ResponseWriter }
