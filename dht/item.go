package dht

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/anacrolix/dht/v2/bep44"
	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// Item is a value that is stored in the DHT (BEP 44). The target of an immutable item is
// the hash of its value; the target of a mutable item is the hash of a public key and a
// salt.
type Item struct {
	Value   bencode.Value // encoded, at most 1000 bytes
	Mutable bool
	Key     [ed25519.PublicKeySize]byte
	Salt    []byte
	Seq     int64
	Sig     [ed25519.SignatureSize]byte
}

// NewItem returns an immutable item. It returns an error if the value is too large or not
// canonical bencode.
func NewItem(value bencode.Value) (Item, error) {
	return Item{Value: value}, checkValue(value, nil)
}

// SignItem returns a mutable item, signed with key. Its errors are those of NewItem, and
// one for a salt of more than 64 bytes.
func SignItem(key ed25519.PrivateKey, salt []byte, seq int64, value bencode.Value) (Item, error) {
	if err := checkValue(value, salt); err != nil {
		return Item{}, err
	}
	i := Item{Value: value, Mutable: true, Salt: salt, Seq: seq}
	copy(i.Key[:], key.Public().(ed25519.PublicKey))
	copy(i.Sig[:], bep44.Sign(key, salt, seq, value))
	return i, nil
}

// checkValue returns an error for a value that no node would store. We only put canonical
// values, so that decoding and encoding one again does not change its hash.
func checkValue(value bencode.Value, salt []byte) error {
	if len(value) > krpc.MaxValue {
		return fmt.Errorf("dht: the value is %d bytes long when encoded, and BEP 44 allows %d", len(value), krpc.MaxValue)
	}
	if len(salt) > krpc.MaxSalt {
		return fmt.Errorf("dht: the salt is %d bytes long, and BEP 44 allows %d", len(salt), krpc.MaxSalt)
	}
	if _, err := bencode.ParseStrict(value, bencode.Limits{Depth: 32}); err != nil {
		return fmt.Errorf("dht: the value is not canonical bencode: %w", err)
	}
	return nil
}

// Target returns the target of the item (BEP 44): the SHA-1 of the value, or of the public
// key and the salt.
func (i *Item) Target() id.ID {
	if !i.Mutable {
		return store.ImmutableTarget(i.Value)
	}
	return ItemTarget(i.Key, i.Salt)
}

// IsSigned reports whether a mutable item has a valid signature of its key.
func (i *Item) IsSigned() bool {
	return i.Mutable && bep44.Verify(i.Key[:], i.Salt, i.Seq, i.Value, i.Sig[:])
}

// ItemTarget returns the target of the mutable items of a public key and a salt.
func ItemTarget(key [ed25519.PublicKeySize]byte, salt []byte) id.ID {
	return id.ID(bep44.MakeMutableTarget(key, salt))
}

// ItemFaults counts invalid items in answers.
type ItemFaults struct {
	Oversized int // a value above 1000 bytes
	Wrong     int // a value or key that does not hash to the target
	Unsigned  int // a signature that is missing or wrong
}

// Holder is a node that stores a value at a target.
type Holder struct {
	Contact
	Seq    int64 // of a mutable item
	Newest bool  // it has the item that was found
	Bad    bool  // what it returned is invalid
}

// GetReport is the result of Get.
type GetReport struct {
	Report
	Item   *Item // the newest item found, or nil
	Have   int   // nodes that have this item
	Older  int   // nodes that have an older item
	Forked bool  // another node returned a different value signed with the same sequence number
	Faults ItemFaults
	// Holders has the nodes that store a value at the target, the closest first. If Get was
	// called with a seq, they include nodes that have nothing newer.
	Holders []Holder
}

