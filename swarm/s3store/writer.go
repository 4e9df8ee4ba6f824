package s3store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
	"seedbed/internal/objectstore"
	"seedbed/swarm/storage"
)

// WriterOptions configures OpenWriter.
type WriterOptions struct {
	Options
	// Local has the pieces until the store has all files. The Writer closes it.
	Local *storage.Storage
	// Dir is the folder that has Local and its record. It is the Writer's own. When the store has all files, it is renamed to
	// end with DoneSuffix, and removed.
	Dir string
	// Progress is called with the number of bytes while OpenWriter hashes what the store has already. It may be nil.
	Progress func(done, total int64)
	// Warn is called once in every outage of the store, for an error that ends uploading unless the one before had the same cause, and if
	// Dir cannot be removed. It may be nil.
	Warn func(error)
}

// A Writer is the objects of a torrent that is being downloaded into a store. It implements swarm.Remote.
//
// Pieces that the store has at the beginning are hashed and read there. The others are local until all files are uploaded. A file is
// uploaded when all its pieces are verified; nobody sees its object before it is complete. Finish waits until the store has
// everything, and then removes the local data. While the store does not work, the download goes on, and uploads are tried again.
type Writer struct {
	o      WriterOptions
	remote *Storage
	log    *uploadLog
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	// places is held for reading while the local data is used, and for writing while isInBucket changes.
	places     sync.RWMutex
	isInBucket atomic.Bool // the local data is not used any more

	mu       sync.Mutex
	verified bitset.Set     // pieces
	stored   bitset.Set     // those of them that are only in the store
	left     []int32        // pieces of each file that are not verified
	counts   int            // how often these were counted
	done     bitset.Set     // files that the store has, and those that are no objects
	queue    []int          // files to be uploaded
	queued   bitset.Set     // files in queue, and those that are being uploaded
	running  int            // files that are being uploaded
	occupied map[int]string // by file: the ETag of the object with other content that is there
	err      error          // why uploading has ended
	warned   string         // the cause of the last warning about that, until a file is uploaded
	isAway   bool           // the store does not work, which was reported
	changed  chan struct{}  // closed at the next change of the above
}

// uploadsOfOne is how many files of a torrent are uploaded at a time.
const uploadsOfOne = 8

// OpenWriter opens a torrent that is to be downloaded into a store, and hashes what the store has of it. If the store does not work,
// all is downloaded that no earlier run has hashed. ctx ends when the torrent stops: Finish then returns.
func OpenWriter(ctx context.Context, o WriterOptions) (*Writer, error) {
	if err := CheckFiles(o.Info, o.Objects.Location()); err != nil {
		return nil, err
	}
	remote, err := newStorage(o.Options)
	if err != nil {
		return nil, err
	}
	w := &Writer{o: o, remote: remote, changed: make(chan struct{}), occupied: map[int]string{}, done: bitset.New(len(o.Info.Files)), queued: bitset.New(len(o.Info.Files))}
	if w.log, err = openUploadLog(o.Dir); err != nil {
		remote.stop()
		return nil, err
	}
	for i := range o.Info.Files {
		if !o.Info.Files[i].IsRegular() || w.log.uploaded(i) != 0 {
			w.done.Add(i)
		}
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	remote.proven = bitset.New(o.Info.NumPieces())
	remote.hasWriter.Store(true)
	remote.prove(func(file int) bool { return w.log.hashed(file) != 0 })
	local := o.Local.Have()
	if err := w.findExisting(w.ctx, local, o.Progress); err != nil {
		w.stop()
		remote.stop()
		return nil, errors.Join(err, w.log.close())
	}
	w.mu.Lock()
	w.count(local)
	w.mu.Unlock()
	w.tasks.Go(w.abortOrphans)
	return w, nil
}

// Have returns the pieces that are verified, here or in the store.
func (w *Writer) Have() bitset.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.verified.Clone()
}

