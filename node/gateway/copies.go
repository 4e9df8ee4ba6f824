package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/tree"
)

const (
	// readAhead is how far ahead of a reader a version is fetched, in bytes.
	readAhead = 4 << 20
	// sweepEvery is how often the copies are checked against their limits, and recorded.
	sweepEvery = 10 * time.Second
	// pauseAfter is how long a copy that nobody reads still serves peers. Beyond maxActive copies, those that
	// were not read for the longest time stop earlier.
	pauseAfter = 10 * time.Minute
	maxActive  = 64
	// removalPoll is how often it is checked whether a torrent that is being removed has gone.
	removalPoll = 100 * time.Millisecond
)

// copies are the versions that are being read, or were. The torrent of a version is one that the node
// has anyway, or a cache, which holds what was read. The caches together are bounded: those that were
// not read for the longest time are deleted.
type copies struct {
	node  *node.Node
	dir   string
	max   int64 // bytes of all
	quota int64 // bytes of one
	log   *slog.Logger

	mu   sync.Mutex
	held map[id.ID]*held
	left map[id.ID]saved // of earlier runs, not opened yet
	last []byte          // the record as it was saved
}

// held is a version that can be read.
type held struct {
	copies  *copies
	torrent *node.Torrent
	tree    *tree.Tree
	isOwn   bool // a cache, not a torrent of the user

	// copies.mu guards these.
	users    int // requests that read it
	used     time.Time
	isPaused bool
	isGone   bool // it was deleted, or the user has replaced it
}

