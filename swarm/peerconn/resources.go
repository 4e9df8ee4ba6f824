package peerconn

import (
	"sync"
	"sync/atomic"
)

const (
	// maxLong bounds the bytes in buffers for frames longer than a read buffer: bitfields
	// of very large torrents, or false announcements.
	maxLong = 16 << 20
	// maxBatches bounds the batches. A batch is held while data is copied from storage to
	// a socket, never while waiting for a peer.
	maxBatches = 8
)

// Resources holds what the connections of a node share: buffers and the poller.
type Resources struct {
	readBuffers bufferPool
	batches     batchPool

	pollOnce sync.Once
	poller   *poller // nil before the first socket, and on systems without one
}

// NewResources returns empty resources.
func NewResources() *Resources {
	r := new(Resources)
	r.batches.slots = make(chan struct{}, maxBatches)
	r.batches.pool.New = func() any { return newBatch() }
	return r
}

// startPoller returns the poller, or nil if there is none.
func (r *Resources) startPoller() *poller {
	r.pollOnce.Do(func() { r.poller, _ = newPoller() })
	return r.poller
}

// Close stops the poller. Every connection must have ended.
func (r *Resources) Close() {
	r.pollOnce.Do(func() {})
	if r.poller != nil {
		r.poller.close()
	}
}

// ReadBuffers returns how many connections currently hold a read buffer.
func (r *Resources) ReadBuffers() int { return int(r.readBuffers.out.Load()) }

// bufferPool keeps read buffers for active connections.
type bufferPool struct {
	pool sync.Pool
	out  atomic.Int64 // read buffers handed out
	long atomic.Int64 // bytes of longer buffers
}

// readSpace is a read buffer and the arrivals that result from it.
type readSpace struct {
	b      [readBuffer]byte
	events []Arrival
}

func (p *bufferPool) get() *readSpace {
	p.out.Add(1)
	if s, ok := p.pool.Get().(*readSpace); ok {
		return s
	}
	return new(readSpace)
}

func (p *bufferPool) put(s *readSpace) {
	p.out.Add(-1)
	p.pool.Put(s)
}

// reserve reports whether a long buffer of n bytes may be allocated, and counts it until
// unreserve is called.
func (p *bufferPool) reserve(n int) bool {
	if p.long.Add(int64(n)) > maxLong {
		p.long.Add(-int64(n))
		return false
	}
	return true
}

func (p *bufferPool) unreserve(n int) { p.long.Add(-int64(n)) }

// batchPool limits and reuses batches.
type batchPool struct {
	slots chan struct{}
	pool  sync.Pool
}

// get waits for a batch.
func (p *batchPool) get() *batch {
	p.slots <- struct{}{}
	return p.pool.Get().(*batch)
}

func (p *batchPool) put(m *batch) {
	p.pool.Put(m)
	<-p.slots
}
