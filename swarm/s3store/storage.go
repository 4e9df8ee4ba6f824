package s3store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// Options configures Open.
type Options struct {
	Info    *metainfo.Info // with all hashes
	Hash    id.ID          // of the torrent, which names its blocks in the cache
	Objects *objectstore.Store
	Shared  *Shared
}

// Storage is the objects of one torrent, for reading. It implements swarm.Storage, and its methods may be called
// concurrently.
type Storage struct {
	geometry
	o      Options
	shared *Shared
	number uint32 // in the cache
	seed   maphash.Seed
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	// Usage is what the torrent has asked of the store.
	Usage objectstore.Usage

	mu      sync.Mutex
	closed  bool
	place   place             // of the objects; without a store until it is known
	etags   []string          // of the objects that are read by several requests, by file
	marks   []uint64          // of the ETags of all objects; 0 for those that are not known
	bad     bitset.Set        // pieces that the store does not have as the torrent says
	wrong   map[int][]int     // by block: pieces in whose place a partial block of the cache has other bytes
	fetches map[int]*fetch    // by block
	running int               // fetches that have or want a place
	queue   []*fetch          // fetches that wait until the torrent has fewer
	recent  [recentBlocks]int // blocks that were wanted last, plus 1
	next    int               // index in recent
}

// recentBlocks is how many readers of one torrent may read one block after another, each at its own place.
const recentBlocks = 16

// ErrUnknownHashes is returned by Open for a v2 torrent whose piece layers are not known, so that nothing can be verified.
var ErrUnknownHashes = errors.New("the hashes of the pieces are not known")

// Open opens the objects of a torrent. If the store does not work, the objects are looked for later.
func Open(ctx context.Context, o Options) (*Storage, error) {
	s, err := newStorage(o)
	if err != nil {
		return nil, err
	}
	if err := s.survey(ctx); err != nil && objectstore.KindOf(err) != objectstore.Unavailable {
		s.stop()
		return nil, err
	}
	return s, nil
}

