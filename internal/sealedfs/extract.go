package sealedfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"seedbed/magnet/metainfo"
)

// Extraction writes the files of a Tree into a folder.
type Extraction struct {
	Tree *Tree
	Open Opener   // opens the blobs of the torrent, which are complete
	To   *os.Root // the folder
	// Keep leaves a file alone that is there under its name: one that is known to be the same.
	// nil compares files that are there, and writes those that differ if Overwrite is set.
	Keep      func(file int) bool
	Overwrite bool
	Progress  func(done, total int64) // may be nil

	part string // name of a file that is being written; no file of Tree has it
}

// ExistsError reports a file that is there and differs from the one to be written.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return e.Path + " exists and has other content" }

// Hint says what to do about it.
func (e *ExistsError) Hint() string { return "move it away, or replace it with --overwrite" }

// Run writes the files. Symbolic links are left out. Errors of the content are those of
// Tree.Read with the path of the file in front.
func (x *Extraction) Run(ctx context.Context) error {
	info := x.Tree.Info
	total, done := info.Payload(), int64(0)
	x.part = unusedName(info)
	for i := range info.Files {
		f := &info.Files[i]
		name := info.PathOf(i)
		switch {
		case f.Folder:
			if err := x.To.MkdirAll(name, 0o755); err != nil {
				return err
			}
			continue
		case !f.IsRegular():
			continue
		}
		counted := func(n int) {
			done += int64(n)
			if x.Progress != nil {
				x.Progress(done, total)
			}
		}
		if err := x.file(ctx, i, name, counted); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// unusedName returns a name that no file or folder of info has. It is the same each time, so that what a killed
// process has left is found.
func unusedName(info *metainfo.Info) string {
	for name := ".seedbed-decrypting"; ; name += "_" {
		if !slices.ContainsFunc(info.Files, func(f metainfo.File) bool { return slices.Contains(f.Path, name) }) && info.Name != name {
			return name
		}
	}
}

func (x *Extraction) file(ctx context.Context, i int, name string, counted func(int)) error {
	f := &x.Tree.Info.Files[i]
	content := func(counted func(int)) (io.ReadCloser, error) {
		blob, ok := x.Tree.Blob(i)
		if !ok {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
		in, err := x.Open(blob)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{&counter{x.Tree.Read(i, in), ctx, counted}, in}, nil
	}
	if fi, err := x.To.Lstat(name); err == nil {
		same := fi.Mode().IsRegular() && fi.Size() == f.Length
		if same && (x.Keep == nil || !x.Keep(i)) {
			if same, err = x.isSame(name, content); err != nil {
				return err
			}
		}
		switch {
		case same:
			counted(int(f.Length))
			return nil
		case !x.Overwrite:
			return &ExistsError{name}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := x.To.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	in, err := content(counted)
	if err != nil {
		return err
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if f.Executable {
		mode = 0o755
	}
	part := path.Join(path.Dir(name), x.part)
	_ = x.To.Remove(part) // a killed process may have left it
	out, err := x.To.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = x.To.Rename(part, name)
	}
	if err != nil {
		_ = x.To.Remove(part)
	}
	return err
}

// isSame reports whether a file that is there has the content.
func (x *Extraction) isSame(name string, content func(func(int)) (io.ReadCloser, error)) (bool, error) {
	there, err := x.To.Open(name)
	if err != nil {
		return false, err
	}
	defer there.Close()
	in, err := content(func(int) {})
	if err != nil {
		return false, err
	}
	defer in.Close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(in, a)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, _ := io.ReadFull(there, b[:n])
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if n < len(a) {
			return true, nil
		}
	}
}

// counter counts what is read, and ends with ctx.
type counter struct {
	io.Reader
	ctx     context.Context
	counted func(int)
}

// Read implements io.Reader.
func (c *counter) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.Reader.Read(b)
	c.counted(n)
	return n, err
}

// InFolder returns an Opener of the blobs of a torrent in the folder that it was downloaded to.
func InFolder(torrent *metainfo.Info, dir *os.Root) Opener {
	return func(file int) (io.ReadSeekCloser, error) { return dir.Open(torrent.PathOf(file)) }
}
