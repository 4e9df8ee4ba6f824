package s3store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/swarm/storage"
)

// A Cache keeps verified blocks of many torrents in a folder of bounded size. Its methods may be called
// concurrently.
type Cache struct {
	dir     string
	max     int64
	handles *storage.Handles
	reader  *storage.Reader
	lock    *statefile.Lock

	mu       sync.Mutex
	blocks   *lru
	torrents map[id.ID]uint32 // numbers of torrents, for short keys
	hashes   []id.ID          // by number
	size     int64            // of blocks, and of those that are reserved
	nextFile uint32           // number of the next file
	removed  []string         // names of files to be deleted after mu is unlocked

	failure     error // why the folder could not be written to
	failedUntil time.Time

	write func(f *os.File, b []byte, off int64) (int, error)

	unsynced chan unsyncedBlock
	syncing  sync.WaitGroup
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

// unsyncedBlock is a block that is complete but has not got its final name.
type unsyncedBlock struct {
	key    blockKey
	number uint32 // of the file
	file   *os.File
}

// unsyncedBlocks is how many complete blocks may wait for the disk. Further fetches then wait for it.
const unsyncedBlocks = 16

// newSuffix ends the names of blocks that are not proven.
const newSuffix = ".new"

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
	c := &Cache{dir: dir, max: max, handles: handles, reader: reader, lock: lock, torrents: map[id.ID]uint32{}, unsynced: make(chan unsyncedBlock, unsyncedBlocks), nextFile: rand.Uint32(), blocks: newLRU(), write: (*os.File).WriteAt}
	if err := c.load(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	c.syncing.Go(c.sync)
	return c, nil
}

// MinCache is the minimum size of a cache in bytes, in which the largest number of fetches at a time has room.
const MinCache = 512 << 20

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
		var hash id.ID
		if hash, err = id.ParseHex(filepath.Base(folder)); err != nil {
			continue // not ours
		}
		list, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range list {
			block, file, isBlock := parseName(e.Name())
			fi, err := e.Info()
			switch {
			case strings.HasSuffix(e.Name(), newSuffix):
				_ = os.Remove(filepath.Join(folder, e.Name()))
			case isBlock && err == nil && fi.Mode().IsRegular() && fi.Size() <= math.MaxUint32:
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

// parseName parses the name of a proven block's file.
func parseName(s string) (block, file uint32, ok bool) {
	first, second, ok := strings.Cut(s, ".")
	b, err := strconv.ParseUint(first, 10, 32)
	f, err2 := strconv.ParseUint(second, 10, 32)
	return uint32(b), uint32(f), ok && err == nil && err2 == nil
}

// number returns the number of a torrent. mu is held.
func (c *Cache) number(hash id.ID) uint32 {
	n, ok := c.torrents[hash]
	if !ok {
		n = uint32(len(c.hashes))
		c.torrents[hash] = n
		c.hashes = append(c.hashes, hash)
	}
	return n
}

// insert adds a block in place of the one of that name, and removes others until all fit. mu is held.
func (c *Cache) insert(k blockKey, b cached) {
	c.remove(k)
	c.size += int64(b.size)
	c.blocks.set(k, b)
	c.shrink(c.max)
}

// remove removes a block. mu is held.
func (c *Cache) remove(k blockKey) {
	if b, ok := c.blocks.remove(k); ok {
		c.size -= int64(b.size)
		c.removed = append(c.removed, c.name(k, b.file), c.name(k, b.file)+newSuffix)
	}
}

// shrink removes blocks until the rest have at most max bytes. mu is held.
func (c *Cache) shrink(max int64) {
	for c.size > max {
		k, ok := c.blocks.oldest()
		if !ok {
			return
		}
		c.remove(k)
	}
}

// makeRoom removes blocks because the disk is full, and keeps the cache as small as it is then. It returns false if there was nothing
// to remove.
func (c *Cache) makeRoom(n int64) bool {
	c.mu.Lock()
	defer c.unlock()
	had := c.blocks.len()
	c.shrink(c.size - n)
	c.max = min(c.max, c.size)
	return c.blocks.len() < had
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

// name returns the name of a block's file in the folder. mu is held.
func (c *Cache) name(k blockKey, file uint32) string {
	hash := c.hashes[k.torrent].String()
	return filepath.Join(hash[:2], hash, fmt.Sprintf("%d.%d", k.block, file))
}

// reserve makes room for a block of this size that is going to be fetched. The caller calls release, or commit.
func (c *Cache) reserve(size int64) {
	c.mu.Lock()
	c.size += size
	c.shrink(c.max)
	c.unlock()
}

func (c *Cache) release(size int64) {
	c.mu.Lock()
	c.size -= size
	c.unlock()
}

// create creates the file of a block that is going to be fetched, and returns its number.
func (c *Cache) create(k blockKey) (number uint32, f *os.File, err error) {
	for range createAttempts {
		c.mu.Lock()
		number = c.nextFile
		c.nextFile++
		path := filepath.Join(c.dir, c.name(k, number))
		c.unlock()
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return 0, nil, err
		}
		if _, err := os.Lstat(path); err == nil { // of an earlier run
			continue
		}
		f, err = os.OpenFile(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) { // unlock may have removed the folder
			break
		}
	}
	return number, f, err
}

// createAttempts is how often create tries a file.
const createAttempts = 10

// add adds a block that was reserved, and whose pieces are verified or marked as bad. The caller then calls seal.
func (c *Cache) add(k blockKey, b cached) {
	c.mu.Lock()
	c.size -= int64(b.size)
	c.insert(k, b)
	c.unlock()
}

// seal takes the file of a block that was added. It waits while the disk is behind.
func (c *Cache) seal(k blockKey, b cached, f *os.File) {
	if b.partial {
		_ = f.Close()
		return
	}
	c.unsynced <- unsyncedBlock{k, b.file, f}
}

// sync gives blocks their final names after they are synced.
func (c *Cache) sync() {
	for u := range c.unsynced {
		err := errors.Join(u.file.Sync(), u.file.Close())
		c.mu.Lock()
		path := filepath.Join(c.dir, c.name(u.key, u.number))
		if b, has := c.blocks.peek(u.key); has && b.file == u.number {
			if err == nil {
				err = os.Rename(path+newSuffix, path)
			}
			if err == nil {
				b.isSynced = true
				c.blocks.set(u.key, b)
			} else { // after a failed sync nothing is known about what is on the disk
				c.remove(u.key)
			}
		}
		c.unlock()
	}
}

// get returns a block, and counts as its use.
func (c *Cache) get(k blockKey) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks.get(k)
}

// readAt reads from a block in the cache. The error is errEvicted if it is not there any longer, or errDamaged if another program
// has deleted or cut its file.
func (c *Cache) readAt(k blockKey, b []byte, off int64) error {
	for {
		c.mu.Lock()
		at, has := c.blocks.get(k)
		name := c.name(k, at.file)
		c.mu.Unlock()
		if !has {
			return errEvicted
		}
		if !at.isSynced {
			name += newSuffix
		}
		_, err := c.reader.ReadAt(name, b, off)
		if err != nil { // its folder may have been removed while it was empty, and made again
			c.handles.Forget(c.dir)
			_, err = c.reader.ReadAt(name, b, off)
		}
		c.mu.Lock()
		now, has := c.blocks.peek(k)
		same := has && now.file == at.file
		if same && err != nil && now.isSynced == at.isSynced {
			c.remove(k)
			c.unlock()
			return errDamaged
		}
		c.unlock()
		if !same { // its file may have been opened after it was deleted
			c.reader.Forget(name)
		}
		if err == nil {
			return nil
		}
	}
}

var (
	errEvicted = errors.New("the block is no longer in the cache")
	errDamaged = errors.New("another program has changed the cache")
)

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

// Close waits until all blocks are synced. No Storage may use the cache any more.
func (c *Cache) Close() error {
	close(c.unsynced)
	c.syncing.Wait()
	return c.lock.Release()
}
