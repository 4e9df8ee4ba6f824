package s3store

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// A fetch brings a unit from the store into the cache.
type fetch struct {
	s     *Storage
	unit  int
	delay time.Duration // before it begins
	file  *os.File
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{} // closed at the end
	// doubted is a piece that was wrong and is fetched again, plus 1. One wrong answer does not count: a fault on the way may
	// have changed it.
	doubted int

	// The following are guarded by s.mu.
	verified int64 // bytes from the beginning of the unit that can be read from file, except for bad pieces
	wrong    []int // pieces whose hash is wrong, so that file has other bytes in their place
	missing  []int // files whose objects the store did not have, in this attempt
	inCache  bool  // it is read from there
	away     bool  // the store does not work: nobody waits
	isAhead  bool  // nobody has wanted a part of it yet
	givenUp  bool  // it ends, and those who want a part of it ask again
	waiting  []waiter
	readers  sync.WaitGroup // reads of file
}

// waiter is somebody who waits for a part of a unit.
type waiter struct {
	ready  func(error)
	wanted func() bool
	end    int64 // of the part, in the unit
}

var (
	errUnwanted = errors.New("nobody wants it any more")
	errDoubtful = errors.New("the bytes are not those of the torrent")
)

// want returns the fetch of a unit, which it begins if necessary. s.mu is held.
func (s *Storage) want(unit int) *fetch {
	f := s.fetches[unit]
	if f != nil {
		return f
	}
	f = &fetch{s: s, unit: unit, delay: s.damaged[unit], isAhead: true, done: make(chan struct{})}
	f.ctx, f.stop = context.WithCancel(s.ctx)
	s.fetches[unit] = f
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

// isWanted reports whether somebody waits for a fetch, or it is ahead of all readers.
func (f *fetch) isWanted() bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return len(f.waiting) == 0 || slices.ContainsFunc(f.waiting, func(w waiter) bool { return w.wanted() })
}

// wait tells w when its part can be read, when the fetch has ended, or when the store is away. s.mu is held.
func (f *fetch) wait(w waiter) {
	f.isAhead = false
	if f.away {
		go w.ready(storage.ErrAway)
		return
	}
	f.waiting = append(f.waiting, w)
}

// setAway tells everybody who waits for something of the torrent that the store is away. The fetches go on.
func (s *Storage) setAway() {
	s.shared.away.set(true)
	s.mu.Lock()
	var list []waiter
	for _, f := range s.fetches {
		list = append(list, f.waiting...)
		f.waiting, f.away = nil, true
	}
	s.mu.Unlock()
	for _, w := range list {
		w.ready(storage.ErrAway)
	}
}

// begin waits for a place among the fetches of the node. All of them may be taken by those that fail.
func (f *fetch) begin() error {
	for {
		ctx, cancel := context.WithTimeout(f.ctx, awayAfter)
		err := f.s.shared.begin(ctx)
		cancel()
		if err == nil || f.ctx.Err() != nil {
			return err
		}
		if f.s.shared.away.get() {
			f.s.setAway()
		}
	}
}

// wake tells those whose part can be read, or everybody if the fetch has ended.
func (f *fetch) wake(ended bool, err error) {
	f.s.mu.Lock()
	var list, rest []waiter
	for _, w := range f.waiting {
		if ended || w.end <= f.verified {
			list = append(list, w)
		} else {
			rest = append(rest, w)
		}
	}
	f.waiting = rest
	f.s.mu.Unlock()
	for _, w := range list {
		w.ready(err)
	}
}

// run fetches the unit, and puts it into the cache.
func (f *fetch) run() error {
	s := f.s
	if f.delay > 0 {
		if err := await.Sleep(f.ctx, f.delay); err != nil {
			return err
		}
	}
	if err := f.begin(); err != nil {
		return err
	}
	defer s.shared.end()
	if !f.isWanted() {
		return errUnwanted
	}
	c := s.shared.Cache
	if err := c.check(); err != nil {
		return err
	}
	_, size := s.bounds(f.unit)
	if err := c.reserve(f.ctx, size); err != nil {
		return err
	}
	number, err := f.fill()
	if err != nil {
		c.release(size)
		var local *storage.Error
		if errors.As(err, &local) {
			c.failed(err)
		}
		return err
	}
	s.mu.Lock()
	b := cached{size: uint32(size), file: number, partial: len(f.wrong) > 0}
	if b.partial {
		s.wrong[f.unit] = f.wrong
	}
	s.mu.Unlock()
	key := s.key(f.unit)
	c.add(key, b)
	s.mu.Lock()
	f.inCache = true
	s.mu.Unlock()
	f.readers.Wait()
	c.seal(key, b, f.file)
	return nil
}

