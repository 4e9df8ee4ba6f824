package node

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
)

// SignedItem returns an item, whose signature was verified, in the form that a
// delegation.Judge takes.
func SignedItem(i dht.Item) delegation.Item {
	return delegation.Item{Key: i.Key, Seq: i.Seq, Value: i.Value, Sig: i.Sig}
}

// ItemOf returns an item of the publication l in the form that the DHT takes.
func ItemOf(l *magnet.Link, i delegation.Item) dht.Item {
	return dht.Item{Value: i.Value, Mutable: true, Key: i.Key, Salt: l.Salt, Seq: i.Seq, Sig: i.Sig}
}

// Lookups has the report of the lookup of each key.
type Lookups map[id.ID32]dht.GetReport

// An ItemLookup finds the newest item of a key that has the salt of a publication, and verifies its
// signature.
type ItemLookup func(ctx context.Context, key id.ID32) (dht.GetReport, error)

// FindNewest offers a judge, which may know items already, the newest items of the keys that publish. First
// it gets the item of the key in the link, and then those of the keys that this item names, all
// at the same time. If nothing is published, the judge has no newest version. rejected joins what is
// wrong with items that do not count. err is set if the first lookup failed, or if ctx has ended; a
// failed lookup of another key leaves out its item.
func FindNewest(ctx context.Context, get ItemLookup, j *delegation.Judge) (found Lookups, rejected, err error) {
	var errs []error
	found = Lookups{}
	now := time.Now()
	offer := func(key id.ID32, g dht.GetReport) {
		found[key] = g
		if g.Item == nil {
			return
		}
		if err := j.Offer(SignedItem(*g.Item), now); err != nil && !errors.Is(err, delegation.ErrKnown) {
			errs = append(errs, err)
		}
	}
	master := j.Keys()[0]
	g, err := get(ctx, master)
	offer(master, g)
	keys := j.Keys()[1:]
	reports := make([]dht.GetReport, len(keys))
	var wg sync.WaitGroup
	for k, key := range keys {
		wg.Go(func() { reports[k], _ = get(ctx, key) })
	}
	wg.Wait()
	for k, key := range keys {
		offer(key, reports[k])
	}
	return found, errors.Join(errs...), cmp.Or(err, ctx.Err())
}

// FindNewest asks the DHT for the newest version of the publication l. See the function FindNewest.
func (i *Items) FindNewest(ctx context.Context, l *magnet.Link, j *delegation.Judge) (found Lookups, rejected, err error) {
	return FindNewest(ctx, func(ctx context.Context, key id.ID32) (dht.GetReport, error) {
		return i.Get(ctx, dht.ItemTarget(key, l.Salt), l.Salt, nil)
	}, j)
}
