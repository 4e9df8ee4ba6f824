package swarm

import (
	"hash/maphash"
	"maps"
	"runtime"
	"slices"
	"sync"

	"seedbed/internal/buf"
	"seedbed/internal/fifo"
	"seedbed/internal/hashpair"
	"seedbed/internal/shaper"
	"seedbed/swarm/peerconn"
)

// DefaultMemory is the default of SharedConfig.Memory.
const DefaultMemory = 24 << 20

// SharedConfig sets the limits on what the torrents of a node use together.
type SharedConfig struct {
	Memory    int64 // bytes of piece buffers; DefaultMemory by default
	ChunkSize int   // maximal size of one buffer in bytes; a multiple of 64 KiB; 1 MiB by default
	Workers   int   // goroutines that hash and write; GOMAXPROCS by default

	UpRate, DownRate int64 // limits of all torrents together, in bytes per second; 0 means no limit
}

// Shared holds the resources that the torrents of a node share: memory, workers and rate
// limits.
type Shared struct {
	pool      *buf.Pool
	chunkSize int
	conns     *peerconn.Resources
	up, down  shaper.Shaper
	reads     *reads       // for uploads
	sums      maphash.Seed // seed of block checksums, secret to this process
	work      workQueue
	counters  counters
	fetches   fetchAccounts // of all torrents
	leaves    chan struct{} // has an element for each piece that is hashed for a peer
	wg        sync.WaitGroup

	torrentsMu sync.Mutex
	torrents   map[*Torrent]struct{} // running torrents
}

// NewShared starts the workers; Close stops them.
func NewShared(cfg SharedConfig) *Shared {
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.ChunkSize == 0 {
		cfg.ChunkSize = 1 << 20
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	s := &Shared{
		pool: buf.NewPool(max(cfg.Memory, int64(cfg.ChunkSize))), chunkSize: cfg.ChunkSize,
		reads: newReads(), sums: maphash.MakeSeed(), conns: peerconn.NewResources(),
		torrents: make(map[*Torrent]struct{}), leaves: make(chan struct{}, max(1, cfg.Workers/2)),
	}
	s.SetRates(cfg.UpRate, cfg.DownRate)
	s.work.ready.L = &s.work.mu
	for range cfg.Workers {
		s.wg.Go(s.worker)
	}
	return s
}

// Buffers returns how many buffers for a torrent's pieces fit into memory. A buffer holds
// a piece, or a chunk of a longer one; its size is 16 KiB times a power of two.
func (s *Shared) Buffers(pieceLength int64) int {
	return int(s.pool.Limit() / buf.SizeOf(int(min(pieceLength, int64(s.chunkSize)))))
}

// ChunkSize returns the maximal length of a chunk in bytes.
func (s *Shared) ChunkSize() int { return s.chunkSize }

// SetRates limits what all torrents together send and receive over their connections, in
// bytes per second, including all messages; 0 means no limit.
func (s *Shared) SetRates(up, down int64) {
	s.up.SetRate(up)
	s.down.SetRate(down)
	for _, t := range s.running() {
		t.limitChanged()
	}
}

// startLeaves waits until a piece may be hashed for a peer: its requests cost the peer little, so they use
// at most half of the processors.
func (s *Shared) startLeaves() (release func()) {
	s.leaves <- struct{}{}
	return func() { <-s.leaves }
}

// join adds t to the torrents that are notified of new rates.
func (s *Shared) join(t *Torrent) {
	s.torrentsMu.Lock()
	s.torrents[t] = struct{}{}
	s.torrentsMu.Unlock()
}

// leave removes t, which has ended.
func (s *Shared) leave(t *Torrent) {
	s.torrentsMu.Lock()
	delete(s.torrents, t)
	s.torrentsMu.Unlock()
}

// running returns the running torrents.
func (s *Shared) running() []*Torrent {
	s.torrentsMu.Lock()
	defer s.torrentsMu.Unlock()
	return slices.Collect(maps.Keys(s.torrents))
}

// Close stops the workers. Every torrent must have stopped.
func (s *Shared) Close() {
	s.work.close()
	s.wg.Wait()
	s.conns.Close()
	s.pool.Close()
}

// workQueue holds the store jobs that wait for a worker. Its length is bounded by the
// slots.
type workQueue struct {
	mu     sync.Mutex
	ready  sync.Cond
	jobs   fifo.Queue[storeJob]
	idle   int // waiting workers
	closed bool
}

func (q *workQueue) push(j storeJob) {
	q.mu.Lock()
	q.jobs.Push(j)
	q.mu.Unlock()
	q.ready.Signal()
}

// pop waits for a job. It also returns a second one if no worker is idle and both can be
// hashed together. n is 0 if the queue is closed.
func (q *workQueue) pop() (j, second storeJob, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.jobs.Len() == 0 {
		if q.closed {
			return j, second, 0
		}
		q.idle++
		q.ready.Wait()
		q.idle--
	}
	j = q.jobs.Pop()
	if q.idle > 0 || q.jobs.Len() == 0 || !hashpair.Fast() || !j.canPairWith(q.jobs.Front()) {
		return j, second, 1
	}
	return j, q.jobs.Pop(), 2
}

func (q *workQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}
