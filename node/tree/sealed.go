package tree

import (
	"context"
	"io"
	"strings"

	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/node"
)

// OpenSealed returns the tree of a private publication's torrent, with the keys that its secret
// to read gives. It waits for the list of files, which is fetched before it returns. Reads
// decrypt, and fetch only what they need. Besides the errors of Open, it returns those of
// sealedfs.Open.
func OpenSealed(ctx context.Context, t *node.Torrent, keys *sealed.Keys) (*Tree, error) {
	select {
	case <-t.Named():
	case <-t.Ended():
		return nil, node.ErrEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	info := t.Info()
	if info == nil { // it was removed
		return nil, node.ErrEnded
	}
	return ReadSealed(ctx, keys, sealedfs.BlobsOf(info), func(ctx context.Context, file int) (io.ReadSeekCloser, error) {
		f, err := t.OpenFile(ctx, file)
		if err != nil {
			return nil, err // not f, which would be an interface that is not nil
		}
		return f, nil
	})
}

// ReadSealed returns the tree of a private publication whose blobs open opens. The errors are those of
// open and sealedfs.Open.
func ReadSealed(ctx context.Context, keys *sealed.Keys, blobs sealedfs.Blobs, open func(ctx context.Context, file int) (io.ReadSeekCloser, error)) (*Tree, error) {
	private, err := sealedfs.Open(keys, blobs, func(file int) (io.ReadSeekCloser, error) { return open(ctx, file) })
	if err != nil {
		return nil, err
	}
	var files []File
	var indexes []int
	for i := range private.Info.Files {
		f := &private.Info.Files[i]
		if !f.IsRegular() {
			continue
		}
		files = append(files, File{Path: strings.Join(f.Path, "/"), Size: f.Length, Identity: identity(private.Info, i)})
		indexes = append(indexes, i)
	}
	return New(private.Info.Name, files, func(ctx context.Context, i int) (Reader, error) {
		blob, ok := private.Blob(indexes[i])
		if !ok {
			return emptyFile{}, nil
		}
		f, err := open(ctx, blob)
		if err != nil {
			return nil, err
		}
		return &sealedFile{private.Read(indexes[i], f), f, private.Info.Files[indexes[i]].Length}, nil
	})
}

// sealedFile decrypts a file.
type sealedFile struct {
	*sealed.Reader
	io.Closer
	size int64
}

// Size implements Reader.
func (f *sealedFile) Size() int64 { return f.size }

// emptyFile is a file without content, which has no blob.
type emptyFile struct{}

func (emptyFile) Read([]byte) (int, error)       { return 0, io.EOF }
func (emptyFile) Seek(int64, int) (int64, error) { return 0, nil }
func (emptyFile) Close() error                   { return nil }
func (emptyFile) Size() int64                    { return 0 }
