// Package buf manages a node's memory for payload: one pool of buffers for all torrents,
// and leases, which let several connections and a torrent's loop share a buffer safely.
//
// A [Buffer] comes from [Pool.Get] with one reference. Every [Lease] on one of its blocks
// holds another. Releasing the last reference returns the buffer to the pool, so memory
// is never reused while someone may still write to it. Releasing too often is a bug of
// the caller and panics.
//
// [Pool.Get] never fails or waits. Memory is bounded because the callers together never use
// more than [Pool.Limit] bytes, except briefly while a grant moves from one torrent to
// another. The pool does not keep free buffers beyond the limit.
package buf

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// BlockSize is the size of a leased block: the 16 KiB of BEP 3.
const BlockSize = 16 << 10

// idleAfter is how long a free buffer is kept. Allocating memory again after returning it
// to the system is slow, so a pause between two pieces must not free it.
const idleAfter = 5 * time.Second

// classes is the number of buffer sizes: BlockSize times a power of two, up to MaxBuffer.
const classes = 9

// MaxBuffer is the size of the largest buffer.
const MaxBuffer = BlockSize << (classes - 1)

// classOf returns the class of the smallest buffer that holds size bytes.
func classOf(size int) int {
	if size <= 0 || size > MaxBuffer {
		panic(fmt.Sprintf("buf: a buffer of %d bytes", size))
	}
	return bits.Len(uint(size-1) / BlockSize)
}

// SizeOf returns the size in bytes of the buffer that Get returns for size bytes.
func SizeOf(size int) int64 { return BlockSize << classOf(size) }

// A Pool provides buffers. It is safe for concurrent use.
type Pool struct {
	limit int64

	mu    sync.Mutex
	held  int64 // bytes in use and free
	inUse int   // buffers in use
	free  [classes]freeList
	timer *time.Timer
}

// A freeList holds the free buffers of one size. The most recently used one is last and is
// taken first, because it is most likely to be in the cache.
type freeList struct {
	buffers []*Buffer
	low     int // the minimum of len(buffers) since the timer last ran
}

// NewPool returns a pool of limit bytes.
func NewPool(limit int64) *Pool {
	if limit < BlockSize {
		panic(fmt.Sprintf("buf: a pool of %d bytes", limit))
	}
	return &Pool{limit: limit}
}

// Limit returns how many bytes may be granted.
func (p *Pool) Limit() int64 { return p.limit }

// Held returns the number of buffers in use, and the total bytes of used and free
// buffers.
func (p *Pool) Held() (inUse int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse, p.held
}

// Get returns a buffer of at least size bytes, with one reference and no block filled.
// Its content is undefined.
func (p *Pool) Get(size int) *Buffer {
	class := classOf(size)
	full := BlockSize << class
	p.mu.Lock()
	p.inUse++
	var c *Buffer
	s := &p.free[class]
	if n := len(s.buffers); n > 0 {
		c = s.buffers[n-1]
		s.buffers[n-1] = nil
		s.buffers = s.buffers[:n-1]
		s.low = min(s.low, n-1)
	} else {
		p.held += int64(full)
		// A torrent with another piece size takes over the memory of free buffers.
		for k := range p.free {
			for p.held > p.limit && len(p.free[k].buffers) > 0 {
				p.drop(k, 1)
			}
		}
	}
	p.mu.Unlock()
	if c == nil {
		c = &Buffer{pool: p, mem: make([]byte, full), state: make([]atomic.Uint32, full/BlockSize)}
	}
	for i := range c.state {
		c.state[i].Store(leased)
	}
	if !c.refs.CompareAndSwap(0, 1) {
		panic("buf: a free buffer has references")
	}
	return c
}

// drop frees the n buffers of a class that have been idle longest.
func (p *Pool) drop(class, n int) {
	s := &p.free[class]
	left := copy(s.buffers, s.buffers[n:])
	clear(s.buffers[left:])
	s.buffers = s.buffers[:left]
	s.low = min(s.low, left)
	p.held -= int64(n) * BlockSize << class
}

func (p *Pool) put(c *Buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse--
	if p.held > p.limit {
		p.held -= int64(len(c.mem))
		return
	}
	s := &p.free[classOf(len(c.mem))]
	s.buffers = append(s.buffers, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleAfter, p.trim)
	}
}

// trim frees the buffers that have been idle since it last ran.
func (p *Pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 0
	for k := range p.free {
		s := &p.free[k]
		p.drop(k, s.low)
		s.low = len(s.buffers)
		left += s.low
	}
	if left == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(idleAfter)
}

// Close frees the idle buffers; from now on the pool keeps none. Buffers in use may still
// be released.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = -1
	for k := range p.free {
		p.drop(k, len(p.free[k].buffers))
	}
	if p.timer != nil {
		p.timer.Stop()
	}
}
