package handover

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/query"
	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/node"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// A Finder finds the items of publications for a command.
type Finder struct {
	get     func(ctx context.Context, key id.ID32, salt []byte) (dht.GetReport, []view.Holder, error)
	require func(*dht.Report) error
}

// InDHT returns a Finder that looks up items with a DHT visit.
func InDHT(v *query.Visitor) Finder {
	return Finder{func(ctx context.Context, key id.ID32, salt []byte) (dht.GetReport, []view.Holder, error) {
		g, err := v.Get(ctx, dht.ItemTarget(key, salt), salt, nil, nil)
		return g, view.HoldersOf(&g), err
	}, v.RequireAnswer}
}

// WithDaemon returns a Finder that has a daemon look up items.
func WithDaemon(c *client.Client) Finder {
	return Finder{func(ctx context.Context, key id.ID32, salt []byte) (dht.GetReport, []view.Holder, error) {
		found, err := c.GetItem(ctx, key.String(), string(salt))
		if err != nil {
			return dht.GetReport{}, nil, err
		}
		g := dht.GetReport{Report: dht.Report{Target: dht.ItemTarget(key, salt), Asked: found.Lookup.Asked, Answered: found.Lookup.Answered},
			Have: found.Have, Forked: found.Forked}
		g.Faults.Unsigned = found.Rejected.Unsigned
		if found.Item != nil {
			g.Item, err = itemOf(found.Item, key, salt)
		}
		return g, found.Holders, err
	}, func(r *dht.Report) error { return RequireAnswer(&view.Lookup{Asked: r.Asked, Answered: r.Answered}) }}
}

// itemOf returns an item of a key that a daemon has found.
func itemOf(i *view.Item, key id.ID32, salt []byte) (*dht.Item, error) {
	value, err := ValueOf(i)
	if err != nil {
		return nil, err
	}
	item := &dht.Item{Value: value, Mutable: true, Key: key, Salt: salt}
	if i.Seq != nil {
		item.Seq = *i.Seq
	}
	if n, err := hex.Decode(item.Sig[:], []byte(i.Sig[:min(len(i.Sig), 2*len(item.Sig))])); err != nil || n != len(item.Sig) || !item.IsSigned() {
		return nil, fmt.Errorf("the item that the daemon has found is not signed by the key %s", key)
	}
	return item, nil
}

// Found is what the DHT has of a publication.
type Found struct {
	*delegation.Judge
	Link     *magnet.Link
	Lookups  node.Lookups
	Holders  map[id.ID32][]view.Holder // of the newest item of each key
	Rejected error                     // joins why items do not count
}

// Newest looks up the items of the publication l. The error is that of the first lookup or of ctx, or says that no node
// answered; the result then has what was found before.
func (f Finder) Newest(ctx context.Context, l *magnet.Link) (*Found, error) {
	n := &Found{Judge: delegation.New(l), Link: l, Holders: map[id.ID32][]view.Holder{}}
	var mu sync.Mutex
	var err error
	n.Lookups, n.Rejected, err = node.FindNewest(ctx, func(ctx context.Context, key id.ID32) (dht.GetReport, error) {
		g, holders, err := f.get(ctx, key, l.Salt)
		mu.Lock()
		defer mu.Unlock()
		n.Holders[key] = holders
		return g, err
	}, n.Judge)
	if err == nil {
		of := n.Lookups[l.PublicKey]
		err = f.require(&of.Report)
	}
	return n, err
}

// Version returns the newest version. The error is ErrNoItem, or says why the items that were found
// do not count.
func (n *Found) Version() (delegation.Version, error) {
	v, ok := n.Judge.Newest()
	switch {
	case ok:
		return v, nil
	case n.Rejected != nil:
		return v, n.Rejected
	}
	return v, ErrNoItem
}

// ErrNoItem is the error if no DHT node has an item of a publication.
var ErrNoItem = exit.Fail(exit.NotFound, "DHT nodes drop an item two hours after the last publisher, or follower with --keep-alive, has stopped", errors.New("no DHT node returned an item of this key"))
