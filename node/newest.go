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

// GetItem finds the newest item of a key in the DHT; the salt is that of a link. It returns nil if
// there is none. The signature of the item is valid.
type GetItem func(ctx context.Context, key id.ID32) (*dht.Item, error)

// FindNewest offers a judge, which may know items already, the newest items of the publication. First
// it gets the item of the key in the link, and then those of the keys that this item names, all at
// the same time. If nothing is published, the judge has no newest version. rejected joins what is
// wrong with items that do not count. err is set if the first lookup failed, or if ctx has ended; a
// failed lookup of another key leaves out its item.
func FindNewest(ctx context.Context, j *delegation.Judge, now time.Time, get GetItem) (rejected, err error) {
	var errs []error
	offer := func(i *dht.Item) {
		if err := j.Offer(SignedItem(*i), now); err != nil && !errors.Is(err, delegation.ErrKnown) {
			errs = append(errs, err)
		}
	}
	first, err := get(ctx, j.Keys()[0])
	if first != nil {
		offer(first)
	}
	keys := j.Keys()[1:]
	items := make([]*dht.Item, len(keys))
	var wg sync.WaitGroup
	for k, key := range keys {
		wg.Go(func() { items[k], _ = get(ctx, key) })
	}
	wg.Wait()
	for _, i := range items {
		if i != nil {
			offer(i)
		}
	}
	return errors.Join(errs...), cmp.Or(err, ctx.Err())
}
