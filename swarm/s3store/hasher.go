package s3store

import (
	"context"
	"io"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

const (
	// hashersAtOnce is how many ranges of objects are hashed at a time.
	hashersAtOnce = 8
	// hashSize is the size of most of these ranges in bytes.
	hashSize = 16 << 20
)

// A hasher hashes pieces of objects without storing them. Each range of them is read once, and goes on where it was if the store
// fails.
type hasher struct {
	info    *metainfo.Info
	newHash func(piece int) *metainfo.PieceHash
	open    func(context.Context, metainfo.Span) (io.ReadCloser, error) // as in source
	done    func(piece int, d metainfo.Digest)                          // called concurrently
	places  chan struct{}                                               // of which each range takes one while it is read; may be nil
}

// run hashes pieces. It returns the first error, if the store does not work again within a minute.
func (h *hasher) run(ctx context.Context, pieces bitset.Set) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	next, per := 0, int(max(1, hashSize/h.info.PieceLength))
	take := func() (first, end int) {
		mu.Lock()
		defer mu.Unlock()
		if first = pieces.Next(next); first < 0 {
			next = pieces.Len()
			return 0, 0
		}
		for end = first; end < min(pieces.Len(), first+per) && pieces.Has(end); {
			end++
		}
		next = end
		return first, end
	}
	var wg sync.WaitGroup
	for range hashersAtOnce {
		wg.Go(func() {
			buffer := make([]byte, bufferSize)
			for first, end := take(); first < end && ctx.Err() == nil; first, end = take() {
				if err := h.hash(ctx, first, end, buffer); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// hash hashes the pieces from first up to, and without, end. If the store fails, it goes on with the piece that is not complete.
func (h *hasher) hash(ctx context.Context, first, end int, buffer []byte) error {
	deadline := time.Now().Add(fetchTime)
	for wait := retryFirst; ; wait = min(2*wait, retryLongest) {
		before := first
		err := h.attempt(ctx, &first, end, buffer)
		if first > before {
			deadline, wait = time.Now().Add(fetchTime), retryFirst
		}
		if objectstore.KindOf(err) != objectstore.Unavailable || time.Now().After(deadline) || await.Sleep(ctx, wait) != nil {
			return err
		}
	}
}

func (h *hasher) attempt(ctx context.Context, first *int, end int, buffer []byte) error {
	if h.places != nil {
		if err := acquire(ctx, h.places); err != nil {
			return err
		}
		defer func() { <-h.places }()
	}
	ctx, cancel := context.WithCancel(ctx)
	from := int64(*first) * h.info.PieceLength
	src := newSource(h.info, from, min(int64(end)*h.info.PieceLength, h.info.Length)-from, func(sp metainfo.Span) (io.ReadCloser, error) { return h.open(ctx, sp) })
	defer src.close()
	defer cancel()
	for ; *first < end; *first++ {
		digest, err := hashPiece(src, h.newHash(*first), h.info, *first, buffer, func([]byte, int64) error { return nil })
		if err != nil {
			return err
		}
		h.done(*first, digest)
	}
	return nil
}
