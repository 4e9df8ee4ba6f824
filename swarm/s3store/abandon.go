package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// orphanAge is the time without a new part after which an upload counts as abandoned. Our clock is right enough for that: a
// store refuses signed requests of clocks that are wrong by more than 15 minutes.
const orphanAge = 24 * time.Hour

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
		if names[u.Name] && time.Since(u.Began) > orphanAge && !w.log.isOpen(u.ID) && !hasNewParts(w.ctx, u.Upload) {
			_ = u.Abort(w.ctx)
		}
	}
}

// abortOwn aborts our upload of a file whose object is there.
func (w *Writer) abortOwn(at place, name string, file int) error {
	id := w.log.openUpload(file)
	if id == "" {
		return nil
	}
	err := at.store.Resume(name, id).Abort(w.ctx)
	if err == nil || objectstore.KindOf(err) == objectstore.NotFound { // it was the one that made the object
		return nil
	}
	return w.log.strayed(file)
}

// abortStrays aborts all uploads of a file whose object is there, because the store may have one whose id we never learned. Nobody
// needs any of them: another node that is uploading the same file starts again, and then finds the object. If they cannot be
// aborted, there is only a warning.
func (w *Writer) abortStrays(file int) error {
	at, err := w.remote.where(w.ctx)
	if err != nil {
		return err
	}
	name := at.objectOf(w.o.Info, file)
	for u, e := range at.store.Uploads(w.ctx, name) {
		if e == nil && u.Name == name {
			e = u.Abort(w.ctx)
		}
		if e != nil && objectstore.KindOf(e) != objectstore.NotFound {
			err = e
			break
		}
	}
	switch objectstore.KindOf(err) {
	case 0, objectstore.Unavailable:
		return err
	}
	if w.o.Warn != nil {
		w.o.Warn(fmt.Errorf("a part of %s may be left in the store, until a rule of the bucket removes unfinished uploads: %w", at.location(w.o.Info.PathOf(file)), err))
	}
	return nil
}

// hasNewParts reports whether somebody may be writing the parts of an upload. A large object takes days on a slow line.
func hasNewParts(ctx context.Context, u *objectstore.Upload) bool {
	parts, err := u.Parts(ctx)
	if err != nil {
		return true
	}
	for _, p := range parts {
		if time.Since(p.Modified) <= orphanAge {
			return true
		}
	}
	return false
}

// Abandon aborts the uploads of a Writer that is closed and will not be opened again. dir is its WriterOptions.Dir.
func Abandon(ctx context.Context, store *objectstore.Store, info *metainfo.Info, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	log, err := openUploadLog(dir)
	if err != nil {
		return err
	}
	defer log.close()
	if len(log.open) == 0 {
		return nil
	}
	at, err := locate(ctx, store, info)
	if err != nil {
		return err
	}
	for file, id := range log.open {
		if file < 0 || file >= len(info.Files) {
			continue
		}
		e := at.store.Resume(at.objectOf(info, file), id).Abort(ctx)
		if objectstore.KindOf(e) != objectstore.NotFound {
			err = errors.Join(err, e)
		}
	}
	return err
}
