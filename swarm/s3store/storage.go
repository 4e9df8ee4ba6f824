package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

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
	// IsKnown says that the store had everything earlier. Open then does not wait for the store: what it lacks by now is
	// found later, or when it is read.
	IsKnown bool
	// NeedsAnswer says that Open fails if the store does not work, because nothing is known about the objects.
	NeedsAnswer bool
	// Warn is called when the store cannot be read, or the folder of the cache cannot be written to: once for each kind of error
	// until the store can be read again, and at most once in 10 minutes for each kind and all torrents of Shared. It may be nil.
	Warn func(error)
}

// Storage is the objects of one torrent, for reading. It implements swarm.Storage, and its methods may be called
// concurrently.
type Storage struct {
	geometry
	o      Options
	shared *Shared
	number uint32 // in the cache
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	// Usage is what the torrent has asked of the store, requests of all kinds.
	Usage objectstore.Usage
	// compared is how many of the bytes in Usage were read to compare objects, and not for peers.
	compared atomic.Int64

	hasWriter atomic.Bool // the torrent is being downloaded into the store

	mu      sync.Mutex
	closed  bool
	place   place      // of the objects; without a store until it is known
	etags   []string   // of the objects that are read by several requests, by file
	objects []version  // that were seen last, by file
	bad     bitset.Set // pieces that are wrong or missing in the store
	// proven has the pieces whose hashes a Writer has compared since their objects were listed first. It has no room for any
	// without a Writer.
	proven  bitset.Set
	wrong   map[int][]int         // by unit: pieces in whose place a partial unit of the cache has other bytes
	fetches map[int]*fetch        // by unit
	damaged map[int]time.Duration // by unit: the pause before it is fetched again, because other programs damage the cache
	refused map[int]time.Time     // by unit: until when it is not asked for
	warned  trouble               // of the error that was reported since the store could be read
	running int                   // fetches that have or want a place
	queue   []*fetch              // fetches that wait until the torrent has fewer
	recent  [recentBlocks]reading // blocks that were wanted last
	served  int64                 // bytes that were read
	next    int                   // index in recent
}

// version tells an object from the one that had its name before, or will have it.
type version struct {
	etag     uint64 // hashETag of it; 0 if the object is not known
	modified int64  // when it was written, in Unix seconds; 0 if that is not known
	// isLost means that the store has said that there is no such object. Its pieces are bad until the store is asked again, but
	// nothing is known about its content.
	isLost bool
}

