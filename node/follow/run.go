package follow

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// After a change, the polling interval is Config.Poll / quickFactor. Each poll without a
// newer version makes it 50 % longer, up to Config.Poll. If no node answers, the next poll
// comes after pollRetry.
const (
	quickFactor = 10
	pollRetry   = 5 * time.Second
)

// quickInterval returns the polling interval just after a change.
func (f *Follower) quickInterval() time.Duration {
	return max(f.cfg.Poll/quickFactor, min(f.cfg.Poll, time.Second))
}

// fetch is a version that is being downloaded, or is complete but not adopted yet.
type fetch struct {
	item    dht.Item
	seq     int64  // number of the version
	ih      id.ID  // infohash in the item
	name    string // folder of the version
	torrent *node.Torrent
	reused  atomic.Int64
	retry   *time.Timer // set after a failed attempt to adopt it
	reading reading     // of a private publication
	pause   time.Duration
}

func (f *Follower) run() {
	defer close(f.done)
	defer f.finish()
	f.resume()
	f.interval = f.quickInterval()
	timer, moved := time.NewTimer(0), f.node.NextMove()
	defer timer.Stop()
	due := time.Now() // when the timer fires
	pollIn := func(d time.Duration) {
		due = time.Now().Add(d)
		timer.Reset(d)
	}
	for {
		var complete, ended <-chan struct{}
		var retry <-chan time.Time
		if fe := f.fetching; fe != nil {
			ended = fe.torrent.Ended()
			switch {
			case fe.reading.done != nil:
				complete = fe.reading.done
			case fe.retry != nil:
				retry = fe.retry.C
			default:
				complete = fe.torrent.Done()
			}
		}
		select {
		case <-f.ctx.Done():
			return
		case <-f.pushes.arrived:
			if f.takeArrivals() && f.advance() { // pushed items never put off a poll, which finds what is not pushed
				f.interval = f.quickInterval()
				pollIn(min(f.interval, max(time.Until(due), 0)))
			}
		case <-moved:
			moved = f.node.NextMove()
			pollIn(0)
		case r := <-f.requests:
			r.done <- r.do()
			pollIn(0)
		case <-complete:
			f.adopt()
		case <-retry:
			f.adopt()
		case <-ended:
			if f.ctx.Err() == nil {
				f.abandon() // the node has reported the error; a later poll tries again
			}
		case <-timer.C:
			pollIn(f.poll())
		}
	}
}

// finish stops republishing and releases the lock, so that another process can follow the
// publication.
func (f *Follower) finish() {
	f.stopKeepingAll()
	if f.fetching != nil {
		f.fetching.stopRetrying()
		f.fetching.reading.stop()
	}
	f.unsubscribe()
	f.closeVersions()
	if err := f.folder.close(); err != nil {
		f.warn(fmt.Errorf("cannot release the lock of a followed publication: %w", err))
	}
}

// resume seeds the version that was current in the last run, and republishes the newest item.
func (f *Follower) resume() {
	if stay := f.folder.file.Stay; stay != nil {
		if err := f.dirs.switchTo(stay.Folder); err != nil {
			f.warn(err)
		}
	}
	f.recall()
	f.subscribe()
	f.keep()
	f.seedCurrent()
	f.shareEarlier()
}

// seedCurrent adds the torrent of the current version to the node, if that has not been
// done yet. It can fail temporarily, for example because another process has the torrent
// open. Then the next poll tries again.
func (f *Follower) seedCurrent() {
	now := f.folder.file.shown()
	if now.Seq == 0 || f.active.Load() != nil {
		return
	}
	f.setTorrents()
	t, err := f.seed(now)
	if err != nil {
		f.warn(err)
		return
	}
	f.active.Store(t)
}

// warn emits a warning unless it repeats the last one.
func (f *Follower) warn(err error) {
	if text := err.Error(); text != f.warned {
		f.warned = text
		f.node.Emit(node.Event{Kind: node.Warning, Err: err}.About(f.active.Load()))
	}
}

// poll checks for a newer version, and returns the wait until the next poll.
func (f *Follower) poll() time.Duration {
	f.seedCurrent()
	f.shareAgain()
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	f.cancelPoll.Store(&cancel)
	defer f.cancelPoll.Store(nil)
	if f.asking.Load() > 0 || f.pushes.queue.IsReady() {
		return 0 // they may have come too early for cancelPoll
	}
	f.cancelOnMove(ctx, cancel)
	if !f.look(ctx) {
		return min(pollRetry, f.cfg.Poll)
	}
	if f.advance() {
		f.interval = f.quickInterval()
	} else {
		f.interval = min(f.interval+f.interval/2, f.cfg.Poll)
	}
	return f.interval
}

