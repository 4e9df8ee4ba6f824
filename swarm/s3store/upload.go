package s3store

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

const (
	// wholeSize is up to which size a file is written by one request, from memory, in bytes.
	wholeSize = 1 << 20
	// partsAtOnce is how many parts of a file are written at a time.
	partsAtOnce = 4
	// partSize is the minimum size of the parts of other files in bytes.
	partSize = 16 << 20
	// orphanAge is after which time an upload is taken for given up.
	orphanAge = 24 * time.Hour
	// contentType is that of files whose content is not known.
	contentType = "application/octet-stream"
)

// upload writes the object of a file. While the store does not work, it tries again.
func (w *Writer) upload(file int) error {
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		err := w.attempt(file)
		if objectstore.KindOf(err) != objectstore.Unavailable {
			if err == nil {
				w.back()
				err = w.log.finished(file)
			}
			return err
		}
		w.away(err)
		if !pause(w.ctx, wait) {
			return w.ctx.Err()
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
func (w *Writer) attempt(file int) error {
	at, err := w.remote.where(w.ctx)
	if err != nil {
		return err
	}
	if err := w.o.Shared.beginUpload(w.ctx); err != nil {
		return err
	}
	defer w.o.Shared.endUpload()
	name, f := at.objectOf(w.o.Info, file), &w.o.Info.Files[file]
	if o, err := at.store.Stat(w.ctx, name); objectstore.KindOf(err) != objectstore.NotFound {
		if err != nil {
			return err
		}
		if err = w.compare(at, o, f); err == nil {
			w.abortOwn(at, name, file)
		}
		return err
	}
	data := localFile{w.o.Local, f.Offset}
	if f.Length <= wholeSize {
		b := make([]byte, f.Length)
		if _, err := data.ReadAt(b, 0); err != nil {
			return err
		}
		err = ifAbsent(func(c objectstore.Condition) error {
			_, err := at.store.Write(w.ctx, name, b, contentType, c)
			return err
		})
	} else {
		err = w.multipart(at, name, file, data, f.Length)
	}
	if objectstore.KindOf(err) == objectstore.Changed { // another node was faster, or the answer of an earlier attempt was lost
		var o objectstore.Object
		if o, err = at.store.Stat(w.ctx, name); err == nil {
			if err = w.compare(at, o, f); err == nil {
				w.abortOwn(at, name, file)
			}
		}
	}
	return err
}

// compare returns an error if an object has not the content of a file. It reads the object: there are too many kinds of ETags.
func (w *Writer) compare(at place, o objectstore.Object, f *metainfo.File) error {
	other := &OccupiedError{at.store.Location().Name(o.Name)}
	if o.Size != f.Length {
		return other
	}
	if o.Size == 0 {
		return nil
	}
	body, _, err := at.store.Read(w.ctx, o, 0, o.Size, &w.remote.Usage)
	if err != nil {
		return err
	}
	defer body.Close()
	data := localFile{w.o.Local, f.Offset}
	theirs, ours := make([]byte, bufferSize), make([]byte, bufferSize)
	for off := int64(0); off < o.Size; {
		n := min(bufferSize, o.Size-off)
		if _, err := io.ReadFull(body, theirs[:n]); err != nil {
			return err
		}
		if _, err := data.ReadAt(ours[:n], off); err != nil {
			return err
		}
		if !slices.Equal(ours[:n], theirs[:n]) {
			return other
		}
		off += n
	}
	return nil
}

// OccupiedError is returned by Finish for a file whose object is there with other content. It is not overwritten.
type OccupiedError struct{ Name string }

func (e *OccupiedError) Error() string { return e.Name + " is there already, with other content" }

// Hint returns what a user can do about the error.
func (e *OccupiedError) Hint() string { return "remove the object, or use another prefix" }

// localFile reads a file of a torrent.
type localFile struct {
	s      *storage.Storage
	offset int64 // in the torrent
}

// ReadAt implements io.ReaderAt for ranges within the file.
func (f localFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.s.ReadAt(b, f.offset+off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// multipart writes an object in parts. It goes on with the parts that an earlier run has written.
func (w *Writer) multipart(at place, name string, file int, data io.ReaderAt, size int64) error {
	u, parts, err := w.begin(at, name, file)
	if err != nil {
		return err
	}
	per := partSizeFor(size)
	n := int((size + per - 1) / per)
	list := make([]objectstore.Part, n)
	for _, p := range parts {
		if p.Number <= n {
			list[p.Number-1] = p
		}
	}
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	var next sync.Mutex
	number := 0
	var wg sync.WaitGroup
	for range min(n, partsAtOnce) {
		wg.Go(func() {
			for ctx.Err() == nil {
				next.Lock()
				i := number
				number++
				next.Unlock()
				if i >= n {
					return
				}
				off := int64(i) * per
				if err := writePart(ctx, u, i+1, io.NewSectionReader(data, off, min(per, size-off)), &list[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return ifAbsent(func(c objectstore.Condition) error {
		_, err := u.Complete(w.ctx, list, c)
		return err
	})
}

// ifAbsent writes an object on the condition that there is none. A store that refuses conditions is asked without: Stat has not
// found the object.
func ifAbsent(write func(objectstore.Condition) error) error {
	err := write(objectstore.Condition{Absent: true})
	if objectstore.KindOf(err) == objectstore.Unsupported {
		err = write(objectstore.Condition{})
	}
	return err
}

// abortOwn aborts our upload of a file whose object is there.
func (w *Writer) abortOwn(at place, name string, file int) {
	if id := w.log.openUpload(file); id != "" {
		_ = at.store.Resume(name, id).Abort(w.ctx) // it may be the one that made the object
	}
}

// writePart writes a part unless the store has it: has is what the store said.
func writePart(ctx context.Context, u *objectstore.Upload, number int, data *io.SectionReader, has *objectstore.Part) error {
	if has.Size == data.Size() {
		sum, err := objectstore.MD5(data, data.Size())
		if err != nil || sum == has.MD5 {
			return err
		}
	}
	p, err := u.Write(ctx, number, data, data.Size())
	if err == nil {
		*has = p
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
	}
	u, err := at.store.Begin(w.ctx, name, contentType)
	if err != nil {
		return nil, nil, err
	}
	return u, nil, w.log.began(file, u.ID)
}

// abortOrphans aborts uploads of this torrent's objects that nobody will complete: those of other nodes that ended long ago.
func (w *Writer) abortOrphans() {
	at, err := w.remote.where(w.ctx)
	if err != nil {
		return
	}
	names := map[string]bool{}
	for i := range w.o.Info.Files {
		names[at.objectOf(w.o.Info, i)] = true
	}
	prefix := at.object(w.o.Info.Name + "/")
	if !w.o.Info.IsMulti() {
		prefix = w.o.Info.Name
	}
	for u, err := range at.store.Uploads(w.ctx, prefix) {
		if err != nil {
			return
		}
		if names[u.Name] && time.Since(u.Began) > orphanAge && !w.log.isOpen(u.ID) {
			_ = u.Abort(w.ctx)
		}
	}
}

// Abandon aborts the uploads of a Writer that is closed and will not be opened again. dir is its WriterOptions.Dir.
func Abandon(ctx context.Context, store *objectstore.Store, info *metainfo.Info, dir string) error {
	log, err := openUploadLog(dir)
	if err != nil {
		return err
	}
	defer log.close()
	at, err := locate(ctx, store, info)
	for file, id := range log.open {
		if err == nil && file < len(info.Files) {
			err = at.store.Resume(at.objectOf(info, file), id).Abort(ctx)
		}
	}
	if objectstore.KindOf(err) == objectstore.NotFound {
		return nil
	}
	return err
}
