package table

import (
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// pingAfter is the time without a message from a node after which we ping it. It is short
// enough that the node is still good when it answers.
const pingAfter = GoodFor - 3*time.Minute

// retryAfter is the minimum time between two pings of a node that has failed.
const retryAfter = time.Minute

// Questionable returns the live node whose last message is the oldest, if it is old enough
// for a ping. The caller calls Pinged, pings the node, and calls Replied or Failed.
func (t *Table) Questionable(now mono.Time) (Node, bool) {
	var stalest *Node
	for i := range t.buckets {
		for j := range t.buckets[i].live {
			n := &t.buckets[i].live[j]
			due := n.Fails > 0 || now.Sub(max(n.Replied, n.Asked)) >= pingAfter
			if !due || now.Sub(n.Pinged) < retryAfter {
				continue
			}
			if stalest == nil || max(n.Replied, n.Asked) < max(stalest.Replied, stalest.Asked) {
				stalest = n
			}
		}
	}
	if stalest == nil {
		return Node{}, false
	}
	return *stalest, true
}

// Refresh returns a target in the bucket that has not changed for longest, if that is 15
// minutes or more (BEP 5). The bucket then counts as refreshed. The bits that the bucket
// does not determine come from random.
func (t *Table) Refresh(now mono.Time, random id.ID) (target id.ID, ok bool) {
	stalest := -1
	for i := range t.depth() {
		b := &t.buckets[i]
		if now.Sub(b.changed) < GoodFor {
			continue
		}
		if stalest < 0 || b.changed < t.buckets[stalest].changed {
			stalest = i
		}
	}
	if stalest < 0 {
		return id.ID{}, false
	}
	t.buckets[stalest].changed = now
	return t.inBucket(stalest, random), true
}

// depth returns the number of buckets to refresh: all up to the deepest bucket that has a
// node, and the next one, which may have nodes that we do not know.
func (t *Table) depth() int {
	for i := numBuckets - 1; i >= 0; i-- {
		if len(t.buckets[i].live) > 0 {
			return min(i+2, numBuckets)
		}
	}
	return 0
}

// inBucket returns an id that belongs into the bucket: its first bits are those of our id,
// the next bit is inverted, and the rest comes from random.
func (t *Table) inBucket(bucket int, random id.ID) id.ID {
	x := random
	for i := 0; i <= bucket; i++ {
		mask := byte(0x80) >> (i % 8)
		x[i/8] = x[i/8]&^mask | t.own[i/8]&mask
	}
	x[bucket/8] ^= 0x80 >> (bucket % 8)
	return x
}

// Rebase changes our id, and keeps the nodes for which the new buckets have room.
func (t *Table) Rebase(now mono.Time, own id.ID) {
	old := t.Nodes()
	*t = *New(Config{ID: own, Relaxed: t.relaxed, Now: now})
	for _, n := range old {
		b, i := t.bucketOf(n.ID)
		switch {
		case n.ID == own:
		case len(b.live) < capacity(i):
			t.insertLive(b, n, now)
		default:
			t.count(n, 1)
			t.keepSpare(b, n)
		}
	}
}

// Nodes returns every live node, farthest buckets first.
func (t *Table) Nodes() []Node {
	ns := make([]Node, 0, t.live)
	for i := range t.buckets {
		ns = append(ns, t.buckets[i].live...)
	}
	return ns
}
