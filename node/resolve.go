package node

import (
	"context"
	"fmt"
	"time"

	"seedbed/internal/await"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
)

const (
	resolveTries = 4               // number of lookups before an item counts as missing
	resolvePause = 3 * time.Second // after the first lookup; it doubles
)

// Resolve finds the newest version of a link with a public key (BEP 46). It returns a link
// to that version, and the version. If no version is found after several lookups, the error is
// a Fault.
func (n *Node) Resolve(ctx context.Context, l *magnet.Link) (*magnet.Link, delegation.Version, error) {
	items, err := n.Items()
	if err != nil {
		return nil, delegation.Version{}, err
	}
	pause := resolvePause
	for try := 1; ; try++ {
		j := delegation.New(l)
		found, rejected, err := items.FindNewest(ctx, l, j)
		if err != nil {
			return nil, delegation.Version{}, err
		}
		if v, ok := j.Newest(); ok {
			return v.Pin(l), v, nil
		}
		if rejected != nil {
			return nil, delegation.Version{}, rejected
		}
		if try == resolveTries {
			g := found[l.PublicKey]
			if g.Faults.Unsigned > 0 {
				return nil, delegation.Version{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("%s returned an item that is not signed by the key", count(g.Faults.Unsigned, "node")),
					hint: "the item is forged, or the link has a wrong salt (s=)"}
			}
			return nil, delegation.Version{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("nothing is published under the key %s: none of %s has it", l.PublicKey.Short(), count(g.Answered, "DHT node")),
				hint: "DHT nodes drop an item two hours after the publisher and all followers with --keep-alive have stopped"}
		}
		if err := await.Sleep(ctx, pause); err != nil {
			return nil, delegation.Version{}, err
		}
		pause *= 2
	}
}

// VersionAt returns the link to version seq of the publication l, whose newest version is given. The
// error is a Fault if the item of the newest version does not name that version.
func VersionAt(l *magnet.Link, newest *delegation.Version, seq int64) (*magnet.Link, error) {
	v := newest.Version
	v.Seq = newest.Number
	if at, ok := v.At(l, seq); ok {
		return at, nil
	}
	what := fmt.Errorf("version %d is not among the %s that version %d names", seq, count(len(v.Earlier), "earlier version"), newest.Number)
	if seq > newest.Number {
		what = fmt.Errorf("there is no version %d yet: the newest one is %d", seq, newest.Number)
	}
	return nil, &Fault{Kind: FaultVanished, Err: what, hint: "seedbed show --history lists the versions that can be asked for"}
}
