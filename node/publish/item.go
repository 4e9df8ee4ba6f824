package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"seedbed/dht"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

const (
	// putTimeout limits the first put of an item. The torrent is already being seeded.
	putTimeout = 30 * time.Second
	// lookTimeout limits the lookup of an item if the content has not changed.
	lookTimeout = 30 * time.Second
)

// item returns the item for the content. If the content is not the newest version, item signs
// a new one with the next number and records it; otherwise it returns the newest item. cas
// is the sequence number of the item in the DHT, or nil.
func (p *Publication) item(ctx context.Context, c *content) (_ dht.Item, isFresh bool, cas *int64, err error) {
	if err := p.catchUp(ctx, c); err != nil {
		return dht.Item{}, false, nil, err
	}
	newest, err := p.lookup(ctx, c.fresh)
	if err != nil {
		return dht.Item{}, false, nil, err
	}
	if p.isOthers(&newest) { // perhaps since then, through the object store
		if err := p.catchUp(ctx, c); err != nil {
			return dht.Item{}, false, nil, err
		}
	}
	foreign := p.isOthers(&newest)
	if foreign && !c.overrule {
		return dht.Item{}, false, nil, p.othersConflict(&newest)
	}
	return p.decide(ctx, c, &newest, foreign)
}

// decide is item after the lookup. foreign says that newest was not published from here.
func (p *Publication) decide(ctx context.Context, c *content, newest *found, foreign bool) (_ dht.Item, isFresh bool, cas *int64, err error) {
	for isFirst := true; ; isFirst = false {
		if c.isOutdated {
			p.outdated()
		}
		if (!c.fresh || c.isOutdated) && !foreign {
			i, err := p.newestItem(c)
			return i, false, nil, err
		}
		i, cas, err := p.next(ctx, c.spec.Torrent, newest)
		if !errors.Is(err, errOvertaken) {
			if !isFirst {
				cas = nil // nodes may have that of the other publisher
			}
			return i, true, cas, err
		}
		if err := p.catchUp(ctx, c); err != nil {
			return dht.Item{}, false, nil, err
		}
		foreign = foreign && p.isOthers(newest) // perhaps it has come through the object store
	}
}

// newestItem returns the item of the newest version on record, which the content is unless that is outdated.
func (p *Publication) newestItem(c *content) (dht.Item, error) {
	if !c.isOutdated {
		if err := p.folder.keepTorrent(c.spec.Torrent); err != nil {
			return dht.Item{}, err
		}
	}
	return p.folder.file.item(p.folder.file.last())
}

// next signs the item of a torrent as the version after all that are known, and records it. cas is as for item.
func (p *Publication) next(ctx context.Context, torrent *metainfo.Torrent, newest *found) (_ dht.Item, cas *int64, err error) {
	seq := max(newest.Number, newest.after)
	if last := p.folder.file.last(); last != nil {
		seq = max(seq, last.Seq)
	}
	if newest.own != nil {
		seq, cas = max(seq, newest.own.Seq), &newest.own.Seq
	}
	i, err := p.sign(ctx, torrent, seq, newest.carried())
	return i, cas, err
}

