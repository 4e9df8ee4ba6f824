package table

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// index holds the live nodes, sorted by id, each with its compact form ready to be copied.
// Queries are answered from it. The buckets decide which nodes are in it, and every change
// to them updates it.
//
// The nodes that share at least c leading bits with a target are adjacent, around the place
// where the target itself would be, and those that share exactly c are on one side of it.
// So the search begins there and takes whole groups of decreasing c until it has enough
// nodes. It reads few other nodes.
type index struct {
	heads []uint64 // the first 8 bytes of the ids, ascending
	nodes []entry  // in the same order
}

type entry struct {
	until mono.Time // the node is good before this time
	size  uint8     // of the compact form
	info  [compactLen6]byte
}

const (
	compactLen4 = id.Len + 4 + 2
	compactLen6 = id.Len + 16 + 2
)

// never is the goodUntil of a node that has failed.
const never = math.MinInt64

func headOf(x id.ID) uint64 { return binary.BigEndian.Uint64(x[:]) }

// goodUntil returns the time at which the node stops being good unless it answers or asks
// again.
func (n *Node) goodUntil() mono.Time {
	if n.Fails > 0 {
		return never
	}
	return max(n.Replied, n.Asked).Add(GoodFor)
}

// search returns the first index whose id has this head or a higher one.
func (x *index) search(head uint64) int {
	lo, n := 0, len(x.heads)
	for n > 0 {
		half := n / 2
		if x.heads[lo+half] < head {
			lo += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo
}

// find returns the index of a node, or where it would be inserted.
func (x *index) find(node id.ID) (int, bool) {
	head := headOf(node)
	for i := x.search(head); ; i++ {
		if i == len(x.heads) || x.heads[i] != head {
			return i, false
		}
		if c := bytes.Compare(x.nodes[i].info[:id.Len], node[:]); c >= 0 {
			return i, c == 0
		}
	}
}

// distance returns the first 64 bits of the distance from own to its n-th closest node,
// counted from 1. It returns 0 if there are fewer nodes.
func (x *index) distance(own id.ID, n int) uint64 {
	if len(x.heads) < n {
		return 0
	}
	head := headOf(own)
	ds := make([]uint64, len(x.heads))
	for i, h := range x.heads {
		ds[i] = h ^ head
	}
	slices.Sort(ds)
	return ds[n-1]
}

func (x *index) insert(n *Node) {
	at, known := x.find(n.ID)
	if known {
		panic("table: a live node is inserted twice")
	}
	var e entry
	e.size = uint8(len(AppendCompact(e.info[:0], n.ID, n.Addr)))
	e.until = n.goodUntil()
	x.heads = slices.Insert(x.heads, at, headOf(n.ID))
	x.nodes = slices.Insert(x.nodes, at, e)
}

func (x *index) remove(node id.ID) {
	if at, known := x.find(node); known {
		x.heads = slices.Delete(x.heads, at, at+1)
		x.nodes = slices.Delete(x.nodes, at, at+1)
	}
}

// update stores until when the node is good, if it is a live one.
func (x *index) update(n *Node) {
	if at, known := x.find(n.ID); known {
		x.nodes[at].until = n.goodUntil()
	}
}

// found holds the closest nodes so far, in order.
type found struct {
	n     int
	dists [maxClosest]uint64
	at    [maxClosest]int32
}

// appendClosest appends the compact forms of the k closest good nodes.
func (x *index) appendClosest(dst []byte, now mono.Time, target id.ID, k int) []byte {
	if k = min(k, maxClosest); k <= 0 {
		return dst
	}
	head := headOf(target)
	var f found
	heads, nodes := x.heads, x.nodes[:len(x.heads)]
	hi := x.search(head)
	lo := hi
	for f.n < k && (lo > 0 || hi < len(heads)) {
		// The lengths of the distances of the next nodes on either side. Without a next
		// node, it is longer than any length.
		left, right := 65, 65
		if lo > 0 {
			left = bits.Len64(heads[lo-1] ^ head)
		}
		if hi < len(heads) {
			right = bits.Len64(heads[hi] ^ head)
		}
		// All nodes of a group are farther away than all nodes of the group before it.
		start := f.n
		if left < right {
			for ; lo > 0 && bits.Len64(heads[lo-1]^head) == left; lo-- {
				if nodes[lo-1].until > now {
					x.offer(&f, target, heads[lo-1]^head, lo-1, start, k)
				}
			}
		} else {
			for ; hi < len(heads) && bits.Len64(heads[hi]^head) == right; hi++ {
				if nodes[hi].until > now {
					x.offer(&f, target, heads[hi]^head, hi, start, k)
				}
			}
		}
	}
	for _, at := range f.at[:f.n] {
		e := &nodes[at]
		if e.size == compactLen4 {
			dst = append(dst, e.info[:compactLen4]...)
		} else {
			dst = append(dst, e.info[:]...)
		}
	}
	return dst
}

// offer inserts a node at or after position start if it is one of the k closest.
func (x *index) offer(f *found, target id.ID, d uint64, at, start, k int) {
	if f.n == k {
		if d > f.dists[k-1] || d == f.dists[k-1] && !x.closer(target, at, int(f.at[k-1])) {
			return
		}
		f.n--
	}
	i := f.n
	for ; i > start && (d < f.dists[i-1] || d == f.dists[i-1] && x.closer(target, at, int(f.at[i-1]))); i-- {
		f.dists[i], f.at[i] = f.dists[i-1], f.at[i-1]
	}
	f.dists[i], f.at[i] = d, int32(at)
	f.n++
}

// closer compares ids with the same head.
func (x *index) closer(target id.ID, a, b int) bool {
	return target.CmpDistance(id.ID(x.nodes[a].info[:id.Len]), id.ID(x.nodes[b].info[:id.Len])) < 0
}