// hashETag returns a hash of an ETag, which may be long. It is never 0.
func hashETag(etag string) uint64 {
	sum := sha256.Sum256([]byte(etag))
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// isSame reports whether an object that is listed is the one that was seen before.
func (v version) isSame(listed version) bool {
	return !v.isLost && v.etag == listed.etag && (v.modified == 0 || v.modified == listed.modified)
}

// recentBlocks is how many readers of one torrent may read one block after another, each at its own place.
const recentBlocks = 16

// ErrUnknownHashes is returned by Open for a v2 torrent whose piece layers are not known, so that nothing can be verified.
var ErrUnknownHashes = errors.New("the hashes of the pieces are not known")

// CacheError is returned by Open if the cache is too small for the pieces of a torrent.
type CacheError struct {
	Name               string
	PieceLength, Least int64 // bytes
}

func (e *CacheError) Error() string {
	return fmt.Sprintf("%s has pieces of %d MiB, which need a cache of at least %d MiB", e.Name, e.PieceLength>>20, e.Least>>20)
}

// Hint returns what a user can do about the error.
func (e *CacheError) Hint() string { return fmt.Sprintf("use --cache-size %dM", e.Least>>20) }

// blocksInCache is how many blocks of a torrent the cache must have room for, so that they are not deleted before they are read.
const blocksInCache = 4

// Open opens the objects of a torrent. If the store does not work, the objects are looked for later.
func Open(ctx context.Context, o Options) (*Storage, error) {
	s, err := newStorage(o)
	if err != nil {
		return nil, err
	}
	if o.IsKnown {
		s.tasks.Go(func() { _ = s.survey(s.ctx) }) // without it, fetches find out
		return s, nil
	}
	if err := s.survey(ctx); err != nil && (o.NeedsAnswer || objectstore.KindOf(err) != objectstore.Unavailable) {
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
	if least := blocksInCache * o.Info.PieceLength; o.Shared.Cache.max < least {
		return nil, &CacheError{o.Info.Name, o.Info.PieceLength, least}
	}
	s := &Storage{
		geometry: newGeometry(o.Info), o: o, shared: o.Shared,
		etags: make([]string, len(o.Info.Files)), objects: make([]version, len(o.Info.Files)),
		bad: bitset.New(o.Info.NumPieces()), fetches: map[int]*fetch{}, wrong: map[int][]int{}, damaged: map[int]time.Duration{}, refused: map[int]time.Time{},
	}
	s.o.Objects = o.Objects.For(&s.Usage)
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
	seed, ours := maphash.MakeSeed(), map[uint64]bool{} // hashes of names
	for i := range s.info.Files {
		ours[maphash.String(seed, at.objectOf(s.info, i))] = true
	}
	known := map[string]objectstore.Object{}
	for o, err := range at.existing(ctx, s.info) {
		if err != nil {
			return s.fail("list", s.info.Name, err)
		}
		if ours[maphash.String(seed, o.Name)] { // others may be many
			known[o.Name] = o
		}
	}
	s.giveUp(func(f *fetch) bool { return len(f.wrong) > 0 }) // their objects may be other ones now
	partial, replaced, missing := s.compare(at, known)
	for _, unit := range partial {
		s.shared.Cache.drop(s.key(unit))
	}
	switch {
	case len(replaced) == 0:
	case s.hasWriter.Load(): // it hashes them, or has written them
		s.trust(replaced, missing)
	default:
		s.probe(ctx, at, known, replaced, missing)
	}
	return nil
}

// compare finds out which pieces the store cannot have, by the objects that it has. It returns three things:
//   - partial: the units to be removed from the cache, because what was wrong in them may be right now,
//   - replaced: the files with bad pieces that have another object now,
//   - missing: the pieces of objects that are not there.
func (s *Storage) compare(at place, known map[string]objectstore.Object) (partial, replaced []int, missing bitset.Set) {
	info := s.info
	s.mu.Lock()
	defer s.mu.Unlock()
	missing = bitset.New(info.NumPieces())
	for i := range info.Files {
		f := &info.Files[i]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		o, found := known[at.objectOf(info, i)]
		now := version{etag: hashETag(o.ETag), modified: o.Modified.Unix()}
		first, end := info.PiecesOf(i)
		if !s.objects[i].isSame(now) || !found || o.Size != f.Length {
			s.unprove(first, end)
		}
		switch {
		case !found || o.Size != f.Length:
			o.ETag, now = "", version{}
			for p := first; p < end; p++ {
				missing.Add(p)
			}
		case !s.objects[i].isSame(now) && s.hasBad(first, end): // what was wrong with it may be right now
			replaced = append(replaced, i)
		}
		s.objects[i] = now
		s.etags[i] = ""
		if f.Length > BlockSize {
			s.etags[i] = o.ETag
		}
	}
	s.bad.AddAll(missing)
	for unit := range s.wrong {
		delete(s.wrong, unit)
		partial = append(partial, unit)
	}
	return partial, replaced, missing
}

// trust marks the pieces of files as good, except for those in missing.
func (s *Storage) trust(files []int, missing bitset.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range files {
		for p, end := s.info.PiecesOf(file); p < end; p++ {
			if !missing.Has(p) {
				s.bad.Remove(p)
			}
		}
	}
}

// unprove forgets that the hashes of pieces were compared. mu is held.
func (s *Storage) unprove(first, end int) {
	for p := first; p < min(end, s.proven.Len()); p++ {
		s.proven.Remove(p)
	}
}

// Have returns the pieces that the store has, as far as that is known without reading them.
func (s *Storage) Have() bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := bitset.New(s.info.NumPieces())
	for p := range s.info.NumPieces() {
		if s.has(p) {
			have.Add(p)
		}
	}
	return have
}

// Has reports whether the store has a piece, as far as that is known without reading it.
func (s *Storage) Has(piece int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(piece)
}

// has implements Has. mu is held.
func (s *Storage) has(piece int) bool {
	return !s.bad.Has(piece) || s.isWhole(s.blockOf(piece)) || s.isWhole(s.unitOf(piece))
}

// isCached reports whether a unit is in the cache. partial means that some of its pieces may be bad.
func (s *Storage) isCached(unit int) (ok, partial bool) {
	_, size := s.bounds(unit)
	b, ok := s.shared.Cache.get(s.key(unit))
	return ok && int64(b.size) == size, b.partial
}

// isWhole reports whether a unit is in the cache without bad pieces.
func (s *Storage) isWhole(unit int) bool {
	in, partial := s.isCached(unit)
	return in && !partial
}

func (s *Storage) key(unit int) blockKey { return blockKey{s.number, uint32(unit)} }

var (
	errClosed   = errors.New("the torrent is closed")
	errNotSame  = errors.New("it is not what the torrent was made of")
	errReadOnly = errors.New("the objects are only read")
)

// changed returns the error for a range that differs from the torrent in the store, or is not there.
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
