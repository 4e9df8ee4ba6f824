package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// temp returns the name of a copy in progress.
func (m *mover) temp(f movedFile) string {
	return f.name + strings.TrimSuffix(m.s.suffix, ".part") + ".moving"
}

// copyAll copies all files. When ctx ends, complete copies stay, and the next call continues
// from them.
func (m *mover) copyAll(ctx context.Context) error {
	done, total := int64(0), m.total()
	for _, f := range m.files {
		err := ctx.Err()
		if err == nil && !f.gone {
			err = m.copy(ctx, f, func(n int64) { m.Progress(done+n, total) })
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			for _, name := range m.made {
				_ = m.to.Remove(name) // the next attempt overwrites it
			}
			removeFolders(m.to, m.files)
			return wrap("copy", filepath.Join(m.toDir, f.name), err)
		}
		done += f.size
		m.s.stepped()
		m.Progress(done, total)
	}
	return nil
}

// copy copies one file, syncs the copy, compares it, and renames it to its final name.
func (m *mover) copy(ctx context.Context, f movedFile, progress func(int64)) (err error) {
	if err := m.makeFolder(f); err != nil || f.kind == fs.ModeDir {
		return err
	}
	if _, err := m.to.Lstat(f.name); err == nil {
		return nil // copied by an interrupted move; clearWay has compared it
	}
	if f.kind == fs.ModeSymlink {
		target, err := m.from.Readlink(f.name)
		if err != nil {
			return err
		}
		m.made = append(m.made, f.name)
		return m.to.Symlink(target, f.name)
	}
	in, err := m.from.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	temp := m.temp(f)
	out, err := m.to.Open(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fi.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
		if err != nil {
			_ = m.to.Remove(temp) // the next attempt overwrites it
		}
	}()
	if err := copyContent(ctx, in, out, fi.Size(), progress); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if !equal(in, out) {
		return errors.New("the copy differs from the file")
	}
	if err := out.SetTime(fi.ModTime().UnixNano()); err != nil {
		return err
	}
	if err := m.to.Rename(temp, f.name); err != nil {
		return err
	}
	m.made = append(m.made, f.name)
	return nil
}

// Copying and comparing let other goroutines run after each step: otherwise, where both files are in the
// page cache, every answer of the node would wait for the scheduler's time slice of 10 ms.

// copyContent copies only data that is not zero, so that holes stay holes.
func copyContent(ctx context.Context, in, out File, size int64, progress func(int64)) error {
	if err := out.Truncate(size); err != nil {
		return err
	}
	b, zero := make([]byte, writeSize), make([]byte, writeSize)
	for at := int64(0); at < size; at += writeSize {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		part := b[:min(writeSize, size-at)]
		if _, err := in.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(part, zero[:len(part)]) {
			if _, err := out.WriteAt(part, at); err != nil {
				return err
			}
		}
		progress(at)
		runtime.Gosched()
	}
	return nil
}

// isCopy reports whether the new folder holds an identical file, as after an interrupted
// move.
func (m *mover) isCopy(f movedFile) bool {
	if f.kind == fs.ModeSymlink {
		a, err := m.from.Readlink(f.name)
		b, e := m.to.Readlink(f.name)
		return err == nil && e == nil && a == b
	}
	a, err := m.from.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer a.Close()
	b, err := m.to.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer b.Close()
	return equal(a, b)
}

// equal reports whether two files have the same content.
func equal(a, b File) bool {
	x, y := make([]byte, writeSize), make([]byte, writeSize)
	for at := int64(0); ; at += writeSize {
		n, err := a.ReadAt(x, at)
		k, e := b.ReadAt(y, at)
		if n != k || !bytes.Equal(x[:n], y[:k]) || err != nil && !errors.Is(err, io.EOF) || e != nil && !errors.Is(e, io.EOF) {
			return false
		}
		if n < len(x) {
			return true
		}
		runtime.Gosched()
	}
}
