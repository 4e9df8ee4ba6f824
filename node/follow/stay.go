package follow

import (
	"context"
	"errors"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// shown is a version on disk that the link current may point to.
type shown struct {
	Seq      int64  `json:"seq,omitempty"`
	InfoHash string `json:"infohash,omitempty"`
	Folder   string `json:"folder,omitempty"`
}

// shown returns the version that the link current points to. Its Seq is 0 if there is none.
func (r *record) shown() shown {
	if r.Stay != nil {
		return *r.Stay
	}
	return shown{r.Seq, r.InfoHash, r.Folder}
}

// request is work for the goroutine of a follower.
type request struct {
	do   func() error
	done chan error // has a buffer of one
}

// Stay makes a version that is on disk the current one, and seeds it. Newer versions are looked for,
// but not downloaded, until Continue, also after a restart. A version that is not on disk is a
// FaultUsage. Stay takes a moment; what has begun continues when ctx ends.
func (f *Follower) Stay(ctx context.Context, seq int64) error {
	return f.ask(ctx, func() error {
		name, info, err := f.onDisk(seq)
		if err != nil {
			return err
		}
		f.abandon()
		r := f.folder.file
		r.Stay = &shown{seq, info.Hash.String(), name}
		return f.show(&r)
	})
}

// Continue ends Stay: the newest complete version becomes the current one again, and newer ones are
// downloaded.
func (f *Follower) Continue(ctx context.Context) error {
	return f.ask(ctx, func() error {
		r := f.folder.file
		if r.Stay == nil {
			return nil
		}
		r.Stay = nil
		if err := f.show(&r); err != nil {
			return err
		}
		f.prune()
		f.interval = f.quickInterval()
		f.held.Store(0)
		f.advance()
		return nil
	})
}

// Check looks for a newer version now, unless that is being done. It does not wait for the result.
func (f *Follower) Check(ctx context.Context) error {
	if f.cancelPoll.Load() != nil {
		return nil
	}
	return f.ask(ctx, func() error { return nil }) // a poll follows every request
}

// ask lets the goroutine of the follower do something between its other work. A poll, which can
// take a minute, ends for it.
func (f *Follower) ask(ctx context.Context, do func() error) error {
	f.asking.Add(1)
	defer f.asking.Add(-1)
	if cancel := f.cancelPoll.Load(); cancel != nil {
		(*cancel)()
	}
	r := request{do, make(chan error, 1)}
	select {
	case f.requests <- r:
	case <-f.done:
		return node.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// show makes the version that a record shows the current one, and saves the record. If that fails,
// everything stays as it was.
func (f *Follower) show(r *record) error {
	was, to := f.active.Load(), r.shown()
	now := was
	if was == nil || to.InfoHash != f.folder.file.shown().InfoHash {
		var err error
		if infohash, err := id.ParseHex(to.InfoHash); err == nil {
			f.setTorrents(infohash)
		}
		if now, err = f.seed(to); err != nil {
			f.setTorrents()
			return err
		}
	}
	err := f.folder.save(r)
	if err == nil {
		if err = f.dirs.switchTo(to.Folder); err != nil {
			err = errors.Join(err, f.folder.save(&f.folder.file))
		}
	}
	if err != nil {
		if now != was {
			f.drop(now)
		}
		return err
	}
	f.mu.Lock()
	f.folder.file = *r
	f.mu.Unlock()
	f.active.Store(now)
	if was != nil && was != now {
		f.drop(was)
	}
	f.setTorrents()
	f.shareEarlier()
	f.node.Emit(node.Event{Kind: node.SwitchedVersion, Publication: &node.PublicationEvent{
		Link: f.cfg.Link.String(), Seq: to.Seq, InfoHash: to.InfoHash, Dir: f.dirs.path(to.Folder)}}.About(now))
	return nil
}

// seed adds the torrent of a version on disk to the node. Its metadata was saved with it; without
// the piece layers of a v2 torrent it comes from peers again.
func (f *Follower) seed(v shown) (*node.Torrent, error) {
	spec := node.Spec{Dir: f.store.path(v.Folder), Peers: f.cfg.Peers}
	if info := f.folder.torrent(v.Folder); info != nil && !info.LacksLayers() {
		spec.Torrent = &metainfo.Torrent{Info: info}
		spec.Peers = append(spec.Peers[:len(spec.Peers):len(spec.Peers)], f.cfg.Link.Peers...)
		return f.node.Add(spec)
	}
	ih, err := id.ParseHex(v.InfoHash)
	if err != nil {
		return nil, err
	}
	spec.Link = mutable.Pin(f.cfg.Link, ih)
	return f.node.Add(spec)
}
