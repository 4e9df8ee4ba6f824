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
	// Warn is called once in every outage of the store, for an error that ends uploading, and if Dir cannot be removed. It may be nil.
	Warn func(error)
}

// A Writer is the objects of a torrent that is being downloaded into a store. It implements swarm.Remote.
//
// Pieces are local until all files are uploaded, and are read there. A file is uploaded when all its pieces are verified; nobody
// sees its object before it is complete. Finish waits until the store has everything, and then the local data is removed.
// While the store does not work, the download goes on, and uploads are tried again.
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
	left     []int32        // pieces of each file that are not verified
	done     bitset.Set     // files that the store has, and those that are no objects
	queue    []int          // files to be uploaded
	queued   bitset.Set     // files in queue, and those that are being uploaded
	running  int            // files that are being uploaded
	occupied map[int]string // by file: the ETag of the object with other content that is there
	err      error          // why uploading has ended
	isAway   bool           // the store does not work, which was reported
	changed  chan struct{}  // closed at the next change of the above
}

// uploadsOfOne is how many files of a torrent are uploaded at a time.
const uploadsOfOne = 8

// OpenWriter opens a torrent that is to be downloaded into a store. ctx ends when the torrent stops: Finish then returns.
func OpenWriter(ctx context.Context, o WriterOptions) (*Writer, error) {
	if err := CheckFiles(o.Info); err != nil {
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
		if !o.Info.Files[i].IsRegular() || w.log.isDone(i) {
			w.done.Add(i)
		}
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	w.mu.Lock()
	w.count(o.Local.Have())
	w.mu.Unlock()
	w.tasks.Go(w.abortOrphans)
	return w, nil
}

// count finds out which files can be uploaded. mu is held.
func (w *Writer) count(have bitset.Set) {
	info := w.o.Info
	w.verified, w.left = have.Clone(), make([]int32, len(info.Files))
	for i := range info.Files {
		first, end := info.PiecesOf(i)
		for p := first; p < end; p++ {
			if !have.Has(p) {
				w.left[i]++
			}
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
		file := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		err := w.upload(file)
		w.mu.Lock()
		w.queued.Remove(file)
		if err != nil && w.err == nil {
			w.err = err
			if w.o.Warn != nil && w.ctx.Err() == nil {
				w.o.Warn(err)
			}
		}
		if err == nil {
			w.done.Add(file)
		}
		w.signal()
	}
	w.running--
	w.signal()
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

// settle looks whether the store has everything as it was uploaded, and then removes the local data. Files that share a piece with
// one that is not there are looked at again too.
func (w *Writer) settle() error {
	if err := w.remote.survey(w.ctx); err != nil {
		return err
	}
	have := w.remote.Have()
	var lost error
	isSure := false // lost names the object that is not there, and not one that shares a piece with it
	for i := range w.o.Info.Files {
		f := &w.o.Info.Files[i]
		p, end := w.o.Info.PiecesOf(i)
		for p < end && have.Has(p) {
			p++
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
	w.places.Unlock()
	w.back()
	return errors.Join(w.o.Local.Close(), w.log.close(), w.discard())
}

// forget makes the next survey take the object of a file for another one, whose pieces may be right: it is compared with the
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

// Recheck makes the local data usable again, and begins to upload again.
func (w *Writer) Recheck(ctx context.Context) (bitset.Set, error) {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return w.remote.Recheck(ctx)
	}
	have, err := w.o.Local.Recheck(ctx)
	if err != nil {
		return have, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil && w.running > 0 { // they end
		return have, nil
	}
	w.err = nil
	for _, file := range w.queue {
		w.queued.Remove(file)
	}
	w.queue = nil
	w.count(have)
	return have, nil
}

// Fetch implements swarm.Remote.
func (w *Writer) Fetch(off, n int64, ready func(error), wanted func() bool) bool {
	return !w.isInBucket.Load() || w.remote.Fetch(off, n, ready, wanted)
}

// ReadAt reads a range that Fetch has reported to be there.
func (w *Writer) ReadAt(b []byte, off int64) error {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return w.remote.ReadAt(b, off)
	}
	return w.o.Local.ReadAt(b, off)
}

// WriteAt writes to the local data.
func (w *Writer) WriteAt(b []byte, off int64) error {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return w.remote.WriteAt(b, off)
	}
	return w.o.Local.WriteAt(b, off)
}

// MarkChunk records a part of a piece that was written.
func (w *Writer) MarkChunk(p int, begin uint32, b []byte) {
	w.places.RLock()
	defer w.places.RUnlock()
	if !w.isInBucket.Load() {
		w.o.Local.MarkChunk(p, begin, b)
	}
}

// Flush syncs the local data.
func (w *Writer) Flush() error {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return nil
	}
	return w.o.Local.Flush()
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
