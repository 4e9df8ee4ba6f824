package objectstore

import (
	"io"
	"net/http"
)

// maxAnswer is how long an answer may be that the library reads as a whole, in bytes. A list of 1000 objects with the longest names
// has about 4 MiB.
const maxAnswer = 16 << 20

// bounded limits the answers of a store, except for parts of objects.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := b.RoundTripper.RoundTrip(req)
	if err == nil && (req.Header.Get("Range") == "" || r.StatusCode/100 != 2) {
		r.Body = &boundedBody{r.Body, maxAnswer}
	}
	return r, err
}

// boundedBody is a body of which at most left more bytes are read.
type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