// newStorage returns a Storage that knows nothing about its objects.
func newStorage(o Options) (*Storage, error) {
	if o.Info.LacksLayers() {
		return nil, ErrUnknownHashes
	}
	s := &Storage{
		geometry: newGeometry(o.Info), o: o, shared: o.Shared, seed: maphash.MakeSeed(),
		etags: make([]string, len(o.Info.Files)), marks: make([]uint64, len(o.Info.Files)),
		bad: bitset.New(o.Info.NumPieces()), fetches: map[int]*fetch{}, wrong: map[int][]int{},
	}
	c := o.Shared.Cache
	c.mu.Lock()
	s.number = c.number(o.Hash)
	c.unlock()
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// where returns the place of the objects. The first call that succeeds finds it.
func (s *Storage) where(ctx context.Context) (place, error) {
	s.mu.Lock()
	p := s.place
	s.mu.Unlock()
	if p.store != nil {
		return p, nil
	}
	p, err := locate(ctx, s.o.Objects, s.info)
	if err != nil {
		return place{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.place.store == nil {
		s.place = p
	}
	return s.place, nil
}

// survey lists the objects of the torrent, and finds out which pieces the store cannot have.
func (s *Storage) survey(ctx context.Context) error {
	at, err := s.where(ctx)
	if err != nil {
		return s.fail("find", s.info.Name, err)
	}
	known := map[string]objectstore.Object{}
	info := s.info
	if info.IsMulti() {
		wanted := len(info.Files)
		for o, err := range at.store.List(ctx, at.object(info.Name+"/")) {
			if err != nil {
				return s.fail("list", info.Name, err)
			}
			if len(known) > maxListed*wanted+maxListed { // others have put many more objects there
				return s.fail("list", info.Name, fmt.Errorf("there are more than %d objects, and the torrent has %d files", len(known), wanted))
			}
			known[o.Name] = o
		}
	} else {
		o, err := at.store.Stat(ctx, info.Name)
		switch {
		case err == nil:
			known[info.Name] = o
		case objectstore.KindOf(err) != objectstore.NotFound:
			return s.fail("find", info.Name, err)
		}
	}
	s.stopWrong()
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := bitset.New(info.NumPieces())
	for i := range info.Files {
		f := &info.Files[i]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		o, found := known[at.objectOf(info, i)]
		first, end := info.PiecesOf(i)
		mark := maphash.String(s.seed, o.ETag)
		switch {
		case !found || o.Size != f.Length:
			for p := first; p < end; p++ {
				bad.Add(p)
			}
			o.ETag, mark = "", 0
		case mark == s.marks[i]: // what was wrong with it is wrong still
			for p := first; p < end; p++ {
				if s.bad.Has(p) {
					bad.Add(p)
				}
			}
		}
		s.marks[i] = mark
		s.etags[i] = ""
		if f.Length > BlockSize {
			s.etags[i] = o.ETag
		}
	}
	s.bad = bad
	for block := range s.wrong { // it may be right now
		delete(s.wrong, block)
		s.shared.Cache.drop(s.key(block))
	}
	return nil
}

// stopWrong ends the fetches that have found wrong pieces: their objects may be other ones now.
func (s *Storage) stopWrong() {
	s.mu.Lock()
	var wrong []*fetch
	for _, f := range s.fetches {
		if len(f.wrong) > 0 {
			wrong = append(wrong, f)
		}
	}
	s.mu.Unlock()
	for _, f := range wrong {
		f.stop()
		<-f.done
	}
}

// maxListed is how many objects that are not in the torrent its folder may have for each that is.
const maxListed = 16

// Have returns the pieces that the store has, as far as that is known without reading them.
func (s *Storage) Have() bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := bitset.New(s.info.NumPieces())
	for p := range s.info.NumPieces() {
		ok := !s.bad.Has(p)
		if !ok {
			in, partial := s.isCached(s.blockOf(int64(p) * s.info.PieceLength))
			ok = in && !partial
		}
		if ok {
			have.Add(p)
		}
	}
	return have
}

// isCached reports whether a block is in the cache. partial means that some of its pieces may be bad.
func (s *Storage) isCached(block int) (ok, partial bool) {
	_, size := s.bounds(block)
	b, ok := s.shared.Cache.get(s.key(block))
	return ok && b.size == size, b.partial
}

func (s *Storage) key(block int) blockKey { return blockKey{s.number, uint32(block)} }

// Fetch reports whether ReadAt can read the range without the store, or will return why it cannot be read. Otherwise
// the range is fetched, and ready is called once, on another goroutine: with nil when it is worth asking again, or with
// the reason why the range cannot be fetched now.
func (s *Storage) Fetch(off, n int64, ready func(error)) bool {
	if s.fetch(off, n, ready) {
		s.shared.hits.Add(1)
		return true
	}
	s.shared.misses.Add(1)
	return false
}

func (s *Storage) fetch(off, n int64, ready func(error)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for block := s.blockOf(off); block <= s.blockOf(off+n-1); block++ {
		if s.closed || s.isLocal(block, off, n) {
			continue
		}
		s.want(block).wait(ready)
		s.readAhead(block)
		return false
	}
	s.readAhead(s.blockOf(off))
	return true
}

// isLocal reports whether the part of a range that is in a block can be read, or never will. mu is held.
func (s *Storage) isLocal(block int, off, n int64) bool {
	if f := s.fetches[block]; f != nil {
		begin, _ := s.bounds(block)
		return off+n <= begin+f.verified
	}
	if in, partial := s.isCached(block); in && (!partial || s.wrong[block] != nil) {
		return true
	}
	begin, size := s.bounds(block)
	return s.hasBad(max(off, begin), min(off+n, begin+size))
}

// hasBad reports whether a range has bytes of a bad piece. mu is held.
func (s *Storage) hasBad(from, to int64) bool {
	for p := from / s.info.PieceLength; p*s.info.PieceLength < to; p++ {
		if s.bad.Has(int(p)) {
			return true
		}
	}
	return false
}

// readAhead fetches the block after one that is wanted, if the one before was wanted recently. mu is held.
func (s *Storage) readAhead(block int) {
	mark := block + 1
	follows := false
	for _, r := range s.recent {
		if r == mark { // it was noticed before
			return
		}
		follows = follows || r == mark-1 && r > 0
	}
	s.recent[s.next] = mark
	s.next = (s.next + 1) % recentBlocks
	after := block + 1
	if !follows || s.closed || after >= s.numBlocks() || s.fetches[after] != nil || s.running >= fetchesOfOne {
		return
	}
	if in, _ := s.isCached(after); in {
		return
	}
	first, end := s.pieces(after)
	if !s.hasBad(int64(first)*s.info.PieceLength, int64(end)*s.info.PieceLength) {
		s.want(after)
	}
}

// ReadAt reads a range that Fetch has reported to be there. Otherwise the error is storage.ErrNotLocal. If the store does not have
// the bytes of the torrent, it is a *storage.Error of kind Changed.
func (s *Storage) ReadAt(b []byte, off int64) error {
	for len(b) > 0 {
		block := s.blockOf(off)
		begin, size := s.bounds(block)
		n := min(int64(len(b)), begin+size-off)
		if err := s.readBlock(block, b[:n], off-begin); err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

func (s *Storage) readBlock(block int, b []byte, at int64) error {
	begin, _ := s.bounds(block)
	from, n := begin+at, int64(len(b))
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return s.fail("read", s.info.Name, errClosed)
	}
	bad := s.hasBad(from, from+n)
	if f := s.fetches[block]; f != nil && at+n <= f.verified && !f.inCache {
		if s.overlaps(f.wrong, from, from+n) {
			s.mu.Unlock()
			return s.changed(from, n)
		}
		f.readers.Add(1)
		s.mu.Unlock()
		defer f.readers.Done()
		_, err := f.file.ReadAt(b, at)
		return err
	}
	in, partial := s.isCached(block)
	in = in && (!partial || s.wrong[block] != nil && !s.overlaps(s.wrong[block], from, from+n))
	s.mu.Unlock()
	if in && s.shared.Cache.readAt(s.key(block), b, at) == nil {
		return nil
	}
	if bad {
		return s.changed(from, n)
	}
	return storage.ErrNotLocal
}

// overlaps reports whether a range has bytes of one of the pieces.
func (s *Storage) overlaps(pieces []int, from, to int64) bool {
	return slices.ContainsFunc(pieces, func(p int) bool {
		begin := int64(p) * s.info.PieceLength
		return begin < to && from < begin+s.info.PieceLength
	})
}

var (
	errClosed   = errors.New("the torrent is closed")
	errNotSame  = errors.New("it is not what the torrent was made of")
	errReadOnly = errors.New("the objects are only read")
)

// changed returns the error for a range that the store has not as the torrent says.
func (s *Storage) changed(off, n int64) error {
	first := int(off / s.info.PieceLength)
	file := s.info.Name
	for sp := range s.info.Spans(off, n) {
		if !s.info.Files[sp.File].Pad {
			file = s.info.PathOf(sp.File)
			break
		}
	}
	e := storage.Wrap("read", s.location(file), errNotSame)
	e.Kind, e.First, e.End = storage.Changed, first, int((off+n-1)/s.info.PieceLength)+1
	return e
}

// fail wraps an error of the store so that others of a torrent know what to do.
func (s *Storage) fail(op, name string, err error) error {
	if objectstore.KindOf(err) != 0 {
		return err
	}
	return storage.Wrap(op, s.location(name), err)
}

// location returns where a path of the torrent is, for messages.
func (s *Storage) location(path string) string {
	s.mu.Lock()
	p := s.place
	s.mu.Unlock()
	if p.store == nil {
		p.store = s.o.Objects
	}
	return p.location(path)
}

// Recheck looks at the objects again, and returns the pieces that can be read. If the store does not work, these are the same
// as before.
func (s *Storage) Recheck(ctx context.Context) (bitset.Set, error) {
	if err := s.survey(ctx); err != nil && objectstore.KindOf(err) != objectstore.Unavailable {
		return bitset.Set{}, err
	}
	return s.Have(), nil
}

// Close ends all fetches.
func (s *Storage) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.tasks.Wait()
	return nil
}

// The rest of swarm.Storage is about writing.

// WriteAt fails: the objects are only read.
func (s *Storage) WriteAt([]byte, int64) error { return s.fail("write", s.info.Name, errReadOnly) }

// MarkVerified does nothing.
func (s *Storage) MarkVerified(int) {}

// MarkChunk does nothing.
func (s *Storage) MarkChunk(int, uint32, []byte) {}

// Flush does nothing.
func (s *Storage) Flush() error { return nil }

// Finish does nothing.
func (s *Storage) Finish() error { return nil }

// Complete reports whether the store has everything, as far as that is known.
func (s *Storage) Complete() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad.Count() == 0, nil
}