// Get finds the item at target (BEP 44). It calls found as soon as a node returns the item,
// and again when a node returns a newer one, one call at a time. An immutable item ends the
// lookup. For a mutable item, Get asks all the closest nodes, because some may have an old
// version. salt is the salt of the item. If seq is not nil, Get looks only for an item with
// a higher sequence number. found may be nil.
func (d *DHT) Get(ctx context.Context, target id.ID, salt []byte, seq *int64, found func(Item)) (GetReport, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := d.newTracedLookup("get", target)
	q.args.Seq = seq
	out, _, err := q.get(ctx, salt, seq, func(i Item) {
		if found != nil {
			found(i)
		}
		if !i.Mutable {
			cancel(errEnough)
		}
	})
	if err != nil && context.Cause(ctx) == errEnough {
		err = nil
	}
	return out, err
}

// errEnough ends a lookup that has found an immutable item.
var errEnough = errors.New("dht: found")

// get implements Get. has contains the item that each node returned, or the zero Item if it
// was invalid or missing.
func (q *tracedLookup) get(ctx context.Context, salt []byte, after *int64, found func(Item)) (out GetReport, has map[netip.AddrPort]Item, err error) {
	has = make(map[netip.AddrPort]Item)
	q.onAnswer = func(c Contact, r *akrpc.Return) {
		i, ok := out.Faults.check(r, q.target, salt)
		if r.V != nil || r.Seq != nil {
			has[c.Addr] = i
			out.Holders = append(out.Holders, Holder{Contact: c, Seq: *cmp.Or(r.Seq, new(int64)), Bad: r.V != nil && !ok})
		}
		switch {
		case !ok:
		case after != nil && i.Mutable && i.Seq <= *after, out.Item != nil && i.Seq < out.Item.Seq:
			out.Older++
		case out.Item != nil && i.Seq == out.Item.Seq:
			out.Have++ // of two values with the same number, the first one is used
			out.Forked = out.Forked || !bytes.Equal(i.Value, out.Item.Value)
		default:
			if out.Item != nil {
				out.Older += out.Have
			}
			out.Item, out.Have, out.Forked = &i, 1, false
			found(i)
		}
	}
	r, err := q.run(ctx)
	out.Report = r
	for k := range out.Holders {
		h := &out.Holders[k]
		i := has[h.Addr]
		h.Newest = !h.Bad && out.Item != nil && i.Seq == out.Item.Seq && bytes.Equal(i.Value, out.Item.Value)
	}
	slices.SortStableFunc(out.Holders, func(a, b Holder) int { return q.target.CmpDistance(a.ID, b.ID) })
	if own, ok := q.d.ownItem(q.target, salt); ok && (after == nil || own.Seq > *after) && (out.Item == nil || own.Seq > out.Item.Seq) {
		out.Older += out.Have
		out.Item, out.Have, out.Forked = &own, 0, false
		found(own)
	}
	return out, has, err
}

// check returns the item in an answer if it is valid for the target. Otherwise it counts
// why not.
func (n *ItemFaults) check(r *akrpc.Return, target id.ID, salt []byte) (i Item, ok bool) {
	switch {
	case r.V == nil:
		return i, false
	case len(r.V) > krpc.MaxValue:
		n.Oversized++
		return i, false
	}
	i = Item{Value: bencode.Value(r.V)}
	if r.K != bep44.Empty32ByteArray {
		i = Item{Value: i.Value, Mutable: true, Key: r.K, Salt: salt, Seq: *cmp.Or(r.Seq, new(int64)), Sig: r.Sig}
	}
	// BEP 44: a node that gets an immutable item should verify its hash.
	if i.Target() != target {
		n.Wrong++
		return i, false
	}
	if i.Mutable && (r.Seq == nil || !bep44.Verify(i.Key[:], salt, i.Seq, i.Value, i.Sig[:])) {
		n.Unsigned++
		return i, false
	}
	return i, true
}

// PutReport is the result of Put.
type PutReport struct {
	GetReport // of the lookup that precedes the put
	Nodes     []NodeResult
	Accepted  int // nodes that accepted the item
	Stored    int // nodes that returned it in a get afterwards
}

// CASError is the error if the stored item does not have the expected sequence number. Then
// nothing is put, because nodes that have no item yet would accept the new one (BEP 44).
type CASError struct{ Stored, CAS int64 }

func (e *CASError) Error() string {
	return fmt.Sprintf("dht: the stored item has sequence number %d, not %d as expected; nothing was put", e.Stored, e.CAS)
}

