package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/swarm/storage"
)

// A Cache keeps verified blocks of many torrents in a folder of bounded size. Its methods may be called
// concurrently.
type Cache struct {
	dir     string
	max     int64               // bytes
	space   *semaphore.Weighted // bytes that may be reserved at a time
	handles *storage.Handles
	reader  *storage.Reader
	lock    *statefile.Lock

	mu       sync.Mutex
	blocks   *lru
	torrents map[id.ID]uint32 // numbers of torrents, for short keys
	folders  []string         // of the torrents in dir, by number
	sizes    []int64          // bytes of the blocks of each torrent, by number
	size     int64            // of blocks, and of those that are reserved
	nextFile uint32           // number of the next file
	removed  []string         // names of files to be deleted after mu is unlocked

	limit      int64     // bytes, instead of max, while the disk is full
	limitUntil time.Time // when limit ends

	failure     error // why the folder could not be written to
	failedUntil time.Time

	write  func(f *os.File, b []byte, off int64) (int, error)
	rename func(from, to string) error

	unsynced chan unsyncedBlock
	closing  chan struct{} // closed by Close
	synced   chan struct{} // closed when sync has ended
}

// cached is a block in the cache.
type cached struct {
	size uint32 // in bytes; pieces have at most 512 MiB
	// file is the number of its file. A block that is fetched again gets another file, so that nobody reads
	// the old one through a descriptor that is still open.
	file uint32
	// isSynced means that the file has its final name.
	isSynced bool
	// partial means that some pieces are wrong. Such a block never gets its final name.
	partial bool
}

// blockKey identifies a block in the cache.
type blockKey struct{ torrent, block uint32 }

// OpenCache opens the cache in a folder, which is created. It deletes the least recently used blocks when they
// have more than max bytes. handles is the LRU of open files of the node.
func OpenCache(dir string, max int64, handles *storage.Handles) (*Cache, error) {
	if max < MinCache {
		return nil, fmt.Errorf("a cache of %d MiB is too small; the minimum is %d MiB", max>>20, int64(MinCache)>>20)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := statefile.LockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot use the cache in %s: %w", dir, err)
	}
	reader, err := storage.NewReader(dir, handles)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	c := &Cache{
		dir: dir, max: max, space: semaphore.NewWeighted(max / reservedPart), handles: handles, reader: reader, lock: lock,
		torrents: map[id.ID]uint32{}, nextFile: rand.Uint32(), blocks: newLRU(), write: (*os.File).WriteAt, rename: os.Rename,
		unsynced: make(chan unsyncedBlock, unsyncedBlocks), closing: make(chan struct{}), synced: make(chan struct{}),
	}
	if err := c.load(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	go c.sync()
	return c, nil
}

// MinCache is the minimum size of a cache in bytes, in which the largest number of fetches at a time has room.
const MinCache = 512 << 20

const (
	// reservedPart says how much of the cache may be reserved for blocks that are being fetched: one of so many parts. The
	// rest keeps those that were fetched until they are read.
	reservedPart = 2
	// limitTime is how long a cache stays smaller after the disk was full.
	limitTime = 5 * time.Minute
	// closeTime is how long Close waits for the disk.
	closeTime = 10 * time.Second
)

// load finds the blocks of earlier runs, and deletes what is not proven.
func (c *Cache) load() error {
	folders, err := filepath.Glob(filepath.Join(c.dir, "[0-9a-f][0-9a-f]", "*"))
	if err != nil {
		return err
	}
	type found struct {
		key   blockKey
		block cached
		at    int64 // when it was written, in Unix seconds
	}
	var all []found
	for _, folder := range folders {
		hash, err := id.ParseHex(filepath.Base(folder))
		if err != nil || folder != filepath.Join(c.dir, folderOf(hash)) || !isFolder(filepath.Dir(folder)) || !isFolder(folder) {
			continue // not ours
		}
		list, err := os.ReadDir(folder)
		if err != nil { // nobody can read it, and it costs one torrent what is there
			continue
		}
		for _, e := range list {
			name, isNew := strings.CutSuffix(e.Name(), newSuffix)
			block, file, isBlock := parseName(name)
			fi, err := e.Info()
			switch {
			case !isBlock || err != nil || !fi.Mode().IsRegular(): // not ours
			case isNew, fi.Size() == 0, fi.Size() > largestBlock:
				_ = os.Remove(filepath.Join(folder, e.Name()))
			default:
				all = append(all, found{blockKey{c.number(hash), block}, cached{size: uint32(fi.Size()), file: file, isSynced: true}, fi.ModTime().Unix()})
			}
		}
		_ = os.Remove(folder) // if it is empty
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.at, b.at) })
	c.mu.Lock()
	defer c.unlock()
	for _, f := range all {
		c.insert(f.key, f.block)
	}
	return nil
}

// largestBlock is the maximum size of a block in bytes: pieces have at most 512 MiB.
const largestBlock = 512 << 20

// isFolder reports whether a path is that of a folder, and not of a link to one: what is elsewhere is not ours to delete.
func isFolder(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.IsDir()
}

// parseName parses the name of a proven block's file, which name made.
func parseName(s string) (block, file uint32, ok bool) {
	first, second, _ := strings.Cut(s, ".")
	b, err := strconv.ParseUint(first, 10, 32)
	f, err2 := strconv.ParseUint(second, 10, 32)
	return uint32(b), uint32(f), err == nil && err2 == nil && s == fmt.Sprintf("%d.%d", b, f)
}

