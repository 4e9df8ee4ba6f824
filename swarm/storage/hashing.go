package storage

import (
	"context"
	"crypto/sha1"
	"hash"
	"runtime"
	"sync"
	"sync/atomic"
)

// readSize is how much is read at once for hashing: it stays in a core's cache
// between the copy and the hash.
const readSize = 128 << 10

// batchSize is how many bytes one core takes at a time, or a piece if that is
// more.
const batchSize = 1 << 20

// ahead is how far in front of the hashing the disk is asked to read.
const ahead = 8 << 20

// hashJob hashes pieces on all cores.
type hashJob struct {
	pieces func(yield func(p int) bool) // in ascending order
	total  int64                        // bytes of them all
	size   func(p int) int64
	offset func(p int) int64
	read   func(b []byte, off int64) error
	// advise says that a stretch is read soon.
	advise func(off, n int64)
	// known is the sum of a piece that need not be read, or ok is false.
	known func(p int) (sum [20]byte, skip, ok bool)
	// done is told each piece, on any goroutine; skip says that it is not there.
	done     func(p int, sum [20]byte, skip bool)
	progress func(done, total int64)
	strict   bool // bytes that are not there are an error
}

// run hashes all pieces, or returns the first error.
func (j *hashJob) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg      sync.WaitGroup
		advised atomic.Int64
		report  = reporter{total: j.total, f: j.progress}
		next    = make(chan []int, runtime.GOMAXPROCS(0))
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			buf, h := make([]byte, readSize), sha1.New()
			for batch := range next {
				for _, p := range batch {
					if err := j.piece(ctx, p, buf, h, &advised, &report); err != nil {
						cancel(err)
						for range next {
						}
						return
					}
				}
			}
		})
	}
	// Small pieces go in batches, so that handing them out costs little.
	var batch []int
	var size int64
	hand := func() bool {
		select {
		case next <- batch:
			batch, size = nil, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	for p := range j.pieces {
		batch = append(batch, p)
		if size += j.size(p); size >= batchSize && !hand() {
			break
		}
	}
	if len(batch) > 0 {
		hand()
	}
	close(next)
	wg.Wait()
	report.end()
	return context.Cause(ctx)
}

func (j *hashJob) piece(ctx context.Context, p int, buf []byte, h hash.Hash, advised *atomic.Int64, report *reporter) error {
	size, off := j.size(p), j.offset(p)
	if sum, skip, ok := j.known(p); ok {
		j.done(p, sum, skip)
		report.add(size)
		return nil
	}
	h.Reset()
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if was := advised.Load(); off+at+ahead/2 > was {
			from := max(was, off+at)
			if advised.CompareAndSwap(was, from+ahead) {
				j.advise(from, ahead)
			}
		}
		b := buf[:min(int64(len(buf)), size-at)]
		if err := j.read(b, off+at); err != nil {
			if kind := wrap("read", "", err).Kind; j.strict || kind != Vanished && kind != Truncated {
				return err
			}
			j.done(p, [20]byte{}, true)
			report.add(size - at)
			return nil
		}
		_, _ = h.Write(b) // a hash never fails
		at += int64(len(b))
		report.add(int64(len(b)))
	}
	var sum [20]byte
	h.Sum(sum[:0])
	j.done(p, sum, false)
	return nil
}

// A reporter tells progress, by one goroutine at a time and in order.
type reporter struct {
	total int64
	f     func(done, total int64)
	done  atomic.Int64
	mu    sync.Mutex
	told  int64
}

func (r *reporter) add(n int64) {
	r.done.Add(n)
	if r.f == nil || !r.mu.TryLock() {
		return
	}
	r.tell()
	r.mu.Unlock()
}

func (r *reporter) tell() {
	if d := r.done.Load(); d > r.told {
		r.told = d
		r.f(d, r.total)
	}
}

// end tells what a busy moment left out.
func (r *reporter) end() {
	if r.f != nil {
		r.mu.Lock()
		r.tell()
		r.mu.Unlock()
	}
}
