package swarm

import (
	"crypto/sha1"
	"hash/maphash"
	"sync"

	"seedbed/internal/bitset"
	"seedbed/internal/buf"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// storeJob stores a chunk. It owns the slot's reference to the buffer.
type storeJob struct {
	t      *Torrent
	buffer *buf.Buffer
	slot   engine.Slot
	block  engine.Block
	sums   bool
	round  uint32
	kept   bitset.Set // blocks of the piece whose bytes are in the files; length 0 means none
}

// worker hashes and writes until the queue is closed. When jobs are waiting, it hashes
// two pieces together.
func (s *Shared) worker() {
	for {
		j, second, n := s.work.pop()
		switch n {
		case 0:
			return
		case 1:
			j.run()
			j.t.jobDone()
		default:
			x, y := j.t.info.DigestPair(int(j.block.Piece), j.data(), second.t.info, int(second.block.Piece), second.data())
			j.storePiece(x)
			j.t.jobDone()
			second.storePiece(y)
			second.t.jobDone()
		}
	}
}

func (j *storeJob) data() []byte { return j.buffer.Bytes()[:j.block.Length] }

// isWholePiece reports whether the chunk is a complete piece.
func (j *storeJob) isWholePiece() bool {
	return int64(j.block.Length) == j.t.info.DataSize(int(j.block.Piece))
}

// canPairWith reports whether j and o are complete pieces whose SHA-1 can be computed together:
// they have the same size, including padding after small files in a hybrid torrent.
func (j *storeJob) canPairWith(o *storeJob) bool {
	return j.kept.Len() == 0 && o.kept.Len() == 0 && j.isWholePiece() && o.isWholePiece() && j.t.info.HasV1() && o.t.info.HasV1() &&
		j.t.info.PieceSize(int(j.block.Piece)) == o.t.info.PieceSize(int(o.block.Piece))
}

func (j *storeJob) run() {
	if err := j.readKept(); err != nil {
		j.failed(err)
		return
	}
	switch info, p := j.t.info, int(j.block.Piece); {
	case !j.isWholePiece():
		j.storeChunk(j.data())
	case info.IsPlain(p):
		j.storePiece(metainfo.Digest{V1: sha1.Sum(j.data())})
	default:
		h := info.NewPieceHash(p)
		_, _ = h.Write(j.data())
		j.storePiece(h.Digest())
	}
}

// storePiece stores a piece that consists of one chunk. It is written only if its hash is
// correct.
func (j *storeJob) storePiece(sum metainfo.Digest) {
	t, p, mem := j.t, int(j.block.Piece), j.data()
	ok := sum == t.info.Digest(p)
	if ok {
		if err := j.writeNew(mem); err != nil {
			j.failed(err)
			return
		}
		t.content.Storage.MarkVerified(p)
	}
	var sums []uint64
	if !ok || j.sums {
		sums = t.cfg.Shared.appendSums(nil, mem)
	}
	var leaves []metainfo.Root
	if !ok && t.info.HasV2() {
		leaves = metainfo.Leaves(nil, mem)
	}
	j.buffer.Release()
	t.inbox.post(j.stored(), t.verified(j.block.Piece, ok, sums, leaves))
}

// storeChunk stores one of several chunks of a piece. The piece's hash is computed in the order
// of the chunks, from memory if the previous chunks have been hashed. Chunks written
// before their turn are read back when the last chunk has been written.
func (j *storeJob) storeChunk(mem []byte) {
	t := j.t
	ps := t.partial(j.block.Piece, j.round)
	hashed := ps.advance(j.block.Begin, mem)
	if err := j.writeNew(mem); err != nil {
		j.failed(err)
		return
	}
	t.content.Storage.MarkChunk(int(j.block.Piece), j.block.Begin, mem)
	if !hashed {
		ps.advance(j.block.Begin, mem) // the previous chunks may have been hashed meanwhile
	}
	last := ps.markWritten(j.block.Begin / uint32(t.cfg.Shared.ChunkSize()))
	j.buffer.Release()
	t.inbox.post(j.stored())
	if !last {
		return
	}
	ok, sums, leaves, err := t.verifyPiece(j.block.Piece, ps, j.sums)
	if err != nil {
		t.storageFailed(err)
		return
	}
	t.forgetPartial(j.block.Piece, ps)
	if ok {
		t.content.Storage.MarkVerified(int(j.block.Piece))
	}
	t.inbox.post(t.verified(j.block.Piece, ok, sums, leaves))
}

func (j *storeJob) offset() int64 {
	return int64(j.block.Piece)*j.t.info.PieceLength + int64(j.block.Begin)
}

func (j *storeJob) stored() item {
	return item{ev: &engine.EvStored{Slot: j.slot, Block: j.block}}
}

func (j *storeJob) failed(err error) {
	j.buffer.Release()
	j.t.storageFailed(err, item{ev: &engine.EvChunkLost{Slot: j.slot, Block: j.block}})
}

// verified returns the result of hashing a piece.
func (t *Torrent) verified(piece uint32, ok bool, sums []uint64, leaves []metainfo.Root) item {
	if !ok {
		t.cfg.Shared.counters.hashFailures.Add(1)
	}
	return item{ev: &engine.EvVerified{Piece: piece, OK: ok, Sums: sums, Leaves: leaves}}
}

// appendSums appends a checksum of each block of mem, which starts at a block boundary.
// Peers cannot construct collisions because the seed is secret.
func (s *Shared) appendSums(dst []uint64, mem []byte) []uint64 {
	for len(mem) > 0 {
		n := min(len(mem), metainfo.BlockSize)
		dst = append(dst, maphash.Bytes(s.sums, mem[:n]))
		mem = mem[n:]
	}
	return dst
}

// partial is the state of a piece of several chunks, some of which have been written.
type partial struct {
	round uint32

	mu      sync.Mutex
	busy    bool // a goroutine is hashing
	hash    *metainfo.PieceHash
	next    uint32 // bytes hashed
	written []bool // by chunk
	left    int    // chunks not written
}

// advance hashes mem if it is next and no other goroutine is hashing.
func (ps *partial) advance(begin uint32, mem []byte) bool {
	ps.mu.Lock()
	if ps.busy || ps.next != begin {
		ps.mu.Unlock()
		return false
	}
	ps.busy = true
	ps.mu.Unlock()
	_, _ = ps.hash.Write(mem)
	ps.mu.Lock()
	ps.busy = false
	ps.next += uint32(len(mem))
	ps.mu.Unlock()
	return true
}

// markWritten records that a chunk has been written, and reports whether it was the last.
func (ps *partial) markWritten(chunk uint32) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.written[chunk] {
		return false
	}
	ps.written[chunk] = true
	ps.left--
	return ps.left == 0
}

