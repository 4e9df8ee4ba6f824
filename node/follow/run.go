package follow

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
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
	ih      id.ID  // infohash in the item
	name    string // folder of the version
	torrent *node.Torrent
	reused  atomic.Int64
	retry   *time.Timer // set after a failed attempt to adopt it
	pause   time.Duration
}

func (f *Follower) run() {
	defer close(f.done)
	defer f.finish()
	f.resume()
	f.interval = f.quickInterval()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var complete, ended <-chan struct{}
		var retry <-chan time.Time
		if fe := f.fetching; fe != nil {
			ended = fe.torrent.Ended()
			if fe.retry != nil {
				retry = fe.retry.C
			} else {
				complete = fe.torrent.Done()
			}
		}
		select {
		case <-f.ctx.Done():
			return
		case item := <-f.newer:
			f.consider(item)
		case r := <-f.requests:
			r.done <- r.do()
			timer.Reset(0)
		case <-complete:
			f.adopt()
		case <-retry:
			f.adopt()
		case <-ended:
			if f.ctx.Err() == nil {
				f.abandon() // the node has reported the error; a later poll tries again
			}
		case <-timer.C:
			timer.Reset(f.poll())
		}
	}
}

// finish stops republishing and releases the lock, so that another process can follow the
// publication.
func (f *Follower) finish() {
	if f.stopKeeping != nil {
		f.stopKeeping()
	}
	if f.fetching != nil {
		f.fetching.stopRetrying()
	}
	f.dirs.close()
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
	last := f.folder.file.current
	if last.Seq == 0 {
		return
	}
	item, err := last.item(f.cfg.Link)
	if err != nil {
		f.warn(err)
		return
	}
	f.keep(item)
	f.seedCurrent()
}

// seedCurrent adds the torrent of the current version to the node, if that has not been
// done yet. It can fail temporarily, for example because another process has the torrent
// open. Then the next poll tries again.
func (f *Follower) seedCurrent() {
	now := f.folder.file.shown()
	if now.Seq == 0 || f.active.Load() != nil {
		return
	}
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
	var after *int64
	if seq := f.newest(); seq > 0 {
		after = &seq
	}
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	f.cancelPoll.Store(&cancel)
	defer f.cancelPoll.Store(nil)
	if f.asking.Load() > 0 {
		return 0 // ask may have come too early for cancelPoll
	}
	g, err := f.items.Get(ctx, f.target, f.cfg.Link.Salt, after)
	f.count(func(s *Stats) {
		s.Polls++
		s.Older += int64(g.Older)
		s.Unsigned += int64(g.Faults.Unsigned)
		s.Foreign += int64(g.Faults.Wrong)
		if g.Forked {
			s.Forked++
		}
	})
	if err != nil || g.Answered == 0 {
		return min(pollRetry, f.cfg.Poll)
	}
	if g.Item != nil && f.consider(*g.Item) {
		f.interval = f.quickInterval()
	} else {
		f.interval = min(f.interval+f.interval/2, f.cfg.Poll)
	}
	return f.interval
}

// newest returns the highest number of the versions that were adopted, are being
// downloaded, were refused, or are held back.
func (f *Follower) newest() int64 {
	seq := max(f.folder.file.Seq, f.refused)
	if f.fetching != nil {
		seq = max(seq, f.fetching.item.Seq)
	}
	if held := f.held.Load(); held != nil {
		seq = max(seq, held.Seq)
	}
	return seq
}

func (f *Follower) count(with func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	with(&f.stats)
}

// consider handles an item whose signature is valid. If the item is newer than all earlier
// ones, consider starts the download of its torrent and returns true, unless another version
// stays. Otherwise it counts the item in Stats and returns false.
func (f *Follower) consider(item dht.Item) bool {
	if item.Seq <= f.newest() {
		f.count(func(s *Stats) {
			last := f.folder.file.current
			if item.Seq == last.Seq && !bytes.Equal(item.Value, last.Value) {
				s.Forked++
			} else if item.Seq < last.Seq {
				s.Older++
			}
		})
		return false
	}
	v, err := mutable.Read(f.cfg.Link, item.Value)
	if err != nil {
		f.refused = item.Seq
		f.count(func(s *Stats) { s.Useless++ })
		f.warn(fmt.Errorf("version %d is ignored: %w", item.Seq, err))
		return false
	}
	if f.folder.file.Stay != nil {
		f.held.Store(&item)
		return false
	}
	f.abandon()
	ih := v.InfoHash
	fe := &fetch{item: item, ih: ih, name: versionName(item.Seq, ih.String()), pause: firstRetry}
	if t := f.active.Load(); t != nil && f.folder.file.InfoHash == ih.String() && f.node.Torrent(ih) == t {
		// The same content under a new number: there is nothing to download.
		fe.name, fe.torrent = f.folder.file.Folder, t
	} else {
		fe.torrent, err = f.node.Add(node.Spec{
			Link: mutable.Pin(f.cfg.Link, ih), Dir: f.dirs.path(fe.name), Peers: f.cfg.Peers,
			Prepare: func(info *metainfo.Info) error { return f.prepare(fe, info) },
		})
		if err != nil {
			f.warn(fmt.Errorf("version %d cannot be downloaded: %w", item.Seq, err))
			return false
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
	for _, name := range f.dirs.list() {
		if name == fe.name {
			continue
		}
		if old := f.folder.torrent(name); old != nil {
			from = append(from, source{name, old})
		}
	}
	n, err := f.dirs.reuse(fe.name, info, from)
	fe.reused.Store(n)
	return err
}

// keep republishes the publisher's item if Config.KeepAlive is set.
func (f *Follower) keep(item dht.Item) {
	if !f.cfg.KeepAlive {
		return
	}
	if f.stopKeeping != nil {
		f.stopKeeping()
	}
	f.stopKeeping = f.items.Keep(item, false, func(r dht.RepublishReport, _ error) {
		if r.Fork != nil {
			f.count(func(s *Stats) { s.Forked++ })
		}
		if r.Newer != nil {
			select {
			case f.newer <- *r.Newer:
			default:
			}
		}
	})
}

// report emits an event about a version.
func (f *Follower) report(kind node.EventKind, fe *fetch) {
	f.node.Emit(node.Event{Kind: kind, Publication: &node.PublicationEvent{
		Link: f.cfg.Link.String(), Seq: fe.item.Seq, InfoHash: fe.ih.String(), Dir: f.dirs.path(fe.name),
		Reused: fe.reused.Load(), Fetched: fe.torrent.Snapshot().Downloaded}}.About(fe.torrent))
}
