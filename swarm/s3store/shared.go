package s3store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fetchesAtOnce is how many blocks the torrents of a node fetch at a time. It fills 10 Gbit/s of a store that
	// takes 100 ms to answer.
	fetchesAtOnce = 16
	// fetchesOfOne is how many of them one torrent may have, so that the others are served too.
	fetchesOfOne = 8
	// uploadsAtOnce is how many files the torrents of a node upload at a time.
	uploadsAtOnce = 16
	// retryFirst and retryLongest bound the pause after a store has failed.
	retryFirst   = 500 * time.Millisecond
	retryLongest = 5 * time.Second
	// doubtTime is the pause before a piece that is wrong is fetched again.
	doubtTime = 5 * time.Second
	// fetchTime is how long a block is tried to be fetched from a store that does not work.
	fetchTime = time.Minute
	// awayAfter is how long fetches fail until the store counts as away. Nobody has to wait for it then, and
	// it is asked once every askAwayEvery for something that is not being fetched.
	awayAfter    = 5 * time.Second
	askAwayEvery = time.Second
)

// Shared is what the torrents of a node share: the cache, and the right to ask the store.
type Shared struct {
	Cache *Cache

	places  chan struct{} // one for each fetch in progress
	uploads chan struct{} // one for each file that is being uploaded
	buffers sync.Pool
	away    away

	warnings    sync.Mutex
	lastWarning map[trouble]time.Time // guarded by warnings

	hits, misses atomic.Int64 // wanted ranges that were in the cache, or not
}

// NewShared returns what the torrents of a node share.
func NewShared(c *Cache) *Shared {
	s := &Shared{Cache: c, places: make(chan struct{}, fetchesAtOnce), uploads: make(chan struct{}, uploadsAtOnce),
		lastWarning: map[trouble]time.Time{}}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	return s
}

// away says whether the store has failed for a while.
type away struct {
	mu    sync.Mutex
	is    bool
	asked time.Time // the last time somebody was told to ask the store although it is away
}

func (a *away) set(is bool) {
	a.mu.Lock()
	a.is = is
	a.mu.Unlock()
}

func (a *away) get() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.is
}

// mayAsk reports whether the store may be asked now.
func (a *away) mayAsk() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); !a.is || now.Sub(a.asked) >= askAwayEvery {
		a.asked = now
		return true
	}
	return false
}

// bufferSize is how many bytes are read, hashed and written at once.
const bufferSize = 128 << 10

// Counts returns how many wanted ranges were in the cache, and how many were not.
func (s *Shared) Counts() (hits, misses int64) { return s.hits.Load(), s.misses.Load() }

// begin waits for a place for a fetch.
func (s *Shared) begin(ctx context.Context) error { return acquire(ctx, s.places) }

func (s *Shared) end() { <-s.places }

// beginUpload waits for a place for an upload.
func (s *Shared) beginUpload(ctx context.Context) error { return acquire(ctx, s.uploads) }

func (s *Shared) endUpload() { <-s.uploads }

func acquire(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