// fill fetches the unit into a file of the cache, and returns the number of the file. While the store does not work, it tries again.
// If the disk is full, it makes room.
func (f *fetch) fill() (number uint32, err error) {
	s, c := f.s, f.s.shared.Cache
	begin, size := s.bounds(f.unit)
	number, file, err := c.create(s.key(f.unit))
	if err != nil {
		return 0, storage.Wrap("write", c.Dir(), err)
	}
	s.mu.Lock()
	f.file = file
	s.mu.Unlock()
	deadline, mark := time.Now().Add(fetchTime), int64(0)
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		before := f.progress()
		err := f.attempt(begin, size)
		now := f.progress()
		if now > before {
			wait = retryFirst
		}
		if now >= mark+objectstore.MinSlow { // with less, it would go on for hours
			deadline, mark = time.Now().Add(fetchTime), now
		}
		var local *storage.Error
		switch {
		case err == errDoubtful:
			if err := await.Sleep(f.ctx, doubtTime); err != nil {
				return number, err
			}
		case errors.As(err, &local) && local.Kind == storage.Full:
			if err := f.makeRoom(size, err); err != nil {
				return number, err
			}
		case objectstore.KindOf(err) != objectstore.Unavailable || time.Now().After(deadline):
			return number, err
		case !f.isWanted():
			return number, errUnwanted
		case time.Until(deadline) <= fetchTime-awayAfter:
			s.warn(err)
			s.setAway()
			fallthrough
		default:
			if await.Sleep(f.ctx, wait) != nil {
				return number, err
			}
		}
	}
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
	if isRefusal(err) {
		err = s.refuse(f.unit, err)
	}
	s.mu.Lock()
	s.running--
	givenUp := f.givenUp
	delete(s.fetches, f.unit)
	if len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.start(next)
	}
	s.mu.Unlock()
	if err == errUnwanted || givenUp { // those who have come since want it: they ask again
		f.wake(true, nil)
	} else {
		f.wake(true, err)
	}
	if err != nil && f.file != nil {
		f.readers.Wait()
		_ = f.file.Close()
		_ = os.Remove(f.file.Name())
	}
}

// attempt fetches what is missing of the unit, which has size bytes from begin in the torrent.
func (f *fetch) attempt(begin, size int64) error {
	s := f.s
	s.mu.Lock()
	from := begin + f.verified
	f.missing = nil
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(f.ctx)
	src := newSource(s.info, from, begin+size-from, func(sp metainfo.Span) (io.ReadCloser, error) { return f.open(ctx, sp) })
	defer src.close()
	defer cancel()
	buffer := s.shared.buffers.Get().(*[]byte)
	defer s.shared.buffers.Put(buffer)
	for from < begin+size {
		p := int(from / s.info.PieceLength)
		if err := f.piece(src, p, from-begin, *buffer); err != nil {
			return err
		}
		from += s.info.PieceSize(p)
		s.shared.away.set(false)
		s.mu.Lock()
		f.verified, f.away, s.warned = from-begin, false, trouble{}
		s.mu.Unlock()
		f.wake(false, nil)
	}
	return nil
}

// piece copies a piece to the file, and compares its hash.
func (f *fetch) piece(src io.Reader, p int, at int64, buffer []byte) error {
	s := f.s
	digest, err := hashPiece(src, s.info.NewPieceHash(p), s.info, p, buffer, func(b []byte, off int64) error {
		if _, err := s.shared.Cache.write(f.file, b, at+off); err != nil {
			return storage.Wrap("write", s.shared.Cache.Dir(), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if digest == s.info.Digest(p) {
		if f.doubted == p+1 {
			f.doubted = 0
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.doubted == 0 && !s.isLost(p) && !s.bad.Has(p) {
		f.doubted = p + 1
		return errDoubtful
	}
	s.bad.Add(p)
	f.wrong = append(f.wrong, p)
	for sp := range s.info.PieceSpans(p) {
		if slices.Contains(f.missing, sp.File) {
			s.lose(sp.File)
		}
	}
	return nil
}

// open asks the store for a part of a file, as Storage.openOrZeros does.
func (f *fetch) open(ctx context.Context, sp metainfo.Span) (io.ReadCloser, error) {
	s := f.s
	s.mu.Lock()
	allBad := s.areBad(sp)
	s.mu.Unlock()
	if allBad { // it would be wrong again, or the object is missing
		return nil, nil
	}
	return s.openOrZeros(ctx, sp, func() {
		s.mu.Lock()
		f.missing = append(f.missing, sp.File)
		s.mu.Unlock()
	})
}
