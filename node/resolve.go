package node

import (
	"context"
	"fmt"
	"time"

	"seedbed/dht"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
)

const (
	resolveTries = 4               // lookups before an item counts as missing
	resolvePause = 3 * time.Second // after the first lookup; it doubles
)

// Resolve finds the newest version of a link with a public key, and returns a
// link to that version (BEP 46).
func (n *Node) Resolve(ctx context.Context, l *magnet.Link) (*magnet.Link, dht.Item, error) {
	if n.dht == nil {
		return nil, dht.Item{}, ErrNoDHT
	}
	pause := resolvePause
	for try := 1; ; try++ {
		g, err := n.dht.Get(ctx, dht.ItemTarget(l.PublicKey, l.Salt), l.Salt, nil, nil)
		if err != nil {
			return nil, dht.Item{}, err
		}
		if g.Item != nil {
			ih, err := mutable.Parse(g.Item.Value)
			if err != nil {
				return nil, *g.Item, err
			}
			return mutable.Pin(l, ih), *g.Item, nil
		}
		if try == resolveTries {
			if g.Faults.Unsigned > 0 {
				return nil, dht.Item{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("%s returned an item that is not signed by the key", count(g.Faults.Unsigned, "node")),
					hint: "the item is forged, or the link has a wrong salt (s=)"}
			}
			return nil, dht.Item{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("nothing is published under the key %s: none of %s has it", l.PublicKey.Short(), count(g.Answered, "DHT node")),
				hint: "the DHT forgets an item two hours after the publisher and the followers with --keep-alive have gone"}
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, dht.Item{}, err
		}
		pause *= 2
	}
}

// sleep waits for d, or returns the error of ctx if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
