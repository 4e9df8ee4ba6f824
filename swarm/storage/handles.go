package storage

import (
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// handleKey identifies an open file: a Storage's file by its index, a directory, or
// something in a directory.
type handleKey struct {
	owner *Storage
	file  int
	dir   string
	name  string // in dir; "" is dir itself
	isDir bool   // name is a directory
}

// handle is an open file that refs callers are using.
type handle struct {
	c         io.Closer
	checkedAt atomic.Int64 // when its name was last seen to lead to it, in Unix nanoseconds
	refs      int
	evicted   bool // removed from the LRU: the last user closes it
}

// Handles is the LRU of open files that all torrents of a node share. It may exceed its
// size while that many files are in use.
type Handles struct {
	mu     sync.Mutex
	lru    *simplelru.LRU[handleKey, *handle]
	spare  []io.Closer // to be closed after mu is unlocked
	closed bool
}

// NewHandles returns an LRU of at most max open files. The default, for max 0, is a
// quarter of the process's limit but at most 512, which leaves descriptors for sockets.
func NewHandles(max int) *Handles {
	if max <= 0 {
		max = defaultHandles()
	}
	h := &Handles{}
	h.lru, _ = simplelru.NewLRU(max, func(_ handleKey, e *handle) { // max is positive
		e.evicted = true
		if e.refs == 0 {
			h.spare = append(h.spare, e.c)
		}
	})
	return h
}

// get returns the open file of the key, and calls open if it is not open. Every get needs
// a put.
func (h *Handles) get(k handleKey, open func() (io.Closer, error)) (*handle, error) {
	h.mu.Lock()
	e, ok := h.lru.Get(k)
	if ok {
		e.refs++
		h.mu.Unlock()
		return e, nil
	}
	h.mu.Unlock()
	var c io.Closer
	if err := h.retry(func() (err error) { c, err = open(); return err }); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.unlock()
	if e, ok := h.lru.Get(k); ok { // another goroutine was faster
		h.spare = append(h.spare, c)
		e.refs++
		return e, nil
	}
	e = &handle{c: c, refs: 1}
	e.checkedAt.Store(time.Now().UnixNano())
	if h.closed {
		e.evicted = true
	} else {
		h.lru.Add(k, e)
	}
	return e, nil
}

// add adds an open file, replacing the one under the same key.
func (h *Handles) add(k handleKey, c io.Closer) {
	h.mu.Lock()
	defer h.unlock()
	h.lru.Remove(k)
	if h.closed {
		h.spare = append(h.spare, c)
		return
	}
	e := &handle{c: c}
	e.checkedAt.Store(time.Now().UnixNano())
	h.lru.Add(k, e)
}

func (h *Handles) put(e *handle) {
	h.mu.Lock()
	e.refs--
	if e.refs == 0 && e.evicted {
		h.spare = append(h.spare, e.c)
	}
	h.unlock()
}

// unlock unlocks mu, then closes what has left the LRU.
func (h *Handles) unlock() {
	spare := h.spare
	h.spare = nil
	h.mu.Unlock()
	for _, c := range spare {
		_ = c.Close() // sync has reported write errors
	}
}

// drop closes the file of the key, as soon as it is not in use.
func (h *Handles) drop(k handleKey) {
	h.mu.Lock()
	h.lru.Remove(k)
	h.unlock()
}

// dropAll closes the files of a torrent.
func (h *Handles) dropAll(owner *Storage) {
	h.dropWhere(func(k handleKey) bool { return k.owner == owner })
}

// dropFolder closes a folder and the directories in it.
func (h *Handles) dropFolder(dir string) {
	h.dropWhere(func(k handleKey) bool { return k.owner == nil && k.dir == dir && (k.isDir || k.name == "") })
}

func (h *Handles) dropWhere(match func(handleKey) bool) {
	h.mu.Lock()
	for _, k := range h.lru.Keys() {
		if match(k) {
			h.lru.Remove(k)
		}
	}
	h.unlock()
}

// Forget closes the descriptors of a folder that the caller removes or moves.
func (h *Handles) Forget(dir string) {
	if abs, err := filepath.Abs(dir); err == nil { // as openDisk names it
		dir = abs
	}
	h.dropFolder(dir)
}

// Close closes every file that is not in use, and the others after use.
func (h *Handles) Close() {
	h.mu.Lock()
	h.closed = true
	h.lru.Purge()
	h.unlock()
}

// retry calls f until it does not fail for lack of descriptors. It closes unused files,
// least recently used first, and then waits up to 1 s for others to close some.
func (h *Handles) retry(f func() error) error {
	for wait := time.Millisecond; ; {
		err := f()
		if err == nil || kindOf(err) != TooManyOpen {
			return err
		}
		if h.evict() {
			continue
		}
		if wait > 512*time.Millisecond {
			return err
		}
		time.Sleep(wait)
		wait *= 2
	}
}

// evict closes the least recently used file and reports whether there was one.
func (h *Handles) evict() bool {
	h.mu.Lock()
	defer h.unlock()
	for _, k := range h.lru.Keys() {
		if e, _ := h.lru.Peek(k); e.refs == 0 {
			h.lru.Remove(k)
			return true
		}
	}
	return false
}