// Put stores the item at the closest nodes of each family, and reads it back from each. cas
// is the sequence number that a stored mutable item must have to be replaced (BEP 44); nil
// replaces any older one.
func (d *DHT) Put(ctx context.Context, item Item, cas *int64) (PutReport, error) {
	if err := checkValue(item.Value, item.Salt); err != nil {
		return PutReport{}, err
	}
	target := item.Target()
	q := d.newTracedLookup("get", target)
	g, has, err := q.get(ctx, item.Salt, nil, func(Item) {})
	out := PutReport{GetReport: g}
	if err != nil {
		return out, err
	}
	if item.Mutable && cas != nil && g.Item != nil && g.Item.Seq != *cas {
		return out, &CASError{Stored: g.Item.Seq, CAS: *cas}
	}
	out.put(ctx, q, item, func(to netip.AddrPort) *int64 {
		// BEP 44: cas should not be sent to a node that did not return any data for the
		// get. A node with an older item must get the new one too.
		if i, stored := has[to]; !stored || cas != nil && i.Mutable && i.Seq < *cas {
			return nil
		}
		return cas
	}, nil)
	return out, ctx.Err()
}

// put sends the item to the closest nodes for which keep returns false, and reads it back.
func (r *PutReport) put(ctx context.Context, q *tracedLookup, item Item, cas func(netip.AddrPort) *int64, keep func(netip.AddrPort) bool) {
	q.d.storeOwnItem(item)
	r.Nodes = q.sendToClosest(ctx, "put", func(to netip.AddrPort, token []byte) *queryArgs {
		a := new(queryArgs)
		a.Token, a.V = string(token), item.Value
		if item.Mutable {
			a.K, a.Sig, a.Salt, a.Seq = item.Key, item.Sig, item.Salt, &item.Seq
			if c := cas(to); c != nil {
				a.Cas, a.HasCas = *c, true
			}
		}
		return a
	}, func(f *family, to netip.AddrPort) bool {
		a := new(queryArgs)
		a.Target = akrpc.ID(q.target)
		m, _, err := f.exchange(ctx, to, "get", a)
		if err != nil {
			return false
		}
		var faults ItemFaults
		i, ok := faults.check(returned(m), q.target, item.Salt)
		return ok && bytes.Equal(i.Value, item.Value)
	}, keep)
	for _, n := range r.Nodes {
		if n.Accepted {
			r.Accepted++
		}
		if n.Stored {
			r.Stored++
		}
	}
}

// RepublishReport is the result of Republish.
type RepublishReport struct {
	PutReport
	// Newer is an item of the same key and salt with a higher sequence number, or nil. If
	// it is set, nothing was put.
	Newer *Item
	// Fork is an item with the same sequence number and another value, or nil. It means
	// that the owner of the key has signed both.
	Fork *Item
	Sent int // nodes to which the item was sent
}

// Republish puts a mutable item again, so that the DHT keeps it. It puts the item at those
// of the closest nodes that do not have it, and reads it back. If all is true, it puts the
// item at all of the closest nodes, which restarts their timeouts.
func (d *DHT) Republish(ctx context.Context, item Item, all bool) (out RepublishReport, err error) {
	target := item.Target()
	q := d.newTracedLookup("get", target)
	g, has, err := q.get(ctx, item.Salt, nil, func(Item) {})
	out.GetReport = g
	if err != nil {
		return out, err
	}
	if g.Item != nil && g.Item.Seq > item.Seq {
		out.Newer = g.Item
		return out, nil
	}
	same := func(i Item) bool { return i.Seq == item.Seq && bytes.Equal(i.Value, item.Value) }
	for _, i := range has {
		if i.Mutable && i.Seq == item.Seq && !same(i) {
			out.Fork = &i
		}
	}
	out.put(ctx, q, item, func(netip.AddrPort) *int64 { return nil }, func(to netip.AddrPort) bool {
		if i, ok := has[to]; ok && same(i) && !all {
			return true
		}
		out.Sent++
		return false
	})
	return out, ctx.Err()
}
