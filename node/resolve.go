package node

import (
	"context"
	"fmt"
	"time"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
)

const (
	resolveTries = 4               // number of lookups before an item counts as missing
	resolvePause = 3 * time.Second // after the first lookup; it doubles
)

// Resolve finds the newest version of a link with a public key (BEP 46). It returns a link
// to that version, and the item. If no version is found after several lookups, the error is
// a Fault.
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
			v, err := mutable.Read(l, g.Item.Value)
			if err != nil {
				return nil, *g.Item, err
			}
			return mutable.Pin(l, v.InfoHash), *g.Item, nil
		}
		if try == resolveTries {
			if g.Faults.Unsigned > 0 {
				return nil, dht.Item{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("%s returned an item that is not signed by the key", count(g.Faults.Unsigned, "node")),
					hint: "the item is forged, or the link has a wrong salt (s=)"}
			}
			return nil, dht.Item{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("nothing is published under the key %s: none of %s has it", l.PublicKey.Short(), count(g.Answered, "DHT node")),
				hint: "DHT nodes drop an item two hours after the publisher and all followers with --keep-alive have stopped"}
		}
		if err := await.Sleep(ctx, pause); err != nil {
			return nil, dht.Item{}, err
		}
		pause *= 2
	}
}
