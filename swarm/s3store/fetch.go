package s3store

import (
	"context"
	"hash/maphash"
	"io"
	"os"
	"sync"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// A fetch brings a block from the store into the cache.
type fetch struct {
	s     *Storage
	block int
	file  *os.File
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{} // closed at the end

	// The following are guarded by s.mu.
	verified int64 // bytes from the beginning of the block that can be read from file, except for bad pieces
	wrong    []int // pieces whose hash is wrong, so that file has other bytes in their place
	inCache  bool  // it is read from there
	waiting  []func(error)
	readers  sync.WaitGroup // reads of file
}

// want returns the fetch of a block, which it begins if necessary. s.mu is held.
func (s *Storage) want(block int) *fetch {
	f := s.fetches[block]
	if f != nil {
		return f
	}
	f = &fetch{s: s, block: block, done: make(chan struct{})}
	f.ctx, f.stop = context.WithCancel(s.ctx)
	s.fetches[block] = f
	if s.running == fetchesOfOne {
		s.queue = append(s.queue, f)
		return f
	}
	s.start(f)
	return f
}

// start runs a fetch. s.mu is held.
func (s *Storage) start(f *fetch) {
	s.running++
	s.tasks.Go(func() {
		f.end(f.run())
	})
}

// wait calls ready when more of the block can be read, or when the fetch has ended. s.mu is held.
func (f *fetch) wait(ready func(error)) { f.waiting = append(f.waiting, ready) }

// wake calls everybody who waits.
func (f *fetch) wake(err error) {
	f.s.mu.Lock()
	list := f.waiting
	f.waiting = nil
	f.s.mu.Unlock()
	for _, ready := range list {
		ready(err)
	}
}

// run fetches the block, and puts it into the cache.
func (f *fetch) run() error {
	s := f.s
	if err := s.shared.begin(f.ctx); err != nil {
		return err
	}
	defer s.shared.end()
	c, key := s.shared.Cache, s.key(f.block)
	begin, size := s.bounds(f.block)
	c.reserve(size)
	number, file, err := c.create(key)
	if err != nil {
		c.release(size)
		return storage.Wrap("write", s.shared.Cache.Dir(), err)
	}
	s.mu.Lock()
	f.file = file
	s.mu.Unlock()
	deadline := time.Now().Add(fetchTime)
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		before := f.progress()
		err = f.attempt(begin, size)
		if f.progress() > before {
			deadline, wait = time.Now().Add(fetchTime), retryFirst
		}
		if objectstore.KindOf(err) != objectstore.Unavailable || time.Now().After(deadline) || !pause(f.ctx, wait) {
			break
		}
	}
	if err != nil {
		c.release(size)
		return err
	}
	s.mu.Lock()
	b := cached{size: size, file: number, partial: len(f.wrong) > 0}
	if b.partial {
		s.wrong[f.block] = f.wrong
	}
	s.mu.Unlock()
	c.add(key, b)
	s.mu.Lock()
	f.inCache = true
	s.mu.Unlock()
	f.readers.Wait()
	c.seal(key, b, file)
	return nil
}

// progress returns how much of the block is verified.
func (f *fetch) progress() int64 {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.verified
}

// end forgets the fetch, and tells everybody who waits.
func (f *fetch) end(err error) {
	defer close(f.done)
	f.stop()
	s := f.s
	s.mu.Lock()
	s.running--
	delete(s.fetches, f.block)
	if len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.start(next)
	}
	s.mu.Unlock()
	f.wake(err)
	if err != nil && f.file != nil {
		f.readers.Wait()
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// attempt fetches what is missing of the block, which has size bytes from begin in the torrent.
func (f *fetch) attempt(begin, size int64) error {
	s := f.s
	from := begin + f.progress()
	src := newSource(s.info, from, begin+size-from, f.open)
	defer src.close()
	buffer := s.shared.buffers.Get().(*[]byte)
	defer s.shared.buffers.Put(buffer)
	for from < begin+size {
		p := int(from / s.info.PieceLength)
		n := min(s.info.PieceSize(p), begin+size-from)
		if err := f.piece(src, p, n, from-begin, *buffer); err != nil {
			return err
		}
		from += n
		s.mu.Lock()
		f.verified = from - begin
		s.mu.Unlock()
		f.wake(nil)
	}
	return nil
}

// piece copies a piece of n bytes to the file, and compares its hash.
func (f *fetch) piece(src io.Reader, p int, n, at int64, buffer []byte) error {
	s := f.s
	h := s.info.NewPieceHash(p)
	data := s.info.DataSize(p)
	for done := int64(0); done < n; {
		b := buffer[:min(int64(len(buffer)), n-done)]
		if _, err := io.ReadFull(src, b); err != nil {
			return err
		}
		if done < data {
			_, _ = h.Write(b[:min(int64(len(b)), data-done)])
		}
		if _, err := f.file.WriteAt(b, at+done); err != nil {
			return storage.Wrap("write", s.shared.Cache.Dir(), err)
		}
		done += int64(len(b))
	}
	if h.Digest() == s.info.Digest(p) {
		return nil
	}
	s.mu.Lock()
	s.bad.Add(p)
	f.wrong = append(f.wrong, p)
	s.mu.Unlock()
	return nil
}

// open asks the store for a part of a file.
func (f *fetch) open(sp metainfo.Span) (io.ReadCloser, error) {
	s := f.s
	at, err := s.where(f.ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	o := objectstore.Object{Name: at.objectOf(s.info, sp.File), Size: s.info.Files[sp.File].Length, ETag: s.etags[sp.File]}
	s.mu.Unlock()
	body, etag, err := at.store.Read(f.ctx, o, sp.Offset, sp.Length, &s.Usage)
	switch objectstore.KindOf(err) {
	case objectstore.Changed, objectstore.NotFound: // zeros are hashed in its place, and are wrong
		s.gone(sp.File)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.marks[sp.File] = maphash.String(s.seed, etag)
	s.mu.Unlock()
	return body, nil
}

// gone records that an object is not the one that the torrent was made of.
func (s *Storage) gone(file int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, end := s.info.PiecesOf(file)
	for p := first; p < end; p++ {
		s.bad.Add(p)
	}
}
