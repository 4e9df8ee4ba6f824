// Package piecehash hashes the pieces of a torrent on all cores, to check data and to
// create torrents. Each byte is read once and hashed while it is in a cache. Functions of
// the caller provide the bytes and take the digests.
package piecehash

import (
	"context"
	"crypto/sha1"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"seedbed/internal/hashpair"
	"seedbed/magnet/metainfo"
)

// ReadSize is how many bytes are read at once for hashing. They stay in a core's cache
// between the copy and the hash.
const ReadSize = 128 << 10

// batchSize is how many bytes a core takes at a time, or two pieces if that is more.
const batchSize = 1 << 20

// readAhead is how far ahead of the hashing the disk is asked to read, in bytes.
const readAhead = 8 << 20

// A Job hashes pieces. Its functions are called on several goroutines.
type Job struct {
	Pieces func(yield func(p int) bool) // in ascending order
	Total  int64                        // total bytes of the pieces
	Size   func(p int) int64
	Offset func(p int) int64 // offset of the piece's first byte in the torrent
	Read   func(b []byte, off int64) error
	// Advise announces that a range will be read soon.
	Advise func(off, n int64)
	// Known returns the digest of a piece that need not be read; ok is false if the piece
	// must be read. skip is true if the piece is missing. If Known is nil, all pieces are
	// read.
	Known func(p int) (sum metainfo.Digest, skip, ok bool)
	// Done receives the digest of each piece. skip is true if the piece is missing.
	Done func(p int, sum metainfo.Digest, skip bool)
	// Begin starts the hash of a piece. If Begin is nil, the SHA-1 of each piece is
	// computed.
	Begin    func(p int) *metainfo.PieceHash
	Progress func(done, total int64) // in bytes; may be nil
	// Absent reports whether an error of Read means that the bytes are missing, so that
	// the piece is skipped. Any other error ends the job.
	Absent func(error) bool
}

// Run hashes all pieces. It returns the first error.
func (j *Job) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg      sync.WaitGroup
		advised atomic.Int64
		report  = reporter{total: j.Total, f: j.Progress}
		next    = make(chan []int, runtime.GOMAXPROCS(0))
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			w := hasher{Job: j, advised: &advised, report: &report, buf: make([]byte, ReadSize), one: sha1.New()}
			for batch := range next {
				if err := w.batch(ctx, batch); err != nil {
					cancel(err)
					for range next {
					}
					return
				}
			}
		})
	}
	// Small pieces are handed out in batches to reduce the overhead.
	var batch []int
	var size int64
	send := func() bool {
		select {
		case next <- batch:
			batch, size = nil, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	for p := range j.Pieces {
		batch = append(batch, p)
		if size += j.Size(p); size >= batchSize && len(batch) > 1 && !send() {
			break
		}
	}
	if len(batch) > 0 {
		send()
	}
	close(next)
	wg.Wait()
	report.end()
	return context.Cause(ctx)
}

// hasher is one goroutine of a job.
type hasher struct {
	*Job
	advised *atomic.Int64 // offset up to which the disk was asked to read
	report  *reporter
	buf     []byte
	second  []byte // second buffer, when hashing two pieces at once
	one     hash.Hash
	two     hashpair.Pair
}

// batch hashes pieces, two at a time where that is faster.
func (w *hasher) batch(ctx context.Context, pieces []int) error {
	waiting := -1 // a piece that waits for a second one, or -1
	for _, p := range pieces {
		if sum, skip, ok := w.known(p); ok {
			w.Done(p, sum, skip)
			w.report.add(w.Size(p))
			continue
		}
		if !hashpair.Fast() || w.Begin != nil {
			if err := w.piece(ctx, p); err != nil {
				return err
			}
			continue
		}
		if waiting < 0 {
			waiting = p
			continue
		}
		if err := w.pair(ctx, waiting, p); err != nil {
			return err
		}
		waiting = -1
	}
	if waiting >= 0 {
		return w.piece(ctx, waiting)
	}
	return nil
}

func (w *hasher) known(p int) (sum metainfo.Digest, skip, ok bool) {
	if w.Known == nil {
		return sum, false, false
	}
	return w.Known(p)
}

// piece hashes one piece.
func (w *hasher) piece(ctx context.Context, p int) error {
	var h io.Writer = w.one
	var other *metainfo.PieceHash
	if w.Begin != nil {
		other = w.Begin(p)
		h = other
	}
	w.one.Reset()
	size := w.Size(p)
	for at := int64(0); at < size; {
		b := w.buf[:min(int64(len(w.buf)), size-at)]
		if err := w.fill(ctx, b, w.Offset(p)+at); err != nil {
			if !w.Absent(err) {
				return err
			}
			w.Done(p, metainfo.Digest{}, true)
			w.report.add(size - at)
			return nil
		}
		_, _ = h.Write(b) // a hash never fails
		at += int64(len(b))
		w.report.add(int64(len(b)))
	}
	var sum metainfo.Digest
	if other != nil {
		sum = other.Digest()
	} else {
		w.one.Sum(sum.V1[:0])
	}
	w.Done(p, sum, false)
	return nil
}

// pair hashes two pieces at once. It hashes them one after the other if their lengths
// differ or one is missing.
func (w *hasher) pair(ctx context.Context, p, q int) error {
	size := w.Size(p)
	if w.Size(q) != size {
		return w.each(ctx, p, q)
	}
	if w.second == nil {
		w.second = make([]byte, ReadSize)
	}
	w.two = hashpair.Pair{}
	for at := int64(0); ; {
		n := min(ReadSize, size-at)
		a, b := w.buf[:n], w.second[:n]
		err := w.fill(ctx, a, w.Offset(p)+at)
		if err == nil {
			err = w.fill(ctx, b, w.Offset(q)+at)
		}
		if err != nil {
			if !w.Absent(err) {
				return err
			}
			w.report.add(-2 * at)
			return w.each(ctx, p, q)
		}
		w.report.add(2 * n)
		if at += n; at < size {
			w.two.Write(a, b)
			continue
		}
		x, y := w.two.Sum(a, b)
		w.Done(p, metainfo.Digest{V1: x}, false)
		w.Done(q, metainfo.Digest{V1: y}, false)
		return nil
	}
}

func (w *hasher) each(ctx context.Context, p, q int) error {
	if err := w.piece(ctx, p); err != nil {
		return err
	}
	return w.piece(ctx, q)
}

// fill reads from the torrent, and from time to time asks the disk to read ahead.
func (w *hasher) fill(ctx context.Context, b []byte, off int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if was := w.advised.Load(); off+readAhead/2 > was {
		from := max(was, off)
		if w.advised.CompareAndSwap(was, from+readAhead) {
			w.Advise(from, readAhead)
		}
	}
	return w.Read(b, off)
}

// A reporter reports progress in order, from one goroutine at a time.
type reporter struct {
	total    int64
	f        func(done, total int64)
	done     atomic.Int64
	mu       sync.Mutex
	reported int64
}

func (r *reporter) add(n int64) {
	r.done.Add(n)
	if r.f == nil || !r.mu.TryLock() {
		return
	}
	r.report()
	r.mu.Unlock()
}

func (r *reporter) report() {
	if d := r.done.Load(); d > r.reported {
		r.reported = d
		r.f(d, r.total)
	}
}

// end reports what was skipped because a report was in progress.
func (r *reporter) end() {
	if r.f != nil {
		r.mu.Lock()
		r.report()
		r.mu.Unlock()
	}
}
