// Package create makes torrents from files and folders. Make selects the files of a
// folder (Rules), reads and hashes them on all cores, and checks whether any of them
// changed meanwhile. Unchanged files that an earlier Make hashed are not read again.
// FingerprintOf shows, without reading files, whether anything in a folder has changed.
//
// Sizes and offsets are in bytes, times in Unix nanoseconds. A file that cannot be read
// is a *storage.Error, an empty folder an *EmptyError, and a path that is neither a file
// nor a folder a *NotDataError.
package create

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"seedbed/internal/piecehash"
	"seedbed/internal/userfile"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// Options configures Make.
type Options struct {
	Format       metainfo.Format
	PieceLength  int64 // 0 means by size, or that of Before
	Private      bool
	Source       string
	NoAttributes bool // do not record which files are executable
	Rules        Rules

	// Omit reports whether a file is skipped without a warning. It is for files that the
	// caller itself writes.
	Omit func(fs.FileInfo) bool

	// Before is the result of an earlier Make of the same path. Unchanged files are not
	// read again, if the torrent has v2 hashes, where every file starts a new piece.
	Before *Made

	Progress func(done, total int64)
	Warn     func(error) // called for skipped files and unusual names
}

// Made is a torrent and the state of its files.
type Made struct {
	Info        *metainfo.Info
	Stamps      []Stamp     // of Info.Files; zero for padding
	Read        int64       // bytes read and hashed
	Fingerprint Fingerprint // of the folder when it was listed
}

// Stamp shows whether a file has changed. The zero Stamp means no file.
type Stamp struct {
	Size     int64
	Modified int64 // when the content last changed
	Changed  int64 `json:"Set"` // when the inode last changed (ctime); 0 if unknown
}

// maxTries bounds how often hashing is repeated after a file has changed or could not be
// read.
const maxTries = 16

// Make reads a file or folder and returns its torrent: all regular files, in the order of
// a file tree. The same files give the same torrent on every machine.
func Make(ctx context.Context, path string, o Options) (*Made, error) {
	o.Rules.defaults()
	omit := map[string]bool{}
	var fingerprint Fingerprint // includes files that are skipped later
	for try := 1; ; try++ {
		list, err := walk(path, &o, omit)
		if err != nil {
			return nil, err
		}
		if try == 1 {
			fingerprint = list.fingerprint()
		}
		if slices.IndexFunc(list.files, func(f foundFile) bool { return f.Length > 0 }) < 0 {
			return nil, &EmptyError{path}
		}
		made, err := list.hash(ctx, &o)
		if err == nil {
			made.Fingerprint = fingerprint
			return made, nil
		}
		var bad *fileError
		if !errors.As(err, &bad) || try == maxTries || ctx.Err() != nil {
			return nil, err
		}
		f := &list.files[bad.file]
		name := filepath.Join(path, f.name)
		if list.single {
			name = path
		}
		action := o.Rules.Unreadable
		if bad.changed {
			action = o.Rules.Changing
		}
		switch {
		case action == Again:
			o.warn("%s changed while it was being read; reading it again", name)
		case action == Skip && !list.single:
			omit[f.name] = true
			o.warn("skipped %s: %w", name, userfile.Reason(bad.err))
		default:
			return nil, storage.Wrap("read", name, bad.err)
		}
	}
}

// EmptyError is returned for a path without data to share.
type EmptyError struct{ Path string }

func (e *EmptyError) Error() string { return e.Path + " holds no data to share" }

// NotDataError is returned for a path that is neither a file nor a folder.
type NotDataError struct {
	Path string
	What string // "a symbolic link", "a pipe", ...
	// Target is the file or folder that a symbolic link leads to, or "".
	Target string
}

func (e *NotDataError) Error() string {
	return fmt.Sprintf("%s is %s; only files and folders can be shared", e.Path, e.What)
}

// Hint returns advice for the user, or "".
func (e *NotDataError) Hint() string {
	switch {
	case e.Target != "":
		return "use the path it points to: " + e.Target
	case e.What == symlink:
		return "it points to nothing"
	}
	return ""
}

