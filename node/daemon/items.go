package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/node"
)

// PutRequest describes an item to store in the DHT (BEP 44).
type PutRequest struct {
	Value bencode.Value
	Key   string // the name of a key of this machine that signs it; "": an immutable item
	Salt  string
	Seq   int64  // 0: one more than the stored item has
	CAS   *int64 // the number that the stored item must have
}

// PutItem stores an item at the closest nodes. It refuses the target of what this daemon publishes,
// because the item would replace the newest version.
func (d *Daemon) PutItem(ctx context.Context, r PutRequest) (dht.Item, dht.PutReport, error) {
	items, err := d.node.Items()
	if err != nil {
		return dht.Item{}, dht.PutReport{}, err
	}
	var item dht.Item
	if r.Key == "" {
		if r.Salt != "" || r.Seq != 0 || r.CAS != nil {
			return item, dht.PutReport{}, usage(errors.New("an immutable item has neither a salt nor a sequence number"), "name a key")
		}
		item, err = dht.NewItem(r.Value)
	} else {
		item, err = d.signItem(ctx, items, &r)
	}
	if err != nil {
		var fault *node.Fault
		if !errors.As(err, &fault) && ctx.Err() == nil {
			err = usage(err, "")
		}
		return item, dht.PutReport{}, err
	}
	report, err := items.Put(ctx, item, r.CAS)
	var cas *dht.CASError
	if errors.As(err, &cas) {
		err = node.NewFault(node.FaultConflict, err, "get the item again")
	}
	return item, report, err
}

// signItem returns a mutable item that is signed with a key of this machine.
func (d *Daemon) signItem(ctx context.Context, items *node.Items, r *PutRequest) (dht.Item, error) {
	key, err := await.Result(ctx, func() (ed25519.PrivateKey, error) { return d.publications.keys.Key(r.Key) })
	if err != nil {
		return dht.Item{}, err
	}
	target := dht.ItemTarget([ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey)), []byte(r.Salt))
	if d.isPublished(target) {
		return dht.Item{}, node.NewFault(node.FaultConflict, fmt.Errorf("a publication uses the key %s with this salt: the item would replace its newest version", r.Key), "use another salt")
	}
	seq := r.Seq
	if seq == 0 {
		g, err := items.Get(ctx, target, []byte(r.Salt), nil)
		if err != nil {
			return dht.Item{}, err
		}
		if seq = 1; g.Item != nil {
			seq = g.Item.Seq + 1
		}
	}
	return dht.SignItem(key, []byte(r.Salt), seq, r.Value)
}

// isPublished reports whether this daemon publishes at a target.
func (d *Daemon) isPublished(target id.ID) bool {
	for _, p := range d.Publications() {
		if p.Describe().Target == target {
			return true
		}
	}
	return false
}
