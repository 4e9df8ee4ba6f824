package buf

import "sync/atomic"

// The states of a block. Several goroutines change them:
//
//	leased ──Begin──▶ filling ──Done──▶ done
//
// Begin is a compare-and-swap. If several connections have leases on one block (in the
// endgame), it succeeds for one of them and returns nil for the others. Canceling does not
// change the state: it only releases references, and a connection that is filling the
// block holds a reference of its own.
const (
	leased uint32 = iota
	filling
	done
)

// A Buffer is a part of a piece in memory.
type Buffer struct {
	pool  *Pool
	mem   []byte
	refs  atomic.Int32
	state []atomic.Uint32 // by block
}

// Bytes returns the buffer's memory. Blocks that are done may be read. Only the holder of
// a begun lease may write.
func (c *Buffer) Bytes() []byte { return c.mem }

// Release releases one reference.
func (c *Buffer) Release() {
	switch n := c.refs.Add(-1); {
	case n == 0:
		c.pool.put(c)
	case n < 0:
		panic("buf: buffer released too often")
	}
}

// Lease returns a lease on the n bytes at off, which must be the start of a block and
// must not extend beyond it. The caller must hold a reference.
func (c *Buffer) Lease(off, n uint32) Lease {
	if off%BlockSize != 0 || n == 0 || n > BlockSize || int(off)+int(n) > len(c.mem) {
		panic("buf: a lease outside of the buffer's blocks")
	}
	if c.refs.Add(1) <= 1 {
		panic("buf: a lease on a free buffer")
	}
	return Lease{c, off, n}
}

// A Lease is the right to fill one block once. It holds a reference until Release.
type Lease struct {
	c      *Buffer
	off, n uint32
}

// Begin claims the block for the caller, which must call Done after filling it. It
// returns nil if another lease has claimed the block.
func (l Lease) Begin() []byte {
	if !l.c.state[l.off/BlockSize].CompareAndSwap(leased, filling) {
		return nil
	}
	return l.c.mem[l.off : l.off+l.n : l.off+l.n]
}

// Done marks the block as filled. Begin must have returned its memory.
func (l Lease) Done() {
	if !l.c.state[l.off/BlockSize].CompareAndSwap(filling, done) {
		panic("buf: Done without Begin")
	}
}

// Release releases the lease's reference.
func (l Lease) Release() { l.c.Release() }
