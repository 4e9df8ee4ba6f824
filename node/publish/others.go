package publish

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/node"
)

// DHT nodes forget an item after two hours. So the nodes that share an object store republish the items of each other's
// publications from the records there, which they can do without the keys. In a fleet, the owners of a target do it.

const (
	// othersEvery is the interval at which the records are listed, which takes one request for every 1,000. Records that have not
	// changed are not read.
	othersEvery = 5 * time.Minute
	// maxOthers limits the items of others that a node republishes; each takes about 1.5 KB.
	maxOthers = 4096
)

// otherItem is a publication of another machine.
type otherItem struct {
	etag string // of the record
	stop func() // ends the republishing; nil if the publication has ended
}

// keepOthers republishes the items of other machines until the publisher ends.
func (p *Publisher) keepOthers() {
	kept := map[id.ID]otherItem{}
	defer func() {
		for _, o := range kept {
			o.end()
		}
	}()
	for isWarned := false; ; {
		err := p.writeEnds()
		if err == nil {
			err = p.updateOthers(p.ctx, kept)
		}
		if err != nil && p.ctx.Err() == nil && !isWarned && objectstore.KindOf(err) != objectstore.Unavailable {
			p.node.Emit(node.Event{Kind: node.Warning, Err: fmt.Errorf("publications of other machines cannot be kept alive: %w", err)})
		}
		isWarned = err != nil
		if await.Sleep(p.ctx, othersEvery) != nil {
			return
		}
	}
}

func (o otherItem) end() {
	if o.stop != nil {
		o.stop()
	}
}

// updateOthers brings what is republished up to date with the records in the store. What was republished stays if the store fails.
func (p *Publisher) updateOthers(ctx context.Context, kept map[id.ID]otherItem) error {
	own := map[id.ID]bool{}
	for _, pub := range p.Open() {
		own[pub.Describe().Target] = true
	}
	found := map[id.ID]bool{}
	for o, err := range p.fence.store.List(ctx, publicationsPrefix) {
		if err != nil {
			return err
		}
		target, err := id.ParseHex(strings.TrimPrefix(o.Name, publicationsPrefix))
		if err != nil || own[target] || !p.node.Owns(target) || len(found) == maxOthers {
			continue
		}
		found[target] = true
		if was, ok := kept[target]; ok && was.etag == o.ETag && o.ETag != "" {
			continue
		}
		r, etag, err := p.fence.load(ctx, target)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			continue // a damaged record does not hold up the others; what was republished stays
		}
		next := otherItem{etag: etag}
		if r != nil && !r.Ended {
			next.stop = p.items.Keep(r.item(), false, nil)
		}
		kept[target].end()
		kept[target] = next
	}
	for target, o := range kept {
		if !found[target] {
			o.end()
			delete(kept, target)
		}
	}
	return nil
}
