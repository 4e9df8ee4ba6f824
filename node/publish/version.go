package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// update implements Update; the caller holds making.
func (p *Publication) update(ctx context.Context, overrule bool) (changed bool, err error) {
	r := &p.folder.file
	made, spec, err := p.make(ctx)
	if err != nil {
		return false, err
	}
	c := content{spec: spec, fresh: !r.last().isTorrent(made.Info), overrule: overrule, isResumed: p.isResumed}
	err = p.publish(ctx, &c)
	if errors.Is(err, errUnfinishedRollback) {
		return false, p.rollback(ctx, r.last().Seq, overrule)
	}
	if err != nil {
		return false, err
	}
	p.fingerprint = made.Fingerprint
	if err := p.folder.saveStamps(made); err != nil {
		p.warn(fmt.Errorf("cannot save the size and time of the files, so all of them are hashed again next time: %w", err))
	}
	return c.fresh && !c.isOutdated, nil
}

// make makes a torrent of the path. It hashes only the files that have changed.
func (p *Publication) make(ctx context.Context) (*create.Made, node.Spec, error) {
	if !p.secret.IsZero() {
		return p.makePrivate(ctx)
	}
	o, path := p.options, p.folder.file.Path
	o.Before = p.folder.before()
	if objectstore.IsLocation(path) {
		return p.makeOfObjects(ctx, path, o)
	}
	made, err := node.Make(ctx, path, o)
	if err != nil {
		return nil, node.Spec{}, err
	}
	p.facts = factsOf(made.Info)
	spec, err := node.MadeSpec(path, made)
	return made, spec, err
}

// rollback implements Rollback; the caller holds making. If the newest version already has
// the content, rollback makes no new version. Afterwards, the content of the path is
// published only when it changes, or when the user publishes the path again.
func (p *Publication) rollback(ctx context.Context, seq int64, overrule bool) error {
	torrent, err := p.earlier(seq)
	if err != nil {
		return err
	}
	r := &p.folder.file
	fingerprint, err := p.publisher.fingerprintOf(ctx, r.Path, p.options)
	if err != nil {
		fingerprint = create.Fingerprint{} // the path cannot be read
	}
	c := content{fresh: !r.last().isTorrent(torrent.Info), overrule: overrule, isRollback: true, isResumed: p.isResumed}
	made, spec, err := p.make(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && made.Info.Hash == torrent.Info.Hash:
		c.spec = spec
	default:
		c.data = p.folder.dataDir(torrent.Info)
		c.spec = node.Spec{Torrent: torrent, Dir: c.data}
		p.publisher.node.Emit(node.Event{Kind: node.Warning, Err: node.NewFault(node.FaultOther,
			fmt.Errorf("%s no longer contains version %d", r.Path, seq), "its data is downloaded from followers that have it, into "+c.data)})
	}
	p.facts = r.factsOf(seq)
	if err := p.publish(ctx, &c); err != nil {
		return err
	}
	p.fingerprint = fingerprint
	return nil
}

// earlier returns the torrent of a recorded version.
func (p *Publication) earlier(seq int64) (*metainfo.Torrent, error) {
	r := &p.folder.file
	k := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Seq == seq })
	if k < 0 {
		return nil, node.NewFault(node.FaultUsage, fmt.Errorf("there is no version %d of this publication", seq), "seedbed publish --history lists the versions")
	}
	t := p.folder.anyTorrent(&r.Versions[k])
	if t == nil {
		return nil, node.NewFault(node.FaultVanished, fmt.Errorf("the torrent of version %d is no longer in the state directory", seq), "")
	}
	return t, nil
}

// content is the content of the version to publish.
type content struct {
	spec       node.Spec
	data       string // the download folder of a rollback, or "" if the path contains the data
	fresh      bool   // the newest version has other content
	isRollback bool
	overrule   bool
	isResumed  bool // the user has not asked for it now
	// isOutdated says that another publisher has published a newer version through the object store, and that the
	// content has not changed since it was published from here.
	isOutdated bool
}

// publish seeds a version, puts its item if it is new, and republishes the item from then
// on.
func (p *Publication) publish(ctx context.Context, c *content) error {
	r := &p.folder.file
	was := p.setRolledBack(c.isRollback) // saved together with the new version
	item, fresh, cas, err := p.item(ctx, c)
	if err != nil {
		p.setRolledBack(was)
		return err
	}
	if c.data == "" { // also if it is not new: an earlier run may have failed to keep it
		p.keepManifest(c.spec.Torrent.Info)
	}
	old := p.torrent.Load()
	p.pushes.SetTorrents(infohashes(old, c.spec.Torrent.Info)...)
	wasShared, err := p.seed(ctx, *c)
	if err != nil {
		p.pushes.SetTorrents(infohashes(p.torrent.Load(), nil)...)
		return err
	}
	// The peers of the previous version learn of the new one while the DHT does.
	p.pushes.Push(item)
	p.mu.Lock()
	p.outcome = Outcome{Link: p.link(), KeepLink: p.keepLink(), Seq: item.Seq, InfoHash: p.Torrent().InfoHash(), IsUnchanged: !fresh, WasShared: wasShared}
	p.seen.reported, p.seen.held = false, false
	p.mu.Unlock()
	p.keep(item, fresh && p.put(ctx, item, cas))
	p.publisher.cancelEnd(p.target)
	if p.shared.record != nil && p.shared.record.Ended && !c.isResumed { // it was published before, and had ended
		p.publisher.wg.Go(func() { p.recordAlive() })
	}
	p.publisher.wg.Go(p.shareEarlier)
	return p.folder.save(r)
}

// infohashes returns the infohashes of a torrent and of an info dictionary, if they are not nil.
func infohashes(t *node.Torrent, info *metainfo.Info) (list []id.ID) {
	if t != nil {
		list = append(list, t.InfoHash())
	}
	if info != nil {
		list = append(list, info.Hash)
	}
	return list
}

// setRolledBack records whether the newest version is a rollback, and returns the old value.
func (p *Publication) setRolledBack(is bool) (was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.folder.file
	was, r.RolledBack = r.RolledBack, is
	return was
}

// seed makes the node seed a version, and stop seeding the previous one. wasShared is as in
// Outcome.
func (p *Publication) seed(ctx context.Context, c content) (wasShared bool, err error) {
	t, isOthers, err := p.publisher.torrents.acquire(ctx, c.spec)
	if err != nil {
		return false, err
	}
	old := p.torrent.Swap(t)
	if old == t {
		c.data = p.data // t keeps its folder
	} else if old != nil {
		old.PassPeers(t)
	}
	p.publisher.torrents.releaseSoon(old, p.data, p.shareEarlier)
	p.data = c.data
	if old == nil { // an earlier run may have left data
		p.forgetAll()
	}
	return isOthers && old != t, nil
}

// forgetAll deletes the data of rollbacks, and what the node keeps of the versions, except for torrents that are in the node.
// A process that was killed while it changed the version has left that behind.
func (p *Publication) forgetAll() {
	if err := p.folder.dropData(func(infohash id.ID) bool { return p.publisher.node.Torrent(infohash) != nil }); err != nil {
		p.warn(fmt.Errorf("cannot delete the data of an earlier version: %w", err))
	}
	for _, v := range p.Versions() {
		infohash, err := id.ParseHex(v.InfoHash)
		if err != nil {
			continue
		}
		if err := p.publisher.node.Forget(infohash); err != nil {
			p.warn(fmt.Errorf("cannot forget version %d: %w", v.Seq, err))
		}
	}
}
