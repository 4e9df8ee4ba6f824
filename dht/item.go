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

// Item is a value that is stored in the DHT (BEP 44). An immutable item is found by the hash
// of its value, a mutable one by the hash of a public key and a salt.
type Item struct {
	Value   bencode.Value // encoded, at most 1000 bytes
	Mutable bool
	Key     [ed25519.PublicKeySize]byte
	Salt    []byte
	Seq     int64
	Sig     [ed25519.SignatureSize]byte
}

// NewItem returns an immutable item.
func NewItem(value bencode.Value) (Item, error) {
	return Item{Value: value}, checkValue(value, nil)
}

// SignItem returns a mutable item, signed.
func SignItem(key ed25519.PrivateKey, salt []byte, seq int64, value bencode.Value) (Item, error) {
	if err := checkValue(value, salt); err != nil {
		return Item{}, err
	}
	i := Item{Value: value, Mutable: true, Salt: salt, Seq: seq}
	copy(i.Key[:], key.Public().(ed25519.PublicKey))
	copy(i.Sig[:], bep44.Sign(key, salt, seq, value))
	return i, nil
}

// checkValue returns an error for a value that no node would store. Values that we put are
// canonical, so that a node that decodes and encodes one again keeps its hash.
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

// Target returns where the item is stored (BEP 44): at the SHA-1 of the value, or of the
// public key and the salt.
func (i *Item) Target() id.ID {
	if !i.Mutable {
		return store.ImmutableTarget(i.Value)
	}
	return ItemTarget(i.Key, i.Salt)
}

// ItemTarget returns where the mutable items of a key and a salt are stored.
func ItemTarget(key [ed25519.PublicKeySize]byte, salt []byte) id.ID {
	return id.ID(bep44.MakeMutableTarget(key, salt))
}

// ItemFaults counts invalid items in answers.
type ItemFaults struct {
	Oversized int // a value above 1000 bytes
	Wrong     int // a value or key that does not hash to the target
	Unsigned  int // a signature that is missing or wrong
}

// Holder is a node that has something stored at a target.
type Holder struct {
	Contact
	Seq    int64 // of a mutable item
	Newest bool  // it has the item that was found
	Bad    bool  // what it gave is invalid
}

// GetReport is the result of Get.
type GetReport struct {
	Report
	Item   *Item // the newest item found, or nil
	Have   int   // nodes that have it
	Older  int   // nodes that have an older one
	Forked bool  // two values are signed with its sequence number
	Faults ItemFaults
	// Holders are the nodes that have something stored there, the closest first. If Get
	// was given a seq, nodes that have nothing newer may be among them.
	Holders []Holder
}

// Get finds the item at target (BEP 44). It calls found as soon as a node returns the item,
// and again when a node returns a newer one, one call at a time. An immutable item ends the
// lookup. For a mutable one Get asks all the closest nodes, since any of them may have an old
// one. salt is that of the item. With seq, Get looks for items newer than that only. found
// may be nil.
func (d *DHT) Get(ctx context.Context, target id.ID, salt []byte, seq *int64, found func(Item)) (GetReport, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := d.inquiry("get", target)
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

// get does what Get does. has is what each node has stored at the target: the item that it
// gave, or the zero Item if that was invalid or missing.
func (q *inquiry) get(ctx context.Context, salt []byte, after *int64, found func(Item)) (out GetReport, has map[netip.AddrPort]Item, err error) {
	has = make(map[netip.AddrPort]Item)
	q.onAnswer = func(c Contact, r *akrpc.Return) {
		i, ok := out.Faults.judge(r, q.target, salt)
		if r.V != nil || r.Seq != nil {
			has[c.Addr] = i
			out.Holders = append(out.Holders, Holder{Contact: c, Seq: *cmp.Or(r.Seq, new(int64)), Bad: r.V != nil && !ok})
		}
		switch {
		case !ok:
		case after != nil && i.Mutable && i.Seq <= *after, out.Item != nil && i.Seq < out.Item.Seq:
			out.Older++
		case out.Item != nil && i.Seq == out.Item.Seq:
			out.Have++ // of two values with one number, the first counts
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

// judge returns the item of an answer if it has a valid one for the target.
func (n *ItemFaults) judge(r *akrpc.Return, target id.ID, salt []byte) (i Item, ok bool) {
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
	GetReport // of the lookup before
	Nodes     []Told
	Accepted  int // nodes that accepted the item
	Kept      int // of these, those that returned it afterwards
}

// CASError is the error if the stored item does not have the expected sequence number. Then
// nothing was put: nodes that have no item yet would have accepted the new one (BEP 44).
type CASError struct{ Stored, CAS int64 }

func (e *CASError) Error() string {
	return fmt.Sprintf("dht: the stored item has sequence number %d, not %d as expected: nothing was put", e.Stored, e.CAS)
}

// Put stores the item at the closest nodes of each family, and reads it back from each. cas
// is the sequence number that a stored mutable item must have to be replaced (BEP 44); nil
// replaces any older one.
func (d *DHT) Put(ctx context.Context, item Item, cas *int64) (PutReport, error) {
	if err := checkValue(item.Value, item.Salt); err != nil {
		return PutReport{}, err
	}
	target := item.Target()
	q := d.inquiry("get", target)
	g, has, err := q.get(ctx, item.Salt, nil, func(Item) {})
	out := PutReport{GetReport: g}
	if err != nil {
		return out, err
	}
	if item.Mutable && cas != nil && g.Item != nil && g.Item.Seq != *cas {
		return out, &CASError{Stored: g.Item.Seq, CAS: *cas}
	}
	out.put(ctx, q, item, func(to netip.AddrPort) *int64 {
		// BEP 44: cas should not be sent to a node that did not return any data for
		// the get. A node with an older item than that must get the new one too.
		if i, stored := has[to]; !stored || cas != nil && i.Mutable && i.Seq < *cas {
			return nil
		}
		return cas
	}, nil)
	return out, ctx.Err()
}

// put sends the item to the closest nodes for which keep is false, and reads it back.
func (r *PutReport) put(ctx context.Context, q *inquiry, item Item, cas func(netip.AddrPort) *int64, keep func(netip.AddrPort) bool) {
	q.d.putSelf(item)
	r.Nodes = q.tell(ctx, "put", func(to netip.AddrPort, token []byte) *queryArgs {
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
		i, ok := faults.judge(returned(m), q.target, item.Salt)
		return ok && bytes.Equal(i.Value, item.Value)
	}, keep)
	for _, n := range r.Nodes {
		if n.Accepted {
			r.Accepted++
		}
		if n.Kept {
			r.Kept++
		}
	}
}

// TendReport is the result of Tend.
type TendReport struct {
	PutReport
	// Newer is an item of the same key and salt with a higher sequence number, if there is
	// one. Then nothing was put.
	Newer *Item
	// Fork is an item with the same sequence number and another value: the owner of the
	// key has signed two.
	Fork *Item
	Told int // nodes that were sent the item
}

// Tend keeps a mutable item alive that was put before. It puts the item again at those of the
// closest nodes that lack it, and reads it back. With all it puts the item at every one,
// which makes them keep it longer.
func (d *DHT) Tend(ctx context.Context, item Item, all bool) (out TendReport, err error) {
	target := item.Target()
	q := d.inquiry("get", target)
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
		out.Told++
		return false
	})
	return out, ctx.Err()
}
