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

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
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
	// searchFor is how long the metadata of a version is searched when nobody waits for it.
	searchFor = time.Minute
	// maxCopies limits the copies, and maxEntries the files that they list. Each file takes a few hundred bytes of
	// memory, even if it is never fetched.
	maxCopies  = 1024
	maxEntries = 1 << 20
	// removalPoll is how often it is checked whether a torrent that is being removed has gone.
	removalPoll = 100 * time.Millisecond
)

// copies are the versions that are being read, or were. The torrent of a version is one that the node
// has anyway, as an Archive too, or a cache, which holds what was read. The caches together are bounded: those that were
// not read for the longest time are deleted.
type copies struct {
	node  *node.Node
	dir   string
	max   int64    // bytes of all
	quota int64    // bytes of one publication, in all of its versions
	peers []string // see Config.Peers
	log   *slog.Logger

	mu   sync.Mutex
	held map[id.ID]*held
	left map[id.ID]saved // of earlier runs, not opened yet
	last []byte          // the record as it was saved
	// usage is what the copies took at the last check.
	usage usage
}

// held is a version that can be read, or whose metadata is being fetched.
type held struct {
	copies  *copies
	torrent *node.Torrent
	of      id.ID         // target of the publication
	ready   chan struct{} // closed once tree is set
	tree    *tree.Tree
	secret  sealed.Secret // with which tree was opened
	isOwn   bool          // a cache, not a torrent of the user or an Archive

	// copies.mu guards these.
	users    int // requests that read it
	used     time.Time
	isPaused bool
	isGone   bool // it was deleted, or the user has replaced it
}

// openCopies returns the copies in a folder, of which those of earlier runs are on record.
func openCopies(cfg *Config) (*copies, error) {
	c := &copies{node: cfg.Node, dir: cfg.Dir, max: cfg.CacheSize, quota: cmp.Or(cfg.Quota, cfg.CacheSize), peers: cfg.Peers, log: cfg.Log, held: map[id.ID]*held{}}
	var err error
	if c.left, err = loadRecord(c.dir); err != nil {
		return nil, err
	}
	return c, nil
}

// open returns the version that pin names of the publication l, and waits for its metadata. Files
// that it has in common with before, which may be nil, are not fetched again. The files are those that l
// can read: another publication can name the same torrent, and must not get what the secret of the first
// one decrypts.
func (c *copies) open(ctx context.Context, pin, l *magnet.Link, before *held) (*held, *tree.Tree, error) {
	h, err := c.hold(ctx, pin, l, before)
	if err != nil {
		return nil, nil, err
	}
	done, ok := h.use()
	if !ok {
		return nil, nil, node.ErrEnded
	}
	defer done()
	if h.isReady() && h.secret == l.Secret {
		return h, h.tree, nil
	}
	var files *tree.Tree
	if l.Secret.CanRead() {
		files, err = tree.OpenSealed(ctx, h.torrent, l.Secret.Keys())
	} else {
		files, err = tree.Open(ctx, h.torrent)
	}
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !h.isReady() { // another request may have been faster
		h.tree, h.secret = files, l.Secret
		close(h.ready)
	}
	return h, files, nil
}

// ready returns a version whose files are known, or nil.
func (c *copies) ready(infohash id.ID) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[infohash]; h != nil && h.isReady() && !h.hasGone() {
		return h
	}
	return nil
}

