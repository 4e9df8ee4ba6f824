package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"seedbed/internal/await"
	"seedbed/internal/objectstore"
)

const (
	// wholeSize is up to which size a file is written by one request, from memory, in bytes.
	wholeSize = 1 << 20
	// partsAtOnce is how many parts of a file are written at a time.
	partsAtOnce = 4
	// partSize is the minimum size of the parts of other files in bytes.
	partSize = 16 << 20
	// contentType is that of files whose content is not known.
	contentType = "application/octet-stream"
)

// An upload is what is known of one file's object while attempts to write it are repeated.
type upload struct {
	id       string             // of the upload in parts
	parts    []objectstore.Part // those that were written, and those of an earlier run
	etag     string             // of the object that is there
	compared int64              // how many of its bytes are as they should be
	written  string             // ETag of the object that was written, or is the same
	count    int                // Writer.counts when it began
}

// errAborted is the error of an attempt whose upload the store has given up, as a rule of the bucket may say.
var errAborted = errors.New("the store has given up the upload of an object")

// errOutdated is the error of an attempt if the pieces that are here were counted again since its upload began: it may have read what
// was not verified.
var errOutdated = errors.New("the pieces of a file were counted again")

// upload writes the object of a file. While the store does not work, it tries again.
func (w *Writer) upload(file, count int) error {
	u := upload{count: count}
	if err := w.persist(func() error { return w.attempt(file, &u) }); err != nil {
		return err
	}
	if w.log.isStray(file) {
		if err := w.persist(func() error { return w.abortStrays(file) }); err != nil {
			return err
		}
	}
	return w.log.finished(file, hashETag(u.written))
}

// persist repeats an attempt until the store works.
func (w *Writer) persist(attempt func() error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		err := attempt()
		if objectstore.KindOf(err) != objectstore.Unavailable && !errors.Is(err, errAborted) {
			if err == nil {
				w.back()
			}
			return err
		}
		w.away(err)
		if err := await.Sleep(w.ctx, wait); err != nil {
			return err
		}
	}
}

// away reports that the store does not work, once.
func (w *Writer) away(err error) {
	w.mu.Lock()
	was := w.isAway
	w.isAway = true
	w.mu.Unlock()
	if !was && w.o.Warn != nil {
		w.o.Warn(fmt.Errorf("cannot upload now; it is tried again: %w", err))
	}
}

// back records that the store works.
func (w *Writer) back() {
	w.mu.Lock()
	w.isAway = false
	w.mu.Unlock()
}

// attempt writes the object of a file, unless it is there.
func (w *Writer) attempt(file int, u *upload) error {
	at, err := w.remote.where(w.ctx)
	if err != nil {
		return err
	}
	if err := w.o.Shared.beginUpload(w.ctx); err != nil {
		return err
	}
	defer w.o.Shared.endUpload()
	if w.isOutdated(u) {
		return errOutdated
	}
	name, f := at.objectOf(w.o.Info, file), &w.o.Info.Files[file]
	if o, err := at.store.Stat(w.ctx, name); objectstore.KindOf(err) != objectstore.NotFound {
		if err != nil {
			return err
		}
		return w.take(at, o, file, u)
	}
	if _, isStored := w.partsHere(file); isStored { // its object is gone
		return w.remote.changed(f.Offset, 1)
	}
	data := localFile{w.o.Local, f.Offset}
	if f.Length <= wholeSize {
		b := make([]byte, f.Length)
		if _, err := data.ReadAt(b, 0); err != nil {
			return err
		}
		if w.isOutdated(u) {
			return errOutdated
		}
		err = ifAbsent(func(c objectstore.Condition) (err error) {
			u.written, err = at.store.Write(w.ctx, name, b, contentType, c)
			return err
		})
	} else {
		err = w.multipart(at, name, file, data, f.Length, u)
	}
	// Another node was faster, or the answer of an earlier attempt was lost. Not all stores list the ETag that they give an upload.
	if objectstore.KindOf(err) == objectstore.Changed || err == nil && f.Length > wholeSize {
		var o objectstore.Object
		if o, err = at.store.Stat(w.ctx, name); err == nil {
			err = w.take(at, o, file, u)
		}
	}
	return err
}

