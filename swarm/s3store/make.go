package s3store

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// MakeOptions configures Make.
type MakeOptions struct {
	Format      metainfo.Format
	PieceLength int64 // 0 means by size
	Private     bool
	Source      string
	Hidden      bool                    // include objects whose names have a part that begins with a dot
	Progress    func(done, total int64) // in bytes; may be nil
	Warn        func(error)             // called for objects that are left out; may be nil
}

const (
	// makersAtOnce is how many ranges Make reads at a time.
	makersAtOnce = 8
	// makeSize is the size of most of these ranges in bytes.
	makeSize = 16 << 20
)

// EmptyError is returned by Make if there is nothing to share.
type EmptyError struct{ Place string }

func (e *EmptyError) Error() string { return e.Place + " holds no data to share" }

// Make makes the torrent of an object, or of all objects below a folder, without storing them here. Each is read once.
// An object that is replaced meanwhile is an error of kind objectstore.Changed.
func Make(ctx context.Context, store *objectstore.Store, name string, o MakeOptions) (*metainfo.Info, error) {
	m := &maker{store: store, o: o}
	if err := m.list(ctx, name); err != nil {
		return nil, err
	}
	plan := metainfo.Plan{Name: path.Base(name), PieceLength: o.PieceLength, Format: o.Format, Private: o.Private, Source: o.Source}
	for i := range m.objects {
		f := metainfo.PlanFile{Length: m.objects[i].Size}
		if !m.single {
			f.Path = strings.Split(strings.TrimPrefix(m.objects[i].Name, name+"/"), "/")
		}
		plan.Files = append(plan.Files, f)
		m.total += f.Length
	}
	if m.total == 0 {
		return nil, &EmptyError{store.Location().Name(name)}
	}
	if plan.PieceLength == 0 {
		plan.PieceLength = metainfo.PieceLengthFor(m.total)
	}
	d, err := metainfo.NewDraft(plan)
	if err != nil {
		return nil, fmt.Errorf("cannot make a torrent of %s: %w", store.Location().Name(name), err)
	}
	digests, err := m.hash(ctx, d)
	if err != nil {
		return nil, err
	}
	return d.Finish(digests)
}

// A maker makes one torrent.
type maker struct {
	store   *objectstore.Store
	o       MakeOptions
	single  bool
	objects []objectstore.Object // the files, in the order of a file tree
	total   int64

	done     atomic.Int64 // bytes hashed
	progress sync.Mutex
}

// list finds the objects.
func (m *maker) list(ctx context.Context, name string) error {
	o, err := m.store.Stat(ctx, name)
	switch {
	case err == nil && o.Size > 0:
		m.single, m.objects = true, []objectstore.Object{o}
		return nil
	case err != nil && objectstore.KindOf(err) != objectstore.NotFound:
		return err
	}
	for o, err := range m.store.List(ctx, name+"/") {
		if err != nil {
			return err
		}
		rest := strings.TrimPrefix(o.Name, name+"/")
		switch reason := m.reason(rest); {
		case rest == "" || strings.HasSuffix(rest, "/") && o.Size == 0: // stands for a folder
		case reason == "":
			m.objects = append(m.objects, o)
		case m.o.Warn != nil:
			m.o.Warn(fmt.Errorf("skipped %s: %s", m.store.Location().Name(o.Name), reason))
		}
	}
	if len(m.objects) == 0 {
		return &EmptyError{m.store.Location().Name(name)}
	}
	slices.SortFunc(m.objects, func(a, b objectstore.Object) int {
		return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
	})
	return nil
}

// reason returns why an object cannot be a file of a torrent, or "".
func (m *maker) reason(name string) string {
	for _, part := range strings.Split(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return "its name is not that of a file"
		case part[0] == '.' && !m.o.Hidden:
			return "its name begins with a dot"
		}
	}
	return ""
}

// hash hashes all pieces.
func (m *maker) hash(ctx context.Context, d *metainfo.Draft) ([]metainfo.Digest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	info := d.Layout()
	fileOf := make([]int, len(info.Files))
	for file, at := range d.Files {
		fileOf[at] = file
	}
	digests := make([]metainfo.Digest, info.NumPieces())
	per := int(max(1, makeSize/info.PieceLength))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range makersAtOnce {
		wg.Go(func() {
			buffer := make([]byte, bufferSize)
			for ctx.Err() == nil {
				first := (int(next.Add(1)) - 1) * per
				if first >= len(digests) {
					return
				}
				end := min(first+per, len(digests))
				if err := m.hashRange(ctx, d, fileOf, first, end, digests, buffer); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return digests, context.Cause(ctx)
}

// hashRange hashes the pieces from first up to, and without, end. If the store fails, it goes on with the piece that is not
// complete.
func (m *maker) hashRange(ctx context.Context, d *metainfo.Draft, fileOf []int, first, end int, digests []metainfo.Digest, buffer []byte) error {
	deadline := time.Now().Add(fetchTime)
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		before := first
		err := m.attempt(ctx, d, fileOf, &first, end, digests, buffer)
		if first > before {
			deadline, wait = time.Now().Add(fetchTime), retryFirst
		}
		if objectstore.KindOf(err) != objectstore.Unavailable || time.Now().After(deadline) || !pause(ctx, wait) {
			return err
		}
	}
}

func (m *maker) attempt(ctx context.Context, d *metainfo.Draft, fileOf []int, first *int, end int, digests []metainfo.Digest, buffer []byte) error {
	info := d.Layout()
	from := int64(*first) * info.PieceLength
	src := newSource(info, from, min(int64(end)*info.PieceLength, info.Length)-from, func(sp metainfo.Span) (io.ReadCloser, error) {
		body, _, err := m.store.Read(ctx, m.objects[fileOf[sp.File]], sp.Offset, sp.Length, nil)
		return body, err
	})
	defer src.close()
	for ; *first < end; *first++ {
		h := d.NewPieceHash(*first)
		size, data := min(info.PieceSize(*first), info.Length-int64(*first)*info.PieceLength), info.DataSize(*first)
		for at := int64(0); at < size; {
			b := buffer[:min(int64(len(buffer)), size-at)]
			if _, err := io.ReadFull(src, b); err != nil {
				return err
			}
			if at < data {
				_, _ = h.Write(b[:min(int64(len(b)), data-at)])
			}
			at += int64(len(b))
		}
		digests[*first] = h.Digest()
		m.report(data)
	}
	return nil
}

// report reports progress, from one goroutine at a time.
func (m *maker) report(n int64) {
	done := m.done.Add(n)
	if m.o.Progress != nil && m.progress.TryLock() {
		m.o.Progress(done, m.total)
		m.progress.Unlock()
	}
}