// sign creates the version after seq, signs its item and records it: first in the object store, if there is one. The item of the owner of a
// delegated publication repeats the statement d; it is nil otherwise.
func (p *Publication) sign(ctx context.Context, torrent *metainfo.Torrent, seq int64, d *mutable.Delegation) (dht.Item, error) {
	if seq == math.MaxInt64 {
		return dht.Item{}, node.NewFault(node.FaultConflict, errors.New("the newest version already has the highest possible number, so no further version is possible"),
			"publish under another key or salt")
	}
	info := torrent.Info
	now := time.Now().UTC().Truncate(time.Second)
	v := mutable.VersionOf(info, seq+1)
	v.Signed, v.Earlier = now, p.folder.file.earlier()
	if p.folder.file.Master == "" {
		v.Delegation = d
	}
	value := v.Value()
	if !p.secret.IsZero() {
		var err error
		if value, err = mutable.Seal(p.secret, value); err != nil {
			return dht.Item{}, err
		}
	}
	i, err := dht.SignItem(p.key, p.itemSalt(), v.Seq, value)
	if err != nil {
		return dht.Item{}, err
	}
	version := Version{
		Seq: i.Seq, InfoHash: info.Hash.String(), InfoHashV2: hexV2(info), Name: p.facts.name, Size: p.facts.size, Files: p.facts.files,
		Time: now, Value: i.Value, Sig: i.Sig[:],
	}
	if err := p.take(ctx, &version); err != nil {
		return dht.Item{}, err
	}
	versions, err := p.folder.add(version, torrent)
	if err != nil {
		return dht.Item{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folder.file.Versions = versions
	return i, nil
}

// put puts the item of a new version, and reports whether any node stores it. If none does,
// the dht.Keeper tries again.
func (p *Publication) put(ctx context.Context, item dht.Item, cas *int64) bool {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	r, err := p.publisher.items.Put(ctx, item, cas)
	var raced *dht.CASError
	if errors.As(err, &raced) && r.Item != nil && p.reportForeign(r.Item) {
		return false
	}
	p.reportHolders(r.Stored, len(r.Nodes))
	return r.Stored > 0
}

// republished handles the report of the dht.Keeper about one round.
func (p *Publication) republished(r dht.RepublishReport, _ error) {
	p.shareAgain()
	if r.Newer != nil {
		p.reportForeign(r.Newer)
		return
	}
	if r.Fork != nil {
		p.reportForeign(r.Fork)
	}
	p.mu.Lock()
	mustReport := !p.ended && (!p.seen.reported || !p.seen.held && r.Stored > 0)
	p.mu.Unlock()
	if mustReport {
		p.reportHolders(r.Stored, len(r.Nodes))
	}
}

// reportHolders emits an event that says how many of the closest nodes store the newest
// item.
func (p *Publication) reportHolders(stored, nodes int) {
	p.mu.Lock()
	p.seen.reported, p.seen.held = true, stored > 0
	last := p.folder.file.last()
	e := node.Event{Kind: node.PublishedItem,
		Publication: &node.PublicationEvent{Link: p.link(), KeepLink: p.keepLink(), Seq: last.Seq, Stored: stored, Nodes: nodes}}.About(p.Torrent())
	e.Name = last.Name // the torrent of a private publication has another one
	p.mu.Unlock()
	p.publisher.node.Emit(e)
}

// reportForeign reports whether another machine published an item. The first time, it emits a warning, unless that
// has happened through the object store.
func (p *Publication) reportForeign(i *dht.Item) bool {
	if p.publisher.fence == nil {
		return p.warnForeign(i)
	}
	p.mu.Lock()
	foreign := p.isForeign(i)
	mustAsk := foreign && !p.ended && !p.seen.isAsking && p.seen.foreign != i.Seq
	p.seen.isAsking = p.seen.isAsking || mustAsk
	p.mu.Unlock()
	if mustAsk {
		item := *i
		p.publisher.wg.Go(func() { p.lookInStore(item) })
	}
	return foreign
}

// warnForeign reports whether another machine published an item, and emits a warning the first time.
func (p *Publication) warnForeign(i *dht.Item) bool {
	p.mu.Lock()
	foreign := p.isForeign(i)
	mustReport := foreign && !p.ended && p.seen.foreign != i.Seq
	if mustReport {
		p.seen.foreign = i.Seq
	}
	p.mu.Unlock()
	if mustReport {
		p.warn(p.conflict(i))
	}
	return foreign
}

// isForeign reports whether an item is at least as new as the record and not in it.
func (p *Publication) isForeign(i *dht.Item) bool {
	last := p.folder.file.last()
	return last == nil || i.Seq > last.Seq || i.Seq == last.Seq && !bytes.Equal(i.Value, last.Value)
}

// conflict returns the fault for an item that another machine published.
func (p *Publication) conflict(i *dht.Item) error {
	what := "something else"
	if v, err := p.folder.file.read(i.Value); err == nil {
		what = "the torrent " + v.InfoHash.String()
	}
	return node.NewFault(node.FaultConflict,
		fmt.Errorf("version %d of this key is %s and was not published from here: another machine uses the key, or this state directory is an old copy", i.Seq, what),
		"publish from one machine only; use --overrule to continue from that version")
}