// partial returns the state of a piece in this round. A round begins when the engine begins
// or restarts the piece. Round 0 includes the chunks that storage had at the start.
func (t *Torrent) partial(piece, round uint32) *partial {
	t.storeMu.Lock()
	defer t.storeMu.Unlock()
	ps := t.partials[piece]
	if ps == nil || ps.round != round {
		size := int64(t.cfg.Shared.ChunkSize())
		n := int((t.info.DataSize(int(piece)) + size - 1) / size)
		ps = &partial{round: round, hash: t.info.NewPieceHash(int(piece)), written: make([]bool, n), left: n}
		if round == 0 {
			for _, b := range t.resumed {
				if b.Piece == piece && int64(b.Begin)%size == 0 {
					ps.written[int64(b.Begin)/size] = true
					ps.left--
				}
			}
		}
		t.partials[piece] = ps
	}
	return ps
}

func (t *Torrent) forgetPartial(piece uint32, ps *partial) {
	t.storeMu.Lock()
	defer t.storeMu.Unlock()
	if t.partials[piece] == ps {
		delete(t.partials, piece)
	}
}

// verifyPiece completes the hash of a fully written piece.
func (t *Torrent) verifyPiece(piece uint32, ps *partial, wantSums bool) (ok bool, sums []uint64, leaves []metainfo.Root, err error) {
	size := uint32(t.info.DataSize(int(piece)))
	start := int64(piece) * t.info.PieceLength
	var scratch []byte
	reread := func(from uint32, use func([]byte)) error {
		if scratch == nil {
			scratch = make([]byte, 16*metainfo.BlockSize)
		}
		for from < size {
			b := scratch[:min(size-from, uint32(len(scratch)))]
			if err := t.content.Storage.ReadAt(b, start+int64(from)); err != nil {
				return err
			}
			use(b)
			from += uint32(len(b))
		}
		return nil
	}
	if err := reread(ps.next, func(b []byte) { _, _ = ps.hash.Write(b) }); err != nil {
		return false, nil, nil, err
	}
	ok = ps.hash.Digest() == t.info.Digest(int(piece))
	if !ok || wantSums {
		err = reread(0, func(b []byte) {
			sums = t.cfg.Shared.appendSums(sums, b)
			if !ok && t.info.HasV2() {
				leaves = metainfo.Leaves(leaves, b)
			}
		})
	}
	return ok, sums, leaves, err
}

// write writes b and counts its bytes for the next flush.
func (t *Torrent) write(b []byte, off int64) error {
	if err := t.content.Storage.WriteAt(b, off); err != nil {
		return err
	}
	t.storage.countWritten(int64(len(b)))
	t.cfg.Shared.counters.written.Add(int64(len(b)))
	return nil
}

// jobDone records the end of a job; see waitIdle.
func (t *Torrent) jobDone() {
	t.cfg.Shared.counters.writes.Add(-1)
	t.storeMu.Lock()
	t.jobs--
	if t.jobs == 0 {
		t.jobsIdle.Broadcast()
	}
	t.storeMu.Unlock()
	if t.stopping.Load() {
		t.inbox.wake()
	}
}

// waitIdle waits until no store job is running, and forgets partial pieces.
func (t *Torrent) waitIdle() {
	t.storeMu.Lock()
	defer t.storeMu.Unlock()
	for t.jobs > 0 {
		t.jobsIdle.Wait()
	}
	clear(t.partials)
	t.resumed = nil
}
