package s3store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a cache. Cache.mu is never held while the disk works: the loops of all torrents look into the cache.

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

// seal takes the file of a block that was added. It waits while the disk is behind.
func (c *Cache) seal(k blockKey, b cached, f *os.File) {
	if b.partial {
		_ = f.Close()
		return
	}
	select {
	case c.unsynced <- unsyncedBlock{k, b.file, f}:
	case <-c.closing:
		_ = f.Close()
	}
}

// sync gives blocks their final names until the cache is closed.
func (c *Cache) sync() {
	defer close(c.synced)
	for {
		select {
		case u := <-c.unsynced:
			c.prove(u)
			continue
		case <-c.closing:
		}
		select {
		case u := <-c.unsynced:
			c.prove(u)
		default:
			return
		}
	}
}

// prove syncs a block, and gives it its final name. mu is not held meanwhile: the disk may be slow, and the loops of all torrents
// look into the cache.
func (c *Cache) prove(u unsyncedBlock) {
	err := errors.Join(u.file.Sync(), u.file.Close())
	c.mu.Lock()
	name := c.name(u.key, u.number)
	c.mu.Unlock()
	if path := filepath.Join(c.dir, name); err == nil {
		err = c.rename(path+newSuffix, path)
	}
	c.mu.Lock()
	defer c.unlock()
	b, has := c.blocks.peek(u.key)
	switch {
	case !has || b.file != u.number: // it was removed, maybe before it got its name
		c.removed = append(c.removed, name)
	case err != nil: // after a failed sync nothing is known about what is on the disk
		c.remove(u.key)
	default:
		b.isSynced = true
		c.blocks.set(u.key, b)
	}
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
		err := c.readFile(name, at.isSynced, b, off)
		if err != nil { // its folder may have been removed while it was empty, and made again
			c.handles.Forget(c.dir)
			err = c.readFile(name, at.isSynced, b, off)
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
			c.reader.Forget(name + newSuffix)
		}
		if err == nil {
			return nil
		}
	}
}

// readFile reads from the file of a block, which gets its final name before isSynced is set.
func (c *Cache) readFile(name string, isSynced bool, b []byte, off int64) error {
	if !isSynced {
		if _, err := c.reader.ReadAt(name+newSuffix, b, off); err == nil {
			return nil
		}
	}
	_, err := c.reader.ReadAt(name, b, off)
	return err
}

var (
	errEvicted = errors.New("the block is no longer in the cache")
	errDamaged = errors.New("another program has changed the cache")
)