// isOutdated reports whether the pieces were counted again since an upload began.
func (w *Writer) isOutdated(u *upload) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return u.count != w.counts
}

// multipart writes an object in parts. It goes on with the parts that an earlier attempt or run has written.
func (w *Writer) multipart(at place, name string, file int, data io.ReaderAt, size int64, u *upload) error {
	open, listed, err := w.begin(at, name, file)
	if err != nil {
		return err
	}
	per := partSizeFor(size)
	n := int((size + per - 1) / per)
	if u.id != open.ID {
		u.id, u.parts = open.ID, make([]objectstore.Part, n)
	}
	has := make([]objectstore.Part, n)
	for _, p := range listed {
		if p.Number >= 1 && p.Number <= n {
			has[p.Number-1] = p
		}
	}
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, partsAtOnce) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				off := int64(i) * per
				if err := writePart(ctx, open, i+1, io.NewSectionReader(data, off, min(per, size-off)), has[i], &u.parts[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	err = context.Cause(ctx)
	if err == nil && w.isOutdated(u) {
		err = errOutdated
	}
	if err == nil {
		err = ifAbsent(func(c objectstore.Condition) (err error) {
			u.written, err = open.Complete(w.ctx, u.parts, c)
			return err
		})
	}
	if objectstore.KindOf(err) != objectstore.NotFound {
		return err
	}
	if err := w.log.strayed(file); err != nil { // what denied to know the upload may have been something before the store
		return err
	}
	return fmt.Errorf("%w: %w", errAborted, err)
}

// ifAbsent writes an object on the condition that there is none. A store that does not know conditions is asked without: Stat
// has not found the object.
func ifAbsent(write func(objectstore.Condition) error) error {
	err := write(objectstore.Condition{Absent: true})
	if objectstore.LacksConditions(err) {
		err = write(objectstore.Condition{})
	}
	return err
}

// writePart writes a part unless the store has it: has is the part that the store lists, and known the one that was written. A
// store that encrypts has ETags that cannot be compared with the data, so after a restart such parts are written again.
func writePart(ctx context.Context, u *objectstore.Upload, number int, data *io.SectionReader, has objectstore.Part, known *objectstore.Part) error {
	if has.Size == data.Size() {
		if has.ETag != "" && has.ETag == known.ETag {
			return nil
		}
		sum, err := objectstore.MD5(data, data.Size())
		if err != nil {
			return err
		}
		if has.HasMD5(sum) {
			*known = has
			return nil
		}
	}
	p, err := u.Write(ctx, number, data, data.Size())
	if err == nil {
		*known = p
	}
	return err
}

// partSizeFor returns the size of the parts of an object, except for the last one.
func partSizeFor(size int64) int64 {
	const unit = 1 << 20
	least := (size + objectstore.MaxParts - 1) / objectstore.MaxParts
	return max(partSize, (least+unit-1)/unit*unit)
}

// begin begins the upload of a file, or goes on with that of an earlier attempt.
func (w *Writer) begin(at place, name string, file int) (*objectstore.Upload, []objectstore.Part, error) {
	if id := w.log.openUpload(file); id != "" {
		u := at.store.Resume(name, id)
		parts, err := u.Parts(w.ctx)
		if objectstore.KindOf(err) != objectstore.NotFound {
			return u, parts, err
		}
		if err := w.log.strayed(file); err != nil {
			return nil, nil, err
		}
	}
	u, err := at.store.Begin(w.ctx, name, contentType)
	if err != nil {
		if kind := objectstore.KindOf(err); kind == objectstore.Unavailable || kind == 0 { // the answer may be what was lost
			err = errors.Join(err, w.log.strayed(file))
		}
		return nil, nil, err
	}
	return u, nil, w.log.began(file, u.ID)
}
