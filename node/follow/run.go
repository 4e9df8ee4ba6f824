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

// After a change, the polling interval is divided by quickEvery. Each poll that finds
// nothing makes it half as long again, up to Config.Poll. If no node answers, the next poll
// comes after pollRetry.
const (
	quickEvery = 10
	pollRetry  = 5 * time.Second
)

func (f *Follower) quick() time.Duration {
	return max(f.cfg.Poll/quickEvery, min(f.cfg.Poll, time.Second))
}

// fetch is a version that is being downloaded, or that is complete but not adopted yet.
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
	f.interval = f.quick()
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
		case item := <-f.hint:
			f.consider(item)
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

// finish lets other processes follow the publication.
func (f *Follower) finish() {
	if f.unkeep != nil {
		f.unkeep()
	}
	if f.fetching != nil {
		f.fetching.stopRetrying()
	}
	f.dirs.close()
	if err := f.folder.close(); err != nil {
		f.warn(fmt.Errorf("the lock of what is followed was not released: %w", err))
	}
}

// resume continues with the version that was current in the last run.
func (f *Follower) resume() {
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

// seedCurrent adds the torrent of the current version if it has not been added. That can
// fail temporarily, for example because another process has the torrent open.
func (f *Follower) seedCurrent() {
	last := f.folder.file.current
	if last.Seq == 0 || f.active.Load() != nil {
		return
	}
	ih, err := mutable.Parse(last.Value)
	if err != nil {
		return
	}
	t, err := f.node.Add(node.Spec{Link: mutable.Pin(f.cfg.Link, ih), Dir: f.dirs.path(last.Folder), Peers: f.cfg.Peers})
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
		f.interval = f.quick()
	} else {
		f.interval = min(f.interval+f.interval/2, f.cfg.Poll)
	}
	return f.interval
}

// newest returns the highest number that is adopted, being downloaded, or refused.
func (f *Follower) newest() int64 {
	seq := max(f.folder.file.Seq, f.refused)
	if f.fetching != nil {
		seq = max(seq, f.fetching.item.Seq)
	}
	return seq
}

func (f *Follower) count(with func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	with(&f.stats)
}

// consider handles an item with a verified signature. If the item is newer than all before,
// consider starts the download of its torrent and returns true; otherwise it counts the
// item.
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
	ih, err := mutable.Parse(item.Value)
	if err != nil {
		f.refused = item.Seq
		f.count(func(s *Stats) { s.Useless++ })
		f.warn(fmt.Errorf("version %d is ignored: %w", item.Seq, err))
		return false
	}
	f.abandon()
	fe := &fetch{item: item, ih: ih, name: versionName(item.Seq, ih.String()), pause: retryFirst}
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
	f.fetching = fe
	f.report(node.FoundVersion, fe)
	return true
}

// prepare fills the folder of a version with the data that earlier versions have.
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

// keep republishes the publisher's item if Config.KeepAlive says so.
func (f *Follower) keep(item dht.Item) {
	if !f.cfg.KeepAlive {
		return
	}
	if f.unkeep != nil {
		f.unkeep()
	}
	f.unkeep = f.items.Keep(item, false, func(r dht.TendReport, _ error) {
		if r.Fork != nil {
			f.count(func(s *Stats) { s.Forked++ })
		}
		if r.Newer != nil {
			select {
			case f.hint <- *r.Newer:
			default:
			}
		}
	})
}

func (f *Follower) report(kind node.EventKind, fe *fetch) {
	f.node.Emit(node.Event{Kind: kind, Publication: &node.PublicationEvent{
		Link: f.cfg.Link.String(), Seq: fe.item.Seq, InfoHash: fe.ih.String(), Dir: f.dirs.path(fe.name),
		Reused: fe.reused.Load(), Fetched: fe.torrent.Snapshot().Downloaded}}.About(fe.torrent))
}