// folderOf returns the folder of a torrent's blocks in that of the cache.
func folderOf(hash id.ID) string {
	name := hash.String()
	return filepath.Join(name[:2], name)
}

// number returns the number of a torrent. mu is held.
func (c *Cache) number(hash id.ID) uint32 {
	n, ok := c.torrents[hash]
	if !ok {
		n = uint32(len(c.folders))
		c.torrents[hash] = n
		c.folders, c.sizes = append(c.folders, folderOf(hash)), append(c.sizes, 0)
	}
	return n
}

// insert adds a block in place of the one of that name, and removes others until all fit. mu is held.
func (c *Cache) insert(k blockKey, b cached) {
	c.remove(k)
	c.size += int64(b.size)
	c.sizes[k.torrent] += int64(b.size)
	c.blocks.set(k, b)
	c.shrink(c.bound(), &k)
}

// bound returns how many bytes the cache may have. mu is held.
func (c *Cache) bound() int64 {
	if time.Now().Before(c.limitUntil) {
		return min(c.limit, c.max)
	}
	return c.max
}

// remove removes a block. mu is held.
func (c *Cache) remove(k blockKey) {
	if b, ok := c.blocks.remove(k); ok {
		c.size -= int64(b.size)
		c.sizes[k.torrent] -= int64(b.size)
		c.removed = append(c.removed, c.name(k, b.file), c.name(k, b.file)+newSuffix)
	}
}

// shrink removes blocks, but not that of a key, until the rest have at most max bytes. mu is held.
func (c *Cache) shrink(max int64, not *blockKey) {
	for c.size > max {
		k, ok := c.blocks.oldest()
		if !ok || not != nil && k == *not { // it is the newest, so that there is no other one
			return
		}
		c.remove(k)
	}
}

// makeRoom removes blocks because the disk is full, n times the size of a block, and keeps the cache as small as it is then for a while,
// but large enough for some blocks. It returns false if there was nothing to remove.
func (c *Cache) makeRoom(size, n int64) bool {
	c.mu.Lock()
	defer c.unlock()
	had := c.blocks.len()
	c.shrink(c.size-n*size, nil)
	c.limit, c.limitUntil = max(c.size, blocksInCache*size), time.Now().Add(limitTime)
	return c.blocks.len() < had
}

// isLimited reports whether the disk was full a while ago, so that the cache is kept small.
func (c *Cache) isLimited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.limitUntil)
}

// failed records that the folder cannot be written to. Until some time later check returns the error, so that nothing is fetched
// in vain.
func (c *Cache) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure, c.failedUntil = err, time.Now().Add(retryLongest)
}

// check returns why the folder could not be written to shortly before, or nil.
func (c *Cache) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.failedUntil) {
		return c.failure
	}
	return nil
}

// unlock unlocks mu and deletes the files of removed blocks.
func (c *Cache) unlock() {
	gone := c.removed
	c.removed = nil
	c.mu.Unlock()
	for _, name := range gone {
		_ = os.Remove(filepath.Join(c.dir, name))
		c.reader.Forget(name)                                   // an open file keeps its room on the disk
		_ = os.Remove(filepath.Dir(filepath.Join(c.dir, name))) // if it is empty
	}
}

// name returns the name of a block's file in the folder. mu is held. Each read of the cache calls it.
func (c *Cache) name(k blockKey, file uint32) string {
	var b [64]byte
	name := append(append(b[:0], c.folders[k.torrent]...), filepath.Separator)
	name = append(strconv.AppendUint(name, uint64(k.block), 10), '.')
	return string(strconv.AppendUint(name, uint64(file), 10))
}

// reserve makes room for a block of this size that is going to be fetched. It waits while too much is reserved, because blocks
// would be removed before they are read, and fetched again. The caller calls release, or add.
func (c *Cache) reserve(ctx context.Context, size int64) error {
	if err := c.space.Acquire(ctx, size); err != nil {
		return err
	}
	c.mu.Lock()
	c.size += size
	c.shrink(c.bound(), nil)
	c.unlock()
	return nil
}

func (c *Cache) release(size int64) {
	c.mu.Lock()
	c.size -= size
	c.unlock()
	c.space.Release(size)
}

// add adds a block that was reserved, and whose pieces are verified or marked as bad. The caller then calls seal.
func (c *Cache) add(k blockKey, b cached) {
	c.mu.Lock()
	c.size -= int64(b.size)
	c.insert(k, b)
	c.unlock()
	c.space.Release(int64(b.size))
}

// get returns a block, and counts as its use.
func (c *Cache) get(k blockKey) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks.get(k)
}

// drop removes a block.
func (c *Cache) drop(k blockKey) {
	c.mu.Lock()
	c.remove(k)
	c.unlock()
}

// Dir returns the folder of the cache.
func (c *Cache) Dir() string { return c.dir }

// Size returns the number of blocks and their bytes.
func (c *Cache) Size() (blocks int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks.len(), c.size
}

// TorrentSize returns the number of bytes of a torrent's blocks.
func (c *Cache) TorrentSize(hash id.ID) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.torrents[hash]
	if !ok {
		return 0
	}
	return c.sizes[n]
}

// Close waits until all blocks are synced, but not for ever. No Storage may use the cache any more. If the disk does not answer, the
// folder stays locked until the process ends.
func (c *Cache) Close() error {
	close(c.closing)
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-c.synced:
		return c.lock.Release()
	case <-timer.C:
		return fmt.Errorf("the disk of the cache %s does not answer", c.dir)
	}
}
