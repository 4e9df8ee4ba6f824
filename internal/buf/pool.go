// Package buf is a node's memory for payload: one pool of equal chunk buffers
// that all torrents share, and the lease, by which several connections and a
// torrent's loop share one chunk safely.
//
// A [Chunk] comes from [Pool.Get] with one reference, its holder's. Every
// [Lease] on one of its blocks holds another. The last reference that is
// released gives the chunk back, so memory is never handed on while anybody may
// still write to it. Releasing once too often is a bug of ours and panics.
//
// The pool never refuses: what bounds it is that torrents are granted as many
// slots as [Pool.Cap] says in sum, and that each slot holds one chunk. While
// grants move from one torrent to another there may be a few chunks more; those
// are not kept.
package buf

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// BlockSize is the unit of leases: BEP 3's 16 KiB.
const BlockSize = 16 << 10

// idleAfter is how long a free chunk is kept. Memory that is given back to the
// system is slow to get again, so a pause between two pieces keeps it.
const idleAfter = 5 * time.Second

// A Pool hands out chunks of one size. It is safe for concurrent use.
type Pool struct {
	size int
	cap  int

	mu    sync.Mutex
	free  []*Chunk // the latest used last: its cache lines are the warmest
	out   int      // chunks handed out
	low   int      // the fewest free chunks since the timer ran
	timer *time.Timer
}

// NewPool is a pool of n chunks of size bytes, a multiple of BlockSize.
func NewPool(size, n int) *Pool {
	if size <= 0 || size%BlockSize != 0 || n <= 0 {
		panic(fmt.Sprintf("buf: a pool of %d chunks of %d bytes", n, size))
	}
	return &Pool{size: size, cap: n}
}

// Cap is how many chunks may be granted.
func (p *Pool) Cap() int { return p.cap }

// ChunkSize is the length of a chunk in bytes.
func (p *Pool) ChunkSize() int { return p.size }

// Held is how many chunks have memory at present: handed out, and free ones
// that are kept.
func (p *Pool) Held() (out, free int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out, len(p.free)
}

// Get is a chunk with one reference and no block filled. Its bytes are
// whatever they were.
func (p *Pool) Get() *Chunk {
	p.mu.Lock()
	p.out++
	var c *Chunk
	if n := len(p.free); n > 0 {
		c = p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		p.low = min(p.low, n-1)
	}
	p.mu.Unlock()
	if c == nil {
		c = &Chunk{pool: p, mem: make([]byte, p.size), state: make([]atomic.Uint32, p.size/BlockSize)}
	}
	for i := range c.state {
		c.state[i].Store(leased)
	}
	if !c.refs.CompareAndSwap(0, 1) {
		panic("buf: a free chunk has references")
	}
	return c
}

func (p *Pool) put(c *Chunk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
	if p.out+len(p.free) >= p.cap {
		return
	}
	p.free = append(p.free, c)
	if p.timer == nil {
		p.low = 0
		p.timer = time.AfterFunc(idleAfter, p.trim)
	}
}

// trim drops as many chunks as lay idle all the time since it last ran; the
// collector does the rest.
func (p *Pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(p.free, p.free[p.low:])
	clear(p.free[n:])
	p.free = p.free[:n]
	p.low = n
	if n == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(idleAfter)
}

// Close drops what is free and stops the pool's timer. Chunks that are out may
// still be released.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.free)
	p.free, p.cap = nil, 0
	if p.timer != nil {
		p.timer.Stop()
	}
}
