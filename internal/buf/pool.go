// Package buf is a node's memory for payload: one pool of buffers that all
// torrents share, and the lease, by which several connections and a torrent's
// loop share one buffer safely.
//
// A [Buffer] comes from [Pool.Get] with one reference, its holder's. Every
// [Lease] on one of its blocks holds another. The last reference that is
// released gives the buffer back, so memory is never handed on while anybody may
// still write to it. Releasing once too often is a bug of ours and panics.
//
// The pool never refuses: what bounds it is that torrents are granted as much as
// [Pool.Limit] says in sum. While grants move from one torrent to another there
// may be a little more; that is not kept.
package buf

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// BlockSize is the unit of leases: BEP 3's 16 KiB.
const BlockSize = 16 << 10

// idleAfter is how long a free buffer is kept. Memory that is given back to the
// system is slow to get again, so a pause between two pieces keeps it.
const idleAfter = 5 * time.Second

// classes is the number of buffer sizes: a block times a power of two, up to
// MaxBuffer.
const classes = 9

// MaxBuffer is the largest buffer.
const MaxBuffer = BlockSize << (classes - 1)

// classOf is the class of the smallest buffer that holds size bytes.
func classOf(size int) int {
	if size <= 0 || size > MaxBuffer {
		panic(fmt.Sprintf("buf: a buffer of %d bytes", size))
	}
	return bits.Len(uint(size-1) / BlockSize)
}

// SizeOf returns the size in bytes of the buffer that Get returns for size bytes.
func SizeOf(size int) int64 { return BlockSize << classOf(size) }

// A Pool hands out buffers. It is safe for concurrent use.
type Pool struct {
	limit int64

	mu    sync.Mutex
	held  int64 // bytes, handed out and free
	out   int   // buffers handed out
	free  [classes]shelf
	timer *time.Timer
}

// A shelf is the free buffers of one size, the one used last on top: its cache
// lines are the warmest.
type shelf struct {
	buffers []*Buffer
	low     int // the fewest since the timer ran
}

// NewPool is a pool of limit bytes.
func NewPool(limit int64) *Pool {
	if limit < BlockSize {
		panic(fmt.Sprintf("buf: a pool of %d bytes", limit))
	}
	return &Pool{limit: limit}
}

// Limit is how many bytes may be granted.
func (p *Pool) Limit() int64 { return p.limit }

// Held is how many buffers are handed out, and how many bytes they and the free
// ones have.
func (p *Pool) Held() (out int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out, p.held
}

// Get is a buffer of size bytes or more, with one reference and no block filled.
// Its bytes are whatever they were.
func (p *Pool) Get(size int) *Buffer {
	class := classOf(size)
	full := BlockSize << class
	p.mu.Lock()
	p.out++
	var c *Buffer
	s := &p.free[class]
	if n := len(s.buffers); n > 0 {
		c = s.buffers[n-1]
		s.buffers[n-1] = nil
		s.buffers = s.buffers[:n-1]
		s.low = min(s.low, n-1)
	} else {
		p.held += int64(full)
		// A torrent with other pieces than the last one takes its room over.
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

// drop leaves the n buffers of a class that were idle longest to the collector.
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
	p.out--
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

// trim drops the buffers that lay idle all the time since it last ran.
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

// Close drops what is free and keeps nothing from now on. Buffers that are out
// may still be released.
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
