package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// A mutable torrent (BEP 46) is an item of the DHT (BEP 44) under a public key and a
// salt, whose value names an infohash. Whoever has the key gives it a new value
// with a higher number.

// pointer is the value for a torrent. BEP 46: the infohash under "ih", of a torrent
// that is v2 alone cut to 20 bytes.
func pointer(info *metainfo.Info) bencode.Value {
	dst := bencode.AppendBytes(bencode.AppendString([]byte{'d'}, "ih"), info.Hash[:])
	return append(dst, 'e')
}

var errPointer = errors.New("the item names no torrent: it has no infohash of 20 bytes under ih (BEP 46)")

// parsePointer reads a value. What else is in it is for others.
func parsePointer(v bencode.Value) (ih id.ID, err error) {
	if v.Kind() != bencode.Dict {
		return ih, errPointer
	}
	for key, val := range v.Dict() {
		if string(key) == "ih" {
			b, ok := val.Bytes()
			if !ok || len(b) != id.Len {
				return ih, errPointer
			}
			ih = id.ID(b)
		}
	}
	if ih.IsZero() {
		return ih, errPointer
	}
	return ih, nil
}

// linkOfKey is the link of what is published under a key.
func linkOfKey(key [ed25519.PublicKeySize]byte, salt []byte, name string) *magnet.Link {
	return &magnet.Link{PublicKey: key, HasPublicKey: true, Salt: salt, Name: name}
}

// targetOf is where the item of a link is found.
func targetOf(l *magnet.Link) id.ID { return dht.ItemTarget(l.PublicKey, l.Salt) }

// pinned is the link to one version: the infohash of the item in place of the key,
// and the hints, which are for all versions.
func pinned(l *magnet.Link, ih id.ID) *magnet.Link {
	return &magnet.Link{InfoHash: ih, HasInfoHash: true, Name: l.Name, Peers: l.Peers, Trackers: l.Trackers, WebSeeds: l.WebSeeds, Select: l.Select}
}

// resolveTries is how often an item is asked for before nobody has it, and
// resolvePause the wait in between, which doubles.
const (
	resolveTries = 4
	resolvePause = 3 * time.Second
)

// Resolve finds the newest version of what a link with a public key names, and
// returns the link to that version.
func (n *Node) Resolve(ctx context.Context, l *magnet.Link) (*magnet.Link, DHTItem, error) {
	if n.dht == nil {
		return nil, DHTItem{}, ErrNoDHT
	}
	pause := resolvePause
	for try := 1; ; try++ {
		g, err := n.dht.Get(ctx, targetOf(l), l.Salt, nil, nil)
		if err != nil {
			return nil, DHTItem{}, err
		}
		if g.Item != nil {
			ih, err := parsePointer(g.Item.Value)
			if err != nil {
				return nil, *g.Item, err
			}
			return pinned(l, ih), *g.Item, nil
		}
		if try == resolveTries {
			if g.Faults.Unsigned > 0 {
				return nil, DHTItem{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("what %s gave for the key is not signed by it", count(g.Faults.Unsigned, "node")),
					hint: "somebody forges the item; the link may have a wrong salt (s=)"}
			}
			return nil, DHTItem{}, &Fault{Kind: FaultVanished, Err: fmt.Errorf("nothing is published under the key %s: none of %s has it", l.PublicKey.Short(), count(g.Answered, "DHT node")),
				hint: "it is forgotten two hours after the publisher and those who keep it alive have gone"}
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, DHTItem{}, err
		}
		pause *= 2
	}
}

// sleep waits, or returns why the wait is over sooner.
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