// fileError is the reason why a file could not be hashed.
type fileError struct {
	file    int // index in fileList.files
	changed bool
	err     error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

var errChanging = errors.New("it changed while it was being hashed; wait until it is complete")

// draft creates the layout of the torrent.
func (l *fileList) draft(o *Options) (*metainfo.Draft, error) {
	plan := metainfo.Plan{Name: filepath.Base(l.top), PieceLength: o.PieceLength, Format: o.Format, Private: o.Private, Source: o.Source}
	var total int64
	for i := range l.files {
		plan.Files = append(plan.Files, l.files[i].PlanFile)
		total += l.files[i].Length
	}
	if plan.PieceLength == 0 {
		plan.PieceLength = o.Before.PieceLength(total)
	}
	d, err := metainfo.NewDraft(plan)
	if err != nil {
		return nil, fmt.Errorf("cannot make a torrent of %s: %w", l.top, err)
	}
	for i, as := range d.Renamed {
		f := &l.files[i]
		if slices.ContainsFunc(f.Path, func(c string) bool { return metainfo.NameProblem(c) != "" }) {
			continue // reported already
		}
		name := filepath.Join(l.top, f.name)
		if o.Rules.Names == Refuse {
			return nil, storage.Wrap("include", name, errors.New("its name clashes with another file's on some systems"))
		}
		o.warn("%s: its name clashes with another file's on some systems; other clients will rename it to %s", name, strings.Join(as, "/"))
	}
	return d, nil
}

// hash hashes the files and returns the torrent.
func (l *fileList) hash(ctx context.Context, o *Options) (*Made, error) {
	began := time.Now()
	d, err := l.draft(o)
	if err != nil {
		return nil, err
	}
	info := d.Layout()
	t := contents{fileList: l, layout: info, fileOf: make([]int, len(info.Files))}
	handles := storage.NewHandles(0)
	defer handles.Close()
	dir := l.top
	if l.single {
		dir = filepath.Dir(l.top)
	}
	if t.folder, err = storage.NewReader(dir, handles); err != nil {
		return nil, storage.Wrap("open", dir, err)
	}
	for file, at := range d.Files {
		t.fileOf[at] = file
	}
	known := o.Before.Unchanged(d, func(file int) Stamp { return l.files[file].stamp })
	digests := make([]metainfo.Digest, info.NumPieces())
	var total int64
	var pieces []int
	for p := range info.NumPieces() {
		if was, ok := known[p]; ok {
			digests[p] = was
			continue
		}
		pieces = append(pieces, p)
		total += info.DataSize(p)
	}
	job := piecehash.Job{
		Pieces: slices.Values(pieces),
		Total:  total,
		Size:   info.DataSize,
		Offset: func(p int) int64 { return int64(p) * info.PieceLength },
		Read:   func(b []byte, off int64) error { return t.each(b, off, int64(len(b)), t.read) },
		Advise: func(off, n int64) { _ = t.each(nil, off, n, t.advise) },
		Done: func(p int, sum metainfo.Digest, skip bool) {
			if !skip {
				digests[p] = sum
			}
		},
		Progress: o.Progress,
		Absent:   func(error) bool { return false },
	}
	if o.Format != metainfo.V1 {
		job.Begin = d.NewPieceHash
	}
	if err := job.Run(ctx); err != nil {
		return nil, err
	}
	made := &Made{Read: total}
	if made.Info, err = d.Finish(digests); err != nil {
		return nil, err
	}
	made.Stamps, err = t.stamps(made.Info, began)
	return made, err
}

// contents provides access to the files of the torrent being made.
type contents struct {
	*fileList // index in fileList.files of each file of layout
	layout    *metainfo.Info
	fileOf    []int // for each file of layout its index in fileList.files
	folder    *storage.Reader
}

// each calls do for each file's part of a range of the torrent.
func (t *contents) each(b []byte, off, n int64, do func(i int, b []byte, at, n int64) error) error {
	for s := range t.layout.Spans(off, n) {
		var part []byte
		if b != nil {
			part, b = b[:s.Length], b[s.Length:]
		}
		if t.layout.Files[s.File].Pad { // reached by reading ahead
			continue
		}
		if err := do(t.fileOf[s.File], part, s.Offset, s.Length); err != nil {
			return err
		}
	}
	return nil
}

func (t *contents) read(i int, b []byte, at, _ int64) error {
	switch n, err := t.folder.ReadAt(t.files[i].name, b, at); {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return &fileError{i, true, errChanging}
	default:
		return &fileError{i, errors.Is(err, fs.ErrNotExist), err}
	}
}

func (t *contents) advise(i int, _ []byte, at, n int64) error {
	return t.folder.WillRead(t.files[i].name, at, n)
}

// stamps checks that no file has changed since it was found, and returns the stamps of
// all files.
func (t *contents) stamps(info *metainfo.Info, began time.Time) ([]Stamp, error) {
	out := make([]Stamp, len(info.Files))
	k := 0
	for i := range t.files {
		for info.Files[k].Pad {
			k++
		}
		f := &t.files[i]
		if f.Symlink == nil {
			fi, err := t.folder.Stat(f.name)
			if err != nil || stampOf(fi) != f.stamp {
				return nil, &fileError{i, true, errChanging}
			}
			if f.stamp.isSettled(began) {
				out[k] = f.stamp
			}
		}
		k++
	}
	return out, nil
}

// isSettled reports whether the stamp is old enough that a later change would have a
// different time: most clocks tick every few milliseconds, those of some file systems
// every second or two.
func (s Stamp) isSettled(now time.Time) bool {
	last, tick := max(s.Modified, s.Changed), 50*time.Millisecond
	if last%int64(time.Second) == 0 {
		tick = 2 * time.Second
	}
	return now.Sub(time.Unix(0, last)) > tick
}