// openCopies returns the copies in a folder, of which those of earlier runs are on record.
func openCopies(cfg *Config) (*copies, error) {
	c := &copies{node: cfg.Node, dir: cfg.Dir, max: cfg.CacheSize, quota: cmp.Or(cfg.Quota, cfg.CacheSize), log: cfg.Log, held: map[id.ID]*held{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.left, err = loadRecord(c.dir); err != nil {
		return nil, err
	}
	return c, nil
}

// open returns the version that a link names, and waits for its metadata. secret is that of a
// private publication.
func (c *copies) open(ctx context.Context, link *magnet.Link, secret sealed.Secret, peers []string) (*held, error) {
	ih := link.InfoHash
	t, err := c.torrent(ctx, link, peers)
	if err != nil {
		return nil, err
	}
	var files *tree.Tree
	if secret.CanRead() {
		files, err = tree.OpenSealed(ctx, t, secret.Keys())
	} else {
		files, err = tree.Open(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[ih]
	if h == nil || h.torrent != t {
		h = &held{copies: c, torrent: t, tree: files, isOwn: t.IsCache(), used: time.Now()}
		c.held[ih] = h
		delete(c.left, ih)
	}
	return h, nil
}

// torrent returns the torrent that a link names, and adds it if the node does not have it. It waits for one
// that is being removed.
func (c *copies) torrent(ctx context.Context, link *magnet.Link, peers []string) (*node.Torrent, error) {
	for {
		if t := c.node.Torrent(link.InfoHash); t != nil {
			return t, nil
		}
		t, err := c.node.Add(node.Spec{Link: link, Dir: c.folder(link.InfoHash), All: true, Peers: peers, ReadAhead: readAhead, Cache: true})
		if !errors.Is(err, node.ErrDuplicate) {
			return t, err
		}
		if err := await.Sleep(ctx, removalPoll); err != nil {
			return nil, err
		}
	}
}

func (c *copies) folder(ih id.ID) string { return filepath.Join(c.dir, ih.String()) }

// maxFile returns the size of the largest file that can be read, or 0 for no limit.
func (h *held) maxFile() int64 {
	if !h.isOwn {
		return 0
	}
	return h.copies.quota
}

// use marks the version as being read until done is called. ok is false if the version can no longer
// be read.
func (h *held) use() (done func(), ok bool) {
	c := h.copies
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.hasGone() {
		return nil, false
	}
	h.users++
	h.used = time.Now()
	if h.isPaused {
		h.isPaused = false
		_ = h.torrent.Resume(c.node.Context()) // if it fails, so does reading
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		h.users--
		h.used = time.Now()
	}), true
}

// hasGone reports whether the version can no longer be read. copies.mu is held.
func (h *held) hasGone() bool {
	select {
	case <-h.torrent.Ended():
		h.isGone = true
	default:
	}
	return h.isGone
}

// sweep deletes copies until the others fit, pauses those that are not read, and saves the record.
func (c *copies) sweep(ctx context.Context, now time.Time) {
	c.mu.Lock()
	var own []*held // that nobody reads, those that were not read for the longest time first
	var total int64
	sizes := map[id.ID]saved{}
	var replaced []id.ID
	active := 0
	for ih, h := range c.held {
		if h.hasGone() {
			delete(c.held, ih)
			if h.isOwn {
				replaced = append(replaced, ih)
			}
			continue
		}
		if !h.isOwn {
			continue
		}
		s := saved{Size: h.torrent.Snapshot().Have, Used: h.used.Unix()}
		sizes[ih] = s
		total += s.Size
		if !h.isPaused {
			active++
		}
		if h.users == 0 {
			own = append(own, h)
		}
	}
	for ih, s := range c.left {
		sizes[ih] = s
		total += s.Size
	}
	slices.SortFunc(own, func(a, b *held) int { return a.used.Compare(b.used) })
	var doomed []id.ID
	evict := func(ih id.ID) {
		doomed = append(doomed, ih)
		total -= sizes[ih].Size
		delete(sizes, ih)
		delete(c.left, ih)
		if h := c.held[ih]; h != nil {
			h.isGone = true
			delete(c.held, ih)
		}
	}
	for _, h := range own { // a publication over its quota begins again
		if ih := h.torrent.InfoHash(); sizes[ih].Size > c.quota {
			evict(ih)
		}
	}
	for total > c.max {
		ih, ok := c.oldest(own)
		if !ok {
			break // all are being read
		}
		evict(ih)
	}
	for _, h := range own {
		if !h.isGone && !h.isPaused && (now.Sub(h.used) >= pauseAfter || active > maxActive) {
			h.isPaused = true
			active--
			_ = h.torrent.Pause(ctx) // it is tried again when it was read again
		}
	}
	c.mu.Unlock()
	for _, ih := range replaced {
		c.discard(ih)
	}
	for _, ih := range doomed {
		c.delete(ctx, ih)
	}
	c.save(sizes)
}

// oldest returns the copy that was not read for the longest time, of own and those of earlier runs. mu
// is held.
func (c *copies) oldest(own []*held) (found id.ID, ok bool) {
	var used int64
	for ih, s := range c.left {
		if !ok || s.Used < used {
			found, used, ok = ih, s.Used, true
		}
	}
	for _, h := range own {
		if !h.isGone {
			if !ok || h.used.Unix() < used {
				return h.torrent.InfoHash(), true
			}
			break
		}
	}
	return found, ok
}

// delete deletes a copy: its torrent with all that the state directory has of it, and its files.
func (c *copies) delete(ctx context.Context, ih id.ID) {
	// The torrent of an earlier run is added for that; its metadata is in the state directory.
	t, err := c.torrent(ctx, &magnet.Link{InfoHash: ih, HasInfoHash: true}, nil)
	if err == nil && t.IsCache() {
		if err = c.node.Remove(ctx, ih, true); err == nil {
			err = t.Settled(ctx)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("a copy was not removed from the node", "infohash", ih, "err", err)
	}
	c.discard(ih)
}

// discard deletes the files of a copy that the node does not have any more.
func (c *copies) discard(ih id.ID) {
	if t := c.node.Torrent(ih); t != nil && t.IsCache() {
		return // it is being read again
	}
	if err := os.RemoveAll(c.folder(ih)); err != nil {
		c.log.Warn("the files of a copy were not deleted", "infohash", ih, "err", err)
	}
}
