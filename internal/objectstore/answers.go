package objectstore

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

const (
	// maxAnswer is how long an answer may be that the library reads as a whole, in bytes. A list of 1000 objects with the longest names
	// has about 4 MiB.
	maxAnswer = 16 << 20
	// rootWithin is how many bytes of such an answer have the beginning of its first element.
	rootWithin = 1 << 10
)

// bounded limits the answers of a store, except for parts of objects, and refuses those that are not of a store.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return r, err
	}
	isPart := req.Header.Get("Range") != ""
	if !isPart || r.StatusCode/100 != 2 {
		r.Body = &boundedBody{r.Body, maxAnswer}
	}
	if !isPart && req.Method == http.MethodGet && r.StatusCode == http.StatusOK {
		if err := checkRoot(r); err != nil {
			_ = r.Body.Close()
			return nil, err
		}
	}
	return r, nil
}

// checkRoot returns errNoStore if an answer that should be a list is another document. The library takes any for an empty list: the page
// of a proxy or of a network that wants a login, and an error that came too late for another status.
func checkRoot(r *http.Response) error {
	body := bufio.NewReaderSize(r.Body, rootWithin)
	begin, err := body.Peek(rootWithin)
	if err != nil && err != io.EOF {
		return err
	}
	r.Body = readCloser{body, r.Body}
	for d := xml.NewDecoder(bytes.NewReader(begin)); ; {
		token, err := d.RawToken()
		if err != nil { // no element
			return errNoStore
		}
		if root, ok := token.(xml.StartElement); ok {
			if name := root.Name.Local; strings.EqualFold(name, "html") || name == "Error" {
				return errNoStore
			}
			return nil
		}
	}
}

// readCloser is a body of which a part was read before.
type readCloser struct {
	io.Reader
	io.Closer
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
