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

// SharedConfig bounds what the torrents of a node use together.
type SharedConfig struct {
	Memory    int64 // bytes of piece buffers; 24 MiB by default
	ChunkSize int   // the most bytes in one; a multiple of 64 KiB; 1 MiB by default
	Workers   int   // that hash and write; GOMAXPROCS by default

	UpRate, DownRate int64 // of all torrents together, in bytes a second; 0: no limit
}

// Shared is what the torrents of a node have in common: memory and workers.
type Shared struct {
	pool      *buf.Pool
	chunkSize int
	conns     *peerconn.Resources
	up, down  shaper.Shaper
	disk      chan struct{} // held while reading for an upload: two at once
	sums      maphash.Seed  // of block checksums, secret to this process
	work      workQueue
	wg        sync.WaitGroup

	torrentsMu sync.Mutex
	torrents   map[*Torrent]struct{} // that run
}

// NewShared starts the workers; Close ends them.
func NewShared(cfg SharedConfig) *Shared {
	if cfg.Memory == 0 {
		cfg.Memory = 24 << 20
	}
	if cfg.ChunkSize == 0 {
		cfg.ChunkSize = 1 << 20
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	s := &Shared{
		pool: buf.NewPool(max(cfg.Memory, int64(cfg.ChunkSize))), chunkSize: cfg.ChunkSize,
		disk: make(chan struct{}, 2),
		sums: maphash.MakeSeed(), conns: peerconn.NewResources(),
		torrents: make(map[*Torrent]struct{}),
	}
	s.SetRates(cfg.UpRate, cfg.DownRate)
	s.work.ready.L = &s.work.mu
	for range cfg.Workers {
		s.wg.Go(s.worker)
	}
	return s
}

// Buffers returns how many buffers of a torrent's pieces the memory is good for. A
// buffer holds a piece, or a chunk of a longer one, and is 16 KiB times a power of two.
func (s *Shared) Buffers(pieceLength int64) int {
	return int(s.pool.Limit() / buf.SizeOf(int(min(pieceLength, int64(s.chunkSize)))))
}

// ChunkSize is the length of a chunk in bytes, of a piece that long.
func (s *Shared) ChunkSize() int { return s.chunkSize }

// SetRates bounds what all torrents together send and receive over their
// connections, in bytes a second, all messages included; 0 is no limit.
func (s *Shared) SetRates(up, down int64) {
	s.up.SetRate(up)
	s.down.SetRate(down)
	for _, t := range s.running() {
		t.limitChanged()
	}
}

// join makes t one of the torrents that are told of new rates.
func (s *Shared) join(t *Torrent) {
	s.torrentsMu.Lock()
	s.torrents[t] = struct{}{}
	s.torrentsMu.Unlock()
}

// leave forgets t, which has ended.
func (s *Shared) leave(t *Torrent) {
	s.torrentsMu.Lock()
	delete(s.torrents, t)
	s.torrentsMu.Unlock()
}

// running returns the torrents that run.
func (s *Shared) running() []*Torrent {
	s.torrentsMu.Lock()
	defer s.torrentsMu.Unlock()
	return slices.Collect(maps.Keys(s.torrents))
}

// Close ends the workers; every torrent must have stopped.
func (s *Shared) Close() {
	s.work.close()
	s.wg.Wait()
	s.conns.Close()
	s.pool.Close()
}

// A workQueue is the store jobs that wait for a worker. Slots bound its length.
type workQueue struct {
	mu    sync.Mutex
	ready sync.Cond
	jobs  fifo.Queue[storeJob]
	idle  int // workers that wait for a job
	shut  bool
}

func (q *workQueue) push(j storeJob) {
	q.mu.Lock()
	q.jobs.Push(j)
	q.mu.Unlock()
	q.ready.Signal()
}

// pop waits for a job, and takes a second one with it if no worker is free for
// that and the two can be hashed at once. n is 0 when the queue is closed.
func (q *workQueue) pop() (j, second storeJob, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.jobs.Len() == 0 {
		if q.shut {
			return j, second, 0
		}
		q.idle++
		q.ready.Wait()
		q.idle--
	}
	j = q.jobs.Pop()
	if q.idle > 0 || q.jobs.Len() == 0 || !hashpair.Fast() || !j.pairs(q.jobs.Front()) {
		return j, second, 1
	}
	return j, q.jobs.Pop(), 2
}

func (q *workQueue) close() {
	q.mu.Lock()
	q.shut = true
	q.mu.Unlock()
	q.ready.Broadcast()
}