// hold returns the version that pin names, whose torrent it adds if the node does not have it.
func (c *copies) hold(ctx context.Context, pin, l *magnet.Link, before *held) (*held, error) {
	ih := pin.InfoHash
	t, isNew, err := c.torrent(ctx, node.Spec{Link: pin, Dir: c.folder(ih), All: true, Peers: c.peers, ReadAhead: readAhead, Cache: true,
		Prepare: func(info *metainfo.Info) error { return c.reuse(ih, info, before) }})
	if err != nil {
		return nil, err
	}
	if isNew && before != nil {
		before.torrent.PassPeers(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[ih]
	if h == nil || h.torrent != t {
		h = &held{copies: c, torrent: t, of: dht.ItemTarget(l.PublicKey, l.Salt), ready: make(chan struct{}), isOwn: t.IsCache(), used: time.Now()}
		c.held[ih] = h
		delete(c.left, ih)
	}
	return h, nil
}

// torrent returns the torrent of a Spec, and adds it if the node does not have it. It waits for one that is
// being removed.
func (c *copies) torrent(ctx context.Context, spec node.Spec) (t *node.Torrent, isNew bool, err error) {
	for {
		if t := c.node.Torrent(spec.InfoHash()); t != nil {
			return t, false, nil
		}
		if t, isWhole := c.node.Archived(spec.InfoHash()); isWhole {
			return t, false, nil
		}
		t, err := c.node.Add(spec)
		if !errors.Is(err, node.ErrDuplicate) {
			return t, true, err
		}
		if err := await.Sleep(ctx, removalPoll); err != nil {
			return nil, false, err
		}
	}
}

// isReady reports whether the files of the version are known.
func (h *held) isReady() bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}

// isReadable reports whether the version can still be read.
func (h *held) isReadable() bool {
	h.copies.mu.Lock()
	defer h.copies.mu.Unlock()
	return !h.hasGone()
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

// usage is what the copies take.
type usage struct {
	bytes   int64
	entries int // files that are known, with data or without
	copies  int
}

func (u *usage) add(s saved, h *held, sign int) {
	u.bytes += int64(sign) * s.Size
	u.copies += sign
	if h != nil && h.isReady() {
		u.entries += sign * h.tree.Len()
	}
}

// exceeds reports whether something must be deleted.
func (c *copies) exceeds(u usage) bool {
	return u.bytes > c.max || u.entries > maxEntries || u.copies > maxCopies
}

// sweep deletes copies until the others fit, pauses those that are not read, and saves the record.
func (c *copies) sweep(ctx context.Context, now time.Time) {
	c.mu.Lock()
	var idle []*held // that nobody reads, those that were not read for the longest time first
	var total usage
	sizes, of := map[id.ID]saved{}, map[id.ID]int64{} // of: bytes of each publication
	var replaced, doomed []id.ID
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
		s := saved{Size: h.torrent.Snapshot().Have, Used: h.used.Unix(), Of: h.of.String()}
		sizes[ih] = s
		of[h.of] += s.Size
		total.add(s, h, 1)
		if !h.isPaused {
			active++
		}
		if h.users == 0 {
			idle = append(idle, h)
		}
	}
	for ih, s := range c.left {
		sizes[ih] = s
		of[s.of()] += s.Size
		total.add(s, nil, 1)
	}
	slices.SortFunc(idle, func(a, b *held) int { return a.used.Compare(b.used) })
	evict := func(ih id.ID) {
		h := c.held[ih]
		doomed = append(doomed, ih)
		total.add(sizes[ih], h, -1)
		of[sizes[ih].of()] -= sizes[ih].Size
		delete(sizes, ih)
		delete(c.left, ih)
		if h != nil {
			if !h.isPaused {
				active--
			}
			h.isGone = true
			delete(c.held, ih)
		}
	}
	for _, h := range idle { // versions that were never found, and those of a publication over its quota
		if !h.isReady() && now.Sub(h.used) >= searchFor || of[h.of] > c.quota {
			evict(h.torrent.InfoHash())
		}
	}
	for c.exceeds(total) {
		ih, ok := c.oldest(idle)
		if !ok {
			break // all are being read
		}
		evict(ih)
	}
	for _, h := range idle {
		if !h.isGone && !h.isPaused && (now.Sub(h.used) >= pauseAfter || active > maxActive) {
			h.isPaused = true
			active--
			_ = h.torrent.Pause(ctx) // it is tried again when it was read again
		}
	}
	c.usage = total
	c.mu.Unlock()
	for _, ih := range replaced {
		c.discard(ih)
	}
	for _, ih := range doomed {
		c.delete(ctx, ih)
	}
	c.save(sizes)
}

// oldest returns the copy that was not read for the longest time, of idle and those of earlier runs. mu
// is held.
func (c *copies) oldest(idle []*held) (found id.ID, ok bool) {
	var used int64
	for ih, s := range c.left {
		if !ok || s.Used < used {
			found, used, ok = ih, s.Used, true
		}
	}
	for _, h := range idle {
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
	if t, _ := c.node.Archived(ih); t != nil { // to which the rest belongs
		c.discard(ih)
		return
	}
	// The torrent of an earlier run is added for that; its metadata is in the state directory.
	t, _, err := c.torrent(ctx, node.Spec{Link: &magnet.Link{InfoHash: ih, HasInfoHash: true}, Dir: c.folder(ih), All: true, ReadAhead: readAhead, Cache: true})
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
