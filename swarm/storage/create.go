package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"seedbed/magnet/metainfo"
)

// HashOptions say how HashTree makes a torrent.
type HashOptions struct {
	PieceLength int64 // 0 is by size
	Progress    func(done, total int64)
	Warn        func(error) // told of what is left out
}

// HashTree reads a file or a folder and returns the plan and the piece hashes
// of its torrent: all regular files, ordered by the bytes of their path's
// components. Symbolic links and other things that are no files are left out
// with a warning.
func HashTree(ctx context.Context, path string, o HashOptions) (metainfo.Plan, []byte, error) {
	plan, err := walk(path, o.Warn)
	if err != nil {
		return metainfo.Plan{}, nil, err
	}
	t := tree{handles: NewHandles(0), plan: plan}
	defer t.handles.Close()
	t.dir, t.single = path, len(plan.Files) == 1 && len(plan.Files[0].Path) == 0
	if t.single {
		t.dir = filepath.Dir(path)
	}
	if t.disk, err = openDisk(t.dir, false, t.handles); err != nil {
		return metainfo.Plan{}, nil, wrap("open", t.dir, err)
	}
	var total int64
	for _, f := range plan.Files {
		t.ends = append(t.ends, total+f.Length)
		total += f.Length
	}
	if total == 0 {
		return metainfo.Plan{}, nil, &EmptyError{path}
	}
	if t.plan.PieceLength = o.PieceLength; t.plan.PieceLength == 0 {
		t.plan.PieceLength = metainfo.PieceLengthFor(total)
	}
	length := t.plan.PieceLength
	n := int((total + length - 1) / length)
	hashes := make([]byte, 20*n)
	job := hashJob{
		pieces: func(yield func(int) bool) {
			for p := 0; p < n && yield(p); p++ {
			}
		},
		total:  total,
		size:   func(p int) int64 { return min(length, total-int64(p)*length) },
		offset: func(p int) int64 { return int64(p) * length },
		read:   func(b []byte, off int64) error { return t.each(b, off, int64(len(b)), t.read) },
		advise: func(off, n int64) { _ = t.each(nil, off, min(n, total-off), t.advise) },
		known:  func(int) (sum metainfo.Digest, skip, ok bool) { return },
		done: func(p int, sum metainfo.Digest, skip bool) {
			if !skip {
				copy(hashes[20*p:], sum.V1[:])
			}
		},
		progress: o.Progress,
		strict:   true,
	}
	if err := job.run(ctx); err != nil {
		return metainfo.Plan{}, nil, err
	}
	return t.plan, hashes, t.unchanged()
}

// EmptyError is a path with nothing in it to share.
type EmptyError struct{ Path string }

func (e *EmptyError) Error() string { return e.Path + " holds no data: there is nothing to share" }

// walk lists the files at path.
func walk(path string, warn func(error)) (metainfo.Plan, error) {
	plan := metainfo.Plan{Name: filepath.Base(path)}
	fi, err := os.Lstat(path)
	if err != nil {
		return plan, wrap("read", path, err)
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		// It could not be shared either: peers get nothing from outside of the folder.
		return plan, wrap("read", path, errors.New("it is a symbolic link; name what it leads to"))
	}
	if fi.Mode().IsRegular() {
		plan.Files = []metainfo.PlanFile{{Length: fi.Size()}}
		return plan, nil
	}
	if !fi.IsDir() {
		return plan, wrap("read", path, errors.New("it is neither a file nor a folder"))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return plan, wrap("read", path, err)
	}
	defer root.Close()
	var visit func(dir string, at []string) error
	visit = func(dir string, at []string) error {
		f, err := root.Open(dir)
		if err != nil {
			return wrap("read", filepath.Join(path, dir), err)
		}
		names, err := f.Readdirnames(-1)
		if err = errors.Join(err, f.Close()); err != nil {
			return wrap("read", filepath.Join(path, dir), err)
		}
		slices.Sort(names)
		for _, name := range names {
			below := filepath.Join(dir, name)
			fi, err := root.Lstat(below)
			if err != nil {
				return wrap("read", filepath.Join(path, below), err)
			}
			next := append(slices.Clip(at), name)
			switch {
			case fi.IsDir():
				if len(next) >= metainfo.MaxDepth {
					return wrap("read", filepath.Join(path, below), fmt.Errorf("it is more than %d folders deep", metainfo.MaxDepth))
				}
				err = visit(below, next)
			case fi.Mode().IsRegular():
				if len(plan.Files) == metainfo.MaxFiles {
					return wrap("read", path, fmt.Errorf("it holds more than %d files", metainfo.MaxFiles))
				}
				plan.Files = append(plan.Files, metainfo.PlanFile{Path: next, Length: fi.Size()})
			case warn != nil:
				warn(fmt.Errorf("%s is left out: it is %s", filepath.Join(path, below), species(fi.Mode())))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return plan, visit(".", nil)
}

func species(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// tree is the files of a plan, for reading.
type tree struct {
	plan    metainfo.Plan
	ends    []int64 // of each file, in the torrent
	dir     string
	single  bool
	disk    Disk
	handles *Handles
}

func (t *tree) name(i int) string {
	if t.single {
		return t.plan.Name
	}
	return filepath.Join(t.plan.Files[i].Path...)
}

// each does do with the stretch of every file in a stretch of the torrent.
func (t *tree) each(b []byte, off, n int64, do func(i int, b []byte, at, n int64) error) error {
	i, _ := slices.BinarySearch(t.ends, off+1)
	for n > 0 {
		m := min(n, t.ends[i]-off)
		if m > 0 {
			var part []byte
			if b != nil {
				part, b = b[:m], b[m:]
			}
			if err := do(i, part, off-t.ends[i]+t.plan.Files[i].Length, m); err != nil {
				return err
			}
		}
		off, n, i = off+m, n-m, i+1
	}
	return nil
}

func (t *tree) open(i int) (*handle, File, error) {
	h, err := t.handles.get(handleKey{file: i}, func() (io.Closer, error) { return t.disk.Open(t.name(i), os.O_RDONLY, 0) })
	if err != nil {
		return nil, nil, wrap("read", filepath.Join(t.dir, t.name(i)), err)
	}
	return h, h.c.(File), nil
}

func (t *tree) read(i int, b []byte, at, _ int64) error {
	h, f, err := t.open(i)
	if err != nil {
		return err
	}
	defer t.handles.put(h)
	if n, err := f.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = errShort
		}
		return wrap("read", filepath.Join(t.dir, t.name(i)), err)
	}
	return nil
}

func (t *tree) advise(i int, _ []byte, at, n int64) error {
	h, f, err := t.open(i)
	if err != nil {
		return err
	}
	defer t.handles.put(h)
	f.WillRead(at, n)
	return nil
}

// unchanged checks that no file grew or shrank while it was hashed.
func (t *tree) unchanged() error {
	for i, f := range t.plan.Files {
		fi, err := t.disk.Stat(t.name(i))
		if err == nil && fi.Size() != f.Length {
			err = errors.New("it changed while it was hashed; wait until it is complete")
		}
		if err != nil {
			return wrap("read", filepath.Join(t.dir, t.name(i)), err)
		}
	}
	return nil
}