// count finds out which pieces are verified, and which files can be uploaded. mu is held.
func (w *Writer) count(local bitset.Set) {
	info := w.o.Info
	w.counts++
	w.remote.mu.Lock()
	w.stored = w.remote.proven.Clone()
	w.remote.mu.Unlock()
	w.stored.RemoveAll(local)
	w.verified, w.left = local.Clone(), make([]int32, len(info.Files))
	w.verified.AddAll(w.stored)
	for i := range info.Files {
		first, end := info.PiecesOf(i)
		stored := 0
		for p := first; p < end; p++ {
			if !w.verified.Has(p) {
				w.left[i]++
			} else if w.stored.Has(p) {
				stored++
			}
		}
		switch {
		case !info.Files[i].IsRegular():
		case stored > 0 && stored == end-first:
			w.done.Add(i)
		case w.left[i] > 0:
			w.done.Remove(i) // its object was there, and is not any more
		}
		w.enqueue(i)
	}
}

// enqueue uploads a file if all its pieces are verified. mu is held.
func (w *Writer) enqueue(file int) {
	if w.left[file] > 0 || w.done.Has(file) || !w.queued.Add(file) {
		return
	}
	w.queue = append(w.queue, file)
	if w.running < uploadsOfOne && w.err == nil && w.ctx.Err() == nil {
		w.running++
		w.tasks.Go(w.work)
	}
}

// work uploads files until none is left.
func (w *Writer) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && w.err == nil && w.ctx.Err() == nil {
		file, count := w.queue[0], w.counts
		w.queue = w.queue[1:]
		w.mu.Unlock()
		err := w.upload(file, count)
		w.mu.Lock()
		w.queued.Remove(file)
		switch {
		case err == nil:
			w.done.Add(file)
			w.warned = ""
		case count != w.counts: // what has failed may not be so any more
			w.enqueue(file)
		case w.err == nil:
			w.err = err
			if cause := causeOf(err); w.o.Warn != nil && w.ctx.Err() == nil && cause != w.warned {
				w.warned = cause
				w.o.Warn(err)
			}
		}
		w.signal()
	}
	w.running--
	w.signal()
}

// causeOf returns what distinguishes the errors that end uploading: a store that refuses to take one object refuses the others too.
func causeOf(err error) string {
	if isRefusal(err) {
		return fmt.Sprint("refused ", objectstore.KindOf(err))
	}
	return err.Error()
}

// signal wakes Finish. mu is held.
func (w *Writer) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// MarkVerified records that a piece is verified and written. Files that it completes are uploaded.
func (w *Writer) MarkVerified(p int) {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return
	}
	w.o.Local.MarkVerified(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.verified.Add(p) {
		return
	}
	for sp := range w.o.Info.PieceSpans(p) {
		w.left[sp.File]--
		w.enqueue(sp.File)
	}
}

// Finish returns when the store has all files. The local data is then removed.
func (w *Writer) Finish() error {
	if w.isInBucket.Load() {
		return nil
	}
	if err := w.o.Local.Finish(); err != nil {
		return err
	}
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		if err := w.await(); err != nil {
			return err
		}
		err := w.settle()
		if objectstore.KindOf(err) != objectstore.Unavailable || await.Sleep(w.ctx, wait) != nil {
			return err
		}
		w.away(err)
	}
}

// await waits until all files are uploaded.
func (w *Writer) await() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.err != nil && w.running == 0:
			return w.err
		case w.done.Count() == len(w.o.Info.Files):
			return nil
		case w.running == 0 && len(w.queue) == 0:
			return errUnverified
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-w.ctx.Done():
		}
		w.mu.Lock()
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
	}
}

