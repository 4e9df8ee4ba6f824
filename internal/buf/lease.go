package buf

import "sync/atomic"

// The states of a block, the only words that two goroutines change together:
//
//	leased ──Begin──▶ filling ──Done──▶ done
//
// Begin is a compare-and-swap, so of several connections that hold a lease of
// one block (the endgame) one fills it and the others learn that they lost. A
// canceller changes no state: it releases references, and a filler that has
// begun keeps the memory alive by its own.
const (
	leased uint32 = iota
	filling
	done
)

// A Buffer is a stretch of a piece in memory.
type Buffer struct {
	pool  *Pool
	mem   []byte
	refs  atomic.Int32
	state []atomic.Uint32 // by block
}

// Bytes is the buffer's memory. Blocks that are done may be read; nobody but a
// lease's filler may write.
func (c *Buffer) Bytes() []byte { return c.mem }

// Release gives up one reference.
func (c *Buffer) Release() {
	switch n := c.refs.Add(-1); {
	case n == 0:
		c.pool.put(c)
	case n < 0:
		panic("buf: buffer released once too often")
	}
}

// Lease is a lease of the n bytes at off, which must begin a block and lie
// within it. The caller must hold a reference.
func (c *Buffer) Lease(off, n uint32) Lease {
	if off%BlockSize != 0 || n == 0 || n > BlockSize || int(off)+int(n) > len(c.mem) {
		panic("buf: a lease outside of the buffer's blocks")
	}
	if c.refs.Add(1) <= 1 {
		panic("buf: a lease on a free buffer")
	}
	return Lease{c, off, n}
}

// A Lease is the right to fill one block, once. It holds a reference until
// Release.
type Lease struct {
	c      *Buffer
	off, n uint32
}

// Begin claims the block for the caller, who must call Done when it is filled.
// It is nil if another lease of the block was quicker.
func (l Lease) Begin() []byte {
	if !l.c.state[l.off/BlockSize].CompareAndSwap(leased, filling) {
		return nil
	}
	return l.c.mem[l.off : l.off+l.n : l.off+l.n]
}

// Done says that the bytes that Begin returned are all there.
func (l Lease) Done() {
	if !l.c.state[l.off/BlockSize].CompareAndSwap(filling, done) {
		panic("buf: a block is done that nobody was filling")
	}
}

// Release gives up the lease.
func (l Lease) Release() { l.c.Release() }
