package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"seedbed/dht"
	"seedbed/node"
)

// catchUp adopts what other publishers have published through the object store, and decides whether the content is
// still to be published. The caller holds making. If the content is new, catchUp waits until the store answers;
// otherwise it gives up after lookTimeout, with a warning, so that the item on record is put.
func (p *Publication) catchUp(ctx context.Context, c *content) error {
	f := p.publisher.fence
	if f == nil {
		return nil
	}
	look := ctx
	if !c.fresh {
		var cancel context.CancelFunc
		look, cancel = context.WithTimeout(ctx, lookTimeout)
		defer cancel()
	}
	info := c.spec.Torrent.Info
	wasOwn := p.folder.file.lastOwn().isTorrent(info)
	err := f.patiently(look, p.waitForStore, func() error {
		if _, err := f.ready(look); err != nil {
			return err
		}
		return p.adopt(look)
	})
	var fault *node.Fault
	switch {
	case err == nil:
	case c.fresh, ctx.Err() != nil, errors.As(err, &fault):
		return err
	default:
		p.warn(fmt.Errorf("the object store cannot be asked for newer versions: %w", err))
		return nil
	}
	last := p.folder.file.last()
	c.fresh = !last.isTorrent(info)
	isOwn := wasOwn || p.folder.file.lastOwn().isTorrent(info)
	isUnchanged := c.fresh && c.isResumed && isOwn // since it was published from here
	c.isOutdated = isUnchanged && last.Other
	if isUnchanged && !last.Other && p.folder.anyTorrent(last) != nil {
		return errUnfinishedRollback
	}
	return nil
}

// errUnfinishedRollback reports that the newest version was published from here and is not that of the path, although that
// has not changed: the process was killed when it had taken the number of a rollback, and before that was on record.
var errUnfinishedRollback = errors.New("a rollback was not finished")

// adopt reads the record in the store, and adds its versions to the local record. The caller holds making.
func (p *Publication) adopt(ctx context.Context) error {
	f := p.publisher.fence
	r, etag, err := f.load(ctx, p.target)
	if err != nil {
		return err
	}
	p.shared = shared{r, etag}
	if r == nil {
		return nil
	}
	versions, err := r.versions(p.folder.file.Versions, f.self, func(value []byte) (v Version, err error) {
		read, err := p.folder.file.read(value)
		v.InfoHash = read.InfoHash.String()
		if !read.InfoHashV2.IsZero() {
			v.InfoHashV2 = read.InfoHashV2.String()
		}
		return v, err
	})
	if err != nil {
		return err
	}
	next := p.folder.file
	next.Versions = versions
	if err := p.folder.save(&next); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folder.file.Versions = versions
	return nil
}

// lastOwn returns the newest version that was published from here, or nil.
func (r *record) lastOwn() *Version {
	for i := range slices.Backward(r.Versions) {
		if !r.Versions[i].Other {
			return &r.Versions[i]
		}
	}
	return nil
}

// waitForStore reports that publishing waits for the object store. Meanwhile it republishes the item on record.
func (p *Publication) waitForStore(err error) {
	p.warn(node.NewFault(node.FaultNetwork, fmt.Errorf("publishing waits for the object store, which does not answer: %w", err), "it goes on by itself"))
	if p.onWait != nil {
		p.onWait()
	}
	if last := p.folder.file.last(); p.stopKeeping == nil && last != nil {
		if i, err := p.folder.file.item(last); err == nil {
			p.keep(i, false)
		}
	}
}

// keep republishes an item in place of an earlier one. The caller holds making.
func (p *Publication) keep(i dht.Item, justPut bool) {
	if p.stopKeeping != nil {
		p.stopKeeping()
		p.stopStatement()
	}
	p.stopStatement = p.keepStatement()
	p.stopKeeping = p.publisher.items.Keep(i, justPut, p.republished)
}

// lookInStore handles an item that is not on record: if another publisher has published it through the store, it is
// republished from now on. Otherwise the user is warned. It is called at most once at a time.
func (p *Publication) lookInStore(i dht.Item) {
	defer func() {
		p.mu.Lock()
		p.seen.isAsking = false
		p.mu.Unlock()
	}()
	// making is not held between the tries, so that other operations need not wait for the store.
	err := p.publisher.fence.patiently(p.ctx, nil, func() error { return p.keepAdopted(&i) })
	if err == nil || p.ctx.Err() != nil {
		return
	}
	p.warn(fmt.Errorf("the object store cannot be asked for newer versions: %w", err))
	p.warnForeign(&i)
}

// keepAdopted adopts the versions in the store and republishes the newest one. It warns if the item i is not among them.
func (p *Publication) keepAdopted(i *dht.Item) error {
	if err := p.making.lockWithin(p.ctx); err != nil {
		return err
	}
	defer p.making.Unlock()
	if err := p.ctx.Err(); err != nil {
		return err
	}
	before := p.folder.file.last()
	if err := p.adopt(p.ctx); err != nil {
		return err
	}
	p.warnForeign(i)
	last := p.folder.file.last()
	if last == nil || before != nil && last.Seq == before.Seq && bytes.Equal(last.Value, before.Value) {
		return nil
	}
	if newest, err := p.folder.file.item(last); err == nil && p.stopKeeping != nil {
		p.keep(newest, false)
		p.pushes.Push(newest)
	}
	return nil
}

// outdated reports that another publisher has published a newer version than the files that are unchanged here.
func (p *Publication) outdated() {
	last := p.folder.file.last()
	p.warn(node.NewFault(node.FaultConflict, fmt.Errorf("version %d was published by another machine; the files here are those of an earlier version, and are published again when they change", last.Seq), ""))
}

// versions merges the versions of the store into those of the local record.
func (s *sharedRecord) versions(local []Version, self string, read func([]byte) (Version, error)) ([]Version, error) {
	merged := slices.Clone(local)
	for i := range s.Versions {
		v := &s.Versions[i]
		at, found := slices.BinarySearchFunc(merged, v.Seq, func(l Version, seq int64) int { return cmp.Compare(l.Seq, seq) })
		if found && slices.Equal(merged[at].Value, v.Value) {
			continue
		}
		one, err := read(v.Value)
		if err != nil {
			return nil, fmt.Errorf("version %d in the object store: %w", v.Seq, err)
		}
		one.Seq, one.Value, one.Sig, one.Time = v.Seq, v.Value, v.Sig, v.Time
		one.Name, one.Size, one.Files, one.Other = v.Name, v.Size, v.Files, v.By != self
		if found { // it was published without the store, which has another version with this number
			merged[at] = one
		} else {
			merged = slices.Insert(merged, at, one)
		}
	}
	return merged[max(len(merged)-maxVersions, 0):], nil
}
