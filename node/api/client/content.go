package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// A FileReader reads a file of a torrent of a daemon, also while the daemon downloads it. It is not safe
// for concurrent use.
type FileReader struct {
	ctx    context.Context
	client *Client
	path   string
	size   int64
	offset int64
	body   io.ReadCloser // from offset on; nil if none is open
}

// OpenFile returns a reader of the file with that number, whose size in bytes is known, until ctx ends.
// The first read asks the daemon for it.
func (c *Client) OpenFile(ctx context.Context, id string, number int, size int64) *FileReader {
	return &FileReader{ctx: ctx, client: c, path: torrentPath(id) + "/files/" + strconv.Itoa(number) + "/content", size: size}
}

// Read implements io.Reader. It returns io.ErrUnexpectedEOF if the daemon sends less than it should.
func (f *FileReader) Read(b []byte) (int, error) {
	if f.offset >= f.size {
		return 0, io.EOF
	}
	if f.body == nil {
		resp, err := f.client.sendWith(f.ctx, http.MethodGet, f.path, nil, http.Header{"Range": {fmt.Sprintf("bytes=%d-", f.offset)}})
		if err != nil {
			return 0, err
		}
		f.body = resp.Body
		if resp.StatusCode != http.StatusPartialContent {
			f.drop()
			return 0, fmt.Errorf("%s does not answer like a daemon: it sends no range of a file", f.client.where)
		}
	}
	n, err := f.body.Read(b[:min(int64(len(b)), f.size-f.offset)])
	f.offset += int64(n)
	if err != nil {
		f.drop()
		if errors.Is(err, io.EOF) {
			err = nil
			if f.offset < f.size {
				err = io.ErrUnexpectedEOF
			}
		}
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *FileReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	if offset != f.offset {
		f.drop()
	}
	f.offset = offset
	return offset, nil
}

// Close implements io.Closer.
func (f *FileReader) Close() error {
	f.drop()
	return nil
}

func (f *FileReader) drop() {
	if f.body != nil {
		_ = f.body.Close() // the answer is not needed any more
		f.body = nil
	}
}