func (f *Follower) count(with func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	with(&f.stats)
}

// advance starts the download of the newest version, unless it is the current one, it is
// being downloaded, or another version stays. It returns true if it has started.
func (f *Follower) advance() bool {
	v, ok := f.judge.Newest()
	if !ok {
		return false
	}
	now := &f.folder.file.current
	if f.fetching != nil && f.fetching.seq == v.Number && f.fetching.ih == v.InfoHash {
		return false
	}
	if now.Seq == v.Number && now.InfoHash == v.InfoHash.String() {
		f.abandon() // the version that was being downloaded has been revoked
		return false
	}
	if f.folder.file.Stay != nil {
		f.held.Store(v.Number)
		return false
	}
	f.abandon()
	f.reportRevoked(v)
	fe := &fetch{item: node.ItemOf(f.cfg.Link, v.Item), seq: v.Number, ih: v.InfoHash, name: versionName(v.Number, v.InfoHash.String()), pause: firstRetry}
	if t := f.active.Load(); t != nil && now.InfoHash == v.InfoHash.String() && f.node.Torrent(v.InfoHash) == t {
		// The same content under a new number: there is nothing to download.
		fe.name, fe.torrent, fe.reading.isComplete = now.Folder, t, true
	} else {
		var err error
		f.setTorrents(v.InfoHash)
		fe.torrent, err = f.node.Add(node.Spec{
			Link: v.Pin(f.cfg.Link), Dir: f.store.path(fe.name), Peers: f.cfg.Peers, Own: true,
			Prepare: func(info *metainfo.Info) error { return f.prepare(fe, info) },
		})
		if err != nil {
			f.setTorrents()
			f.warn(fmt.Errorf("version %d cannot be downloaded: %w", fe.seq, err))
			return false
		}
		if t := f.active.Load(); t != nil {
			t.PassPeers(fe.torrent)
		}
	}
	f.setFetching(fe)
	f.report(node.FoundVersion, fe)
	return true
}

// setFetching sets the version that is being downloaded, or nil.
func (f *Follower) setFetching(fe *fetch) {
	f.fetching = fe
	f.next.Store(fe)
}

// prepare fills the folder of a version with data from earlier versions.
func (f *Follower) prepare(fe *fetch, info *metainfo.Info) error {
	var from []source
	for _, name := range f.store.list() {
		if name == fe.name {
			continue
		}
		if old := f.folder.torrent(name); old != nil {
			from = append(from, source{name, old})
		}
	}
	if f.cfg.Admit != nil {
		if err := f.cfg.Admit(fe.item.Seq, info, addedBytes(info, from)); err != nil {
			return err
		}
	}
	n, err := f.store.reuse(fe.name, info, from)
	fe.reused.Store(n)
	return err
}

// keep republishes the item of the current version, and the statement of the key in the link,
// if Config.KeepAlive is set.
func (f *Follower) keep() {
	if !f.cfg.KeepAlive {
		return
	}
	f.stopKeepingAll()
	for _, item := range f.itemsToKeep() {
		f.stopKeeping = append(f.stopKeeping, f.items.Keep(item, false, func(r dht.RepublishReport, _ error) {
			if r.Fork != nil {
				f.count(func(s *Stats) { s.Forked++ })
			}
			if r.Newer != nil {
				f.pushes.put(*r.Newer, false)
			}
		}))
	}
}

func (f *Follower) stopKeepingAll() {
	for _, stop := range f.stopKeeping {
		stop()
	}
	f.stopKeeping = nil
}

// report emits an event about a version.
func (f *Follower) report(kind node.EventKind, fe *fetch) {
	f.node.Emit(node.Event{Kind: kind, Publication: &node.PublicationEvent{
		Link: f.cfg.Link.String(), Seq: fe.seq, InfoHash: fe.ih.String(), Dir: f.dirs.path(fe.name),
		Pushed: f.wasPushed(&fe.item), Reused: fe.reused.Load(), Fetched: fe.torrent.Snapshot().Downloaded}}.About(fe.torrent))
}
