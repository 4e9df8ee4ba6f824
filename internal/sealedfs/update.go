package sealedfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"seedbed/internal/sealed"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// Copy says what to encrypt, and where to.
type Copy struct {
	Keys   *sealed.Keys
	Source string         // the file or folder
	Info   *metainfo.Info // of Source: a v2 torrent with its piece layers
	Dir    string         // the folder to which the folder of blobs belongs
	// Before is Info of the Update that was the last to write to Dir, and was complete; or nil.
	// Files with the same path and merkle root are not encrypted again.
	Before *metainfo.Info
	// Changing, if not nil, is called before the first change to the folder of blobs, which fails
	// with its error.
	Changing func() error
	Progress func(done, total int64) // may be nil
}

// ErrChanged reports that a file has changed since its torrent was made.
var ErrChanged = errors.New("it changed while it was being encrypted; wait until it is complete")

// partSuffix ends the names of blobs that are being written.
const partSuffix = ".part"

// Update makes the folder of blobs, whose path it returns, the encrypted copy of the files: it
// encrypts those that have changed, and deletes what no file needs. If it fails after Changing was
// called, the folder has parts of the old copy and of the new one. A copy that is complete survives a power cut. A file that cannot be read, or that has changed since
// Info was made, is an *fs.PathError.
func (c *Copy) Update(ctx context.Context) (folder string, err error) {
	folder = filepath.Join(c.Dir, c.Keys.TorrentName())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	to, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer to.Close()
	dir := c.Source
	if !c.Info.IsMulti() {
		dir = filepath.Dir(c.Source)
	}
	from, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer from.Close()
	w := writer{Copy: c, from: from, to: to, wanted: map[string]bool{c.Keys.ManifestName(): true}}
	todo, total := w.changed()
	if len(todo) == 0 && w.Before != nil && w.Before.HashV2 == w.Info.HashV2 && w.has(c.Keys.ManifestName(), sealed.ManifestSize(len(c.Info.Raw))) {
		return folder, nil
	}
	if c.Changing != nil {
		if err := c.Changing(); err != nil {
			return "", err
		}
	}
	if err := w.files(ctx, todo, total); err != nil {
		return "", err
	}
	if err := w.write(c.Keys.ManifestName(), func(out io.Writer) error { return c.Keys.SealManifest(out, c.Info.Raw) }); err != nil {
		return "", err
	}
	if err := w.deleteOthers(); err != nil {
		return "", err
	}
	return folder, statefile.SyncDir(folder)
}

type writer struct {
	*Copy
	from, to *os.Root
	wanted   map[string]bool // names of blobs
}

// changed returns the files that have changed, or whose blobs are missing, and their size.
func (w *writer) changed() (todo []int, total int64) {
	before := map[string]metainfo.Root{}
	if w.Before != nil && w.Before.IsMulti() == w.Info.IsMulti() {
		for i := range w.Before.Files {
			f := &w.Before.Files[i]
			before[strings.Join(f.Path, "/")] = f.Root
		}
	}
	for i := range w.Info.Files {
		f := &w.Info.Files[i]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		name := w.Keys.BlobName(f.Path)
		w.wanted[name] = true
		if root, ok := before[strings.Join(f.Path, "/")]; ok && root == f.Root {
			if w.has(name, sealed.BlobSize(f.Length)) {
				continue
			}
		}
		todo = append(todo, i)
		total += f.Length
	}
	return todo, total
}

// has reports whether there is a blob of this size.
func (w *writer) has(name string, size int64) bool {
	fi, err := w.to.Lstat(name)
	return err == nil && fi.Mode().IsRegular() && fi.Size() == size
}

// files encrypts files.
func (w *writer) files(ctx context.Context, todo []int, total int64) error {
	var done int64
	for _, i := range todo {
		counted := func(n int) {
			done += int64(n)
			if w.Progress != nil {
				w.Progress(done, total)
			}
		}
		if err := w.file(ctx, i, counted); err != nil {
			return err
		}
	}
	return nil
}

// file encrypts one file. It checks that the content is what Info says, because otherwise the
// manifest would have a wrong merkle root.
func (w *writer) file(ctx context.Context, i int, counted func(int)) error {
	f := &w.Info.Files[i]
	name := filepath.Join(f.Path...)
	if !w.Info.IsMulti() {
		name = filepath.Base(w.Source)
	}
	in, err := w.from.Open(name)
	if f.Spelled != nil && errors.Is(err, fs.ErrNotExist) { // the torrent has another spelling
		if literal := f.Literal(); literal != nil {
			in, err = w.from.Open(filepath.Join(literal...))
		}
	}
	if err != nil {
		return err
	}
	defer in.Close()
	blob := w.Keys.BlobName(f.Path)
	check := &checker{info: w.Info, in: in, ctx: ctx, left: f.Length, counted: counted}
	check.piece, _ = w.Info.PiecesOf(i)
	err = w.write(blob, func(out io.Writer) error { return errors.Join(w.Keys.Seal(out, check, f.Length, blob), check.err) })
	if errors.Is(err, errDiffers) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &fs.PathError{Op: "encrypt", Path: filepath.Join(w.from.Name(), name), Err: ErrChanged}
	}
	return err
}

// write writes a blob.
func (w *writer) write(name string, do func(io.Writer) error) error {
	part := name + partSuffix
	out, err := w.to.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = do(out); err == nil {
		err = out.Sync() // its content does not change any more, so nothing hashes it again
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = w.to.Rename(part, name)
	}
	if err != nil {
		_ = w.to.Remove(part)
	}
	return err
}

// deleteOthers deletes the blobs of files that are gone, and what a killed process has left.
func (w *writer) deleteOthers() error {
	d, err := w.to.Open(".")
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if !w.wanted[name] {
			if err := w.to.RemoveAll(name); err != nil {
				return fmt.Errorf("cannot delete the encrypted copy of a file that is gone: %w", err)
			}
		}
	}
	return nil
}

var errDiffers = errors.New("the content differs")

// checker compares what is read with the piece hashes of a torrent.
type checker struct {
	info    *metainfo.Info
	in      io.Reader
	ctx     context.Context
	piece   int
	hash    *metainfo.PieceHash
	hashed  int64 // bytes of the piece
	left    int64 // bytes of the file
	counted func(int)
	err     error // errDiffers; io.ReadFull drops an error that comes with the last byte
}

// Read implements io.Reader. At the end, err says whether the content differs.
func (c *checker) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.in.Read(b)
	c.counted(n)
	for rest := b[:n]; len(rest) > 0 && c.left > 0; {
		if c.hash == nil {
			c.hash, c.hashed = c.info.NewPieceHash(c.piece), 0
		}
		size := min(c.info.PieceLength, c.hashed+c.left)
		part := rest[:min(int64(len(rest)), size-c.hashed)]
		_, _ = c.hash.Write(part)
		rest = rest[len(part):]
		c.hashed += int64(len(part))
		c.left -= int64(len(part))
		if c.hashed < size {
			continue
		}
		if c.hash.Digest() != c.info.Digest(c.piece) {
			c.err = errDiffers
		}
		c.hash = nil
		c.piece++
	}
	return n, err
}
