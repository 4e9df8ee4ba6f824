package s3store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/swarm/storage"
)

// A Cache keeps verified blocks of many torrents in a folder of bounded size. Its methods may be called
// concurrently.
type Cache struct {
	dir    string
	max    int64
	reader *storage.Reader
	lock   *statefile.Lock

	mu       sync.Mutex
	blocks   *simplelru.LRU[blockKey, cached]
	torrents map[id.ID]uint32 // numbers of torrents, for short keys
	hashes   []id.ID          // by number
	size     int64            // of blocks, and of those that are reserved
	evicted  []blockKey       // to be deleted after mu is unlocked

	unsynced chan unsyncedBlock
	syncing  sync.WaitGroup
}

// cached is a block in the cache.
type cached struct {
	size int64
	// partial means that some pieces are wrong. Such a block never gets its final name.
	partial bool
}

// blockKey identifies a block in the cache.
type blockKey struct{ torrent, block uint32 }

// unsyncedBlock is a block that is complete but has not got its final name.
type unsyncedBlock struct {
	key  blockKey
	file *os.File
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
	c := &Cache{dir: dir, max: max, reader: reader, lock: lock, torrents: map[id.ID]uint32{}, unsynced: make(chan unsyncedBlock, unsyncedBlocks)}
	c.blocks, _ = simplelru.NewLRU(math.MaxInt32, func(k blockKey, b cached) { // the size in bytes is what counts
		c.size -= b.size
		c.evicted = append(c.evicted, k)
	})
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
			block, err := strconv.ParseUint(e.Name(), 10, 32)
			fi, serr := e.Info()
			switch {
			case strings.HasSuffix(e.Name(), newSuffix):
				_ = os.Remove(filepath.Join(folder, e.Name()))
			case err == nil && serr == nil && fi.Mode().IsRegular():
				c.mu.Lock()
				c.insert(blockKey{c.number(hash), uint32(block)}, cached{size: fi.Size()})
				c.unlock()
			}
		}
		_ = os.Remove(folder) // if it is empty
	}
	return nil
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

// insert adds a block, and removes others until all fit. mu is held.
func (c *Cache) insert(k blockKey, b cached) {
	c.size += b.size
	c.blocks.Add(k, b)
	c.shrink()
}

// shrink removes blocks until the rest fit. mu is held.
func (c *Cache) shrink() {
	for c.size > c.max && c.blocks.Len() > 0 {
		c.blocks.RemoveOldest()
	}
}

// unlock unlocks mu and deletes the files of removed blocks.
func (c *Cache) unlock() {
	gone := c.evicted
	c.evicted = nil
	paths := make([]string, len(gone))
	for i, k := range gone {
		paths[i] = c.path(k)
	}
	c.mu.Unlock()
	for _, p := range paths {
		_ = os.Remove(p)
		_ = os.Remove(p + newSuffix)
		_ = os.Remove(filepath.Dir(p)) // if it is empty
	}
}

// name returns the name of a block's file in the folder. mu is held.
func (c *Cache) name(k blockKey) string {
	hash := c.hashes[k.torrent].String()
	return filepath.Join(hash[:2], hash, strconv.FormatUint(uint64(k.block), 10))
}

func (c *Cache) path(k blockKey) string { return filepath.Join(c.dir, c.name(k)) }

// reserve makes room for a block of this size that is going to be fetched. The caller calls release, or commit.
func (c *Cache) reserve(size int64) {
	c.mu.Lock()
	c.size += size
	c.shrink()
	c.unlock()
}

func (c *Cache) release(size int64) {
	c.mu.Lock()
	c.size -= size
	c.unlock()
}

// create creates the file of a block that is going to be fetched.
func (c *Cache) create(k blockKey, size int64) (*os.File, error) {
	c.mu.Lock()
	path := c.path(k) + newSuffix
	c.unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// add adds a block that was reserved, and whose pieces are verified or marked as bad. The caller then calls seal.
func (c *Cache) add(k blockKey, b cached) {
	c.mu.Lock()
	c.size -= b.size
	c.insert(k, b)
	c.unlock()
}

// seal takes the file of a block that was added. It waits while the disk is behind.
func (c *Cache) seal(k blockKey, b cached, f *os.File) {
	if b.partial {
		_ = f.Close()
		return
	}
	c.unsynced <- unsyncedBlock{k, f}
}

// sync gives blocks their final names after they are synced.
func (c *Cache) sync() {
	for u := range c.unsynced {
		err := errors.Join(u.file.Sync(), u.file.Close())
		c.mu.Lock()
		path, has := c.path(u.key), c.blocks.Contains(u.key)
		if has && err != nil { // after a failed sync nothing is known about what is on the disk
			c.blocks.Remove(u.key)
		}
		if has && err == nil {
			_ = os.Rename(path+newSuffix, path)
		}
		c.unlock()
	}
}

// get returns a block, and counts as its use.
func (c *Cache) get(k blockKey) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks.Get(k)
}

// readAt reads from a block in the cache. The error is errEvicted if it is not there any longer.
func (c *Cache) readAt(k blockKey, b []byte, off int64) error {
	c.mu.Lock()
	_, has := c.blocks.Get(k)
	name := c.name(k)
	c.mu.Unlock()
	if !has {
		return errEvicted
	}
	_, err := c.reader.ReadAt(name, b, off)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = c.reader.ReadAt(name+newSuffix, b, off) // it is not synced yet
	}
	if errors.Is(err, fs.ErrNotExist) {
		_, err = c.reader.ReadAt(name, b, off) // it was synced between the two
	}
	if err != nil { // deleted or cut by another program
		c.drop(k)
		return errEvicted
	}
	return nil
}

var errEvicted = errors.New("the block is no longer in the cache")

// drop removes a block.
func (c *Cache) drop(k blockKey) {
	c.mu.Lock()
	c.blocks.Remove(k)
	c.unlock()
}

// Dir returns the folder of the cache.
func (c *Cache) Dir() string { return c.dir }

// Size returns the number of blocks and their bytes.
func (c *Cache) Size() (blocks int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks.Len(), c.size
}

// Close waits until all blocks are synced. No Storage may use the cache any more.
func (c *Cache) Close() error {
	close(c.unsynced)
	c.syncing.Wait()
	return c.lock.Release()
}