// settle checks that the store has everything as it was uploaded, and then removes the local data. Files that share a piece with
// one that is not there are checked again too.
func (w *Writer) settle() error {
	if err := w.remote.survey(w.ctx); err != nil {
		return err
	}
	w.remote.restoreProven(w.log)
	have, replaced := w.remote.Have(), w.replaced()
	var lost error
	isSure := false // lost names the object that is not there, and not one that shares a piece with it
	for i := range w.o.Info.Files {
		f := &w.o.Info.Files[i]
		p, end := w.o.Info.PiecesOf(i)
		if isOurs := w.remote.isAsUploaded(i, w.log.uploaded(i)); isOurs {
			for p < end && have.Has(p) && !replaced.Has(p) {
				p++
			}
		}
		if p == end || !f.IsRegular() {
			continue
		}
		w.mu.Lock()
		w.done.Remove(i)
		w.mu.Unlock()
		if err := w.log.forget(i); err != nil {
			return err
		}
		if lacks := w.remote.forget(i); lost == nil || lacks && !isSure {
			lost, isSure = w.remote.changed(max(f.Offset, int64(p)*w.o.Info.PieceLength), 1), lacks
		}
	}
	if lost != nil {
		return lost
	}
	w.places.Lock()
	w.isInBucket.Store(true)
	w.remote.hasWriter.Store(false)
	w.places.Unlock()
	w.back()
	return errors.Join(w.o.Local.Close(), w.log.close(), w.discard())
}

// replaced returns the pieces that only the store has, and whose objects are not those any more that were hashed.
func (w *Writer) replaced() bitset.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remote.mu.Lock()
	defer w.remote.mu.Unlock()
	replaced := w.stored.Clone()
	replaced.RemoveAll(w.remote.proven)
	return replaced
}

// isAsUploaded reports whether an object is the one with the hashETag that it got when it was uploaded, or 0 if it was not.
func (s *Storage) isAsUploaded(file int, etag uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := hashETag("") // of a store without ETags
	listed := s.objects[file].etag
	return etag == 0 || listed == etag || listed == none || etag == none
}

// forget makes the next survey treat the object of a file as a new one, whose pieces may be right: it is compared with the
// local data before. It reports whether there was no object of the right size.
func (s *Storage) forget(file int) (lacked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacked = s.objects[file].etag == 0
	s.objects[file] = version{}
	return lacked
}

// DoneSuffix ends the name of a WriterOptions.Dir that is being removed because the store has everything.
const DoneSuffix = ".done"

// discard removes the local data. It is renamed first: what a kill leaves would be taken for a download that has just begun.
func (w *Writer) discard() error {
	gone := w.o.Dir + DoneSuffix
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(w.o.Dir, gone); err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil && w.o.Warn != nil {
		w.o.Warn(fmt.Errorf("the store has everything, but the local copy stays until the next start: %w", err))
	}
	return nil
}

// Complete reports whether the store has all files.
func (w *Writer) Complete() (bool, error) { return w.isInBucket.Load(), nil }

// Recheck makes the local data usable again, looks at the objects that were there before, and begins to upload again.
func (w *Writer) Recheck(ctx context.Context) (bitset.Set, error) {
	local, err := w.recheckLocal(ctx)
	if err != nil {
		return local, err
	}
	if local.Len() > 0 {
		if err := w.findExisting(ctx, local, nil); err != nil { // while reading goes on
			return local, err
		}
	}
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return w.remote.Recheck(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = nil
	for _, file := range w.queue {
		w.queued.Remove(file)
	}
	w.queue = nil
	w.count(local)
	return w.verified.Clone(), nil
}

// recheckLocal makes the local data usable again. It returns an empty set if that is not used any more.
func (w *Writer) recheckLocal(ctx context.Context) (have bitset.Set, err error) {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return have, nil
	}
	return w.o.Local.Recheck(ctx)
}

// Remote returns the objects of the torrent, for what it has asked of the store.
func (w *Writer) Remote() *Storage { return w.remote }

// Close ends all uploads. The next OpenWriter goes on with them.
func (w *Writer) Close() error {
	w.stop()
	w.tasks.Wait()
	err := w.remote.Close()
	if !w.isInBucket.Load() {
		err = errors.Join(err, w.o.Local.Close(), w.log.close())
	}
	return err
}

// errUnverified is returned by Finish when files have pieces that are not verified.
var errUnverified = errors.New("some pieces have to be verified again")
