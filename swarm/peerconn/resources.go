package peerconn

import (
	"sync"
	"sync/atomic"
)

const (
	// maxLong bounds the bytes in buffers of frames that are longer than a read
	// buffer: the bitfields of very large torrents, or the claims of liars.
	maxLong = 16 << 20
	// maxBatches bounds the batches. They are held while storage and sockets are
	// copied, never while a peer is waited for.
	maxBatches = 8
)

// Resources is what the connections of a node share: buffers and the poller.
type Resources struct {
	readBuffers bufferPool
	batches     batchPool

	pollOnce sync.Once
	poller   *poller // nil before the first socket, and where the system has none
}

// NewResources returns resources that hold nothing yet.
func NewResources() *Resources {
	r := new(Resources)
	r.batches.slots = make(chan struct{}, maxBatches)
	r.batches.pool.New = func() any { return newBatch() }
	return r
}

// startPoller returns the poller, or nil if there can be none.
func (r *Resources) startPoller() *poller {
	r.pollOnce.Do(func() { r.poller, _ = newPoller() })
	return r.poller
}

// Close ends the poller; every connection must have ended.
func (r *Resources) Close() {
	r.pollOnce.Do(func() {})
	if r.poller != nil {
		r.poller.close()
	}
}

// ReadBuffers returns how many connections hold a read buffer at the moment.
func (r *Resources) ReadBuffers() int { return int(r.readBuffers.out.Load()) }

// A bufferPool keeps read buffers for connections that data flows on.
type bufferPool struct {
	pool sync.Pool
	out  atomic.Int64 // read buffers handed out
	long atomic.Int64 // bytes of longer ones
}

// readSpace is what a connection reads into, and the events that result.
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

// grow reports whether a buffer of n bytes may be made; shrink gives it up.
func (p *bufferPool) grow(n int) bool {
	if p.long.Add(int64(n)) > maxLong {
		p.long.Add(-int64(n))
		return false
	}
	return true
}

func (p *bufferPool) shrink(n int) { p.long.Add(-int64(n)) }

// A batchPool hands out batches.
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
