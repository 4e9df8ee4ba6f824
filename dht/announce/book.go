package announce

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	bookSize = 2048 // live nodes remembered
	maxMarks = 2048 // silent addresses remembered

	// An address that left one query unanswered is not asked for a short time, because
	// the packet may have been lost. One that left two is not asked for longer.
	onceSilent  = 3 * time.Second
	twiceSilent = 2 * time.Minute
)

// book is the window that moves along with the walk: the nodes that answered last, and the
// addresses that did not. Only a node's own answers put it there.
type book struct {
	nodes  []known // by id
	byAddr map[netip.AddrPort]id.ID
	marks  map[netip.AddrPort]mark
	marked fifo.Queue[netip.AddrPort]
}

type known struct {
	Node
	seen  mono.Time
	fails uint8 // queries left unanswered in a row
}

type mark struct {
	at    mono.Time
	fails uint8
}

func (b *book) init() {
	b.byAddr = make(map[netip.AddrPort]id.ID)
	b.marks = make(map[netip.AddrPort]mark)
}

func (b *book) place(node id.ID) (int, bool) {
	return slices.BinarySearchFunc(b.nodes, node, func(k known, node id.ID) int { return k.ID.Cmp(node) })
}

// id returns the id of a live node.
func (b *book) id(addr netip.AddrPort) (id.ID, bool) {
	x, ok := b.byAddr[addr]
	return x, ok
}

// answered records an answer.
func (b *book) answered(now mono.Time, node id.ID, addr netip.AddrPort) {
	if len(b.marks) > 0 {
		delete(b.marks, addr)
	}
	if former, ok := b.byAddr[addr]; ok && former != node {
		b.forget(former) // the node has changed its id
	}
	i, ok := b.place(node)
	if ok {
		if k := &b.nodes[i]; k.Addr == addr {
			k.seen, k.fails = now, 0
		}
		return // of two nodes with one id the first is kept
	}
	if len(b.nodes) == bookSize {
		oldest := 0
		for j := range b.nodes {
			if b.nodes[j].seen < b.nodes[oldest].seen {
				oldest = j
			}
		}
		b.forget(b.nodes[oldest].ID)
		i, _ = b.place(node)
	}
	b.nodes = slices.Insert(b.nodes, i, known{Node: Node{node, addr}, seen: now})
	b.byAddr[addr] = node
}

func (b *book) forget(node id.ID) {
	if i, ok := b.place(node); ok {
		delete(b.byAddr, b.nodes[i].Addr)
		b.nodes = slices.Delete(b.nodes, i, i+1)
	}
}

// failed records an unanswered query.
func (b *book) failed(now mono.Time, addr netip.AddrPort) {
	if node, ok := b.byAddr[addr]; ok {
		i, _ := b.place(node)
		if b.nodes[i].fails++; b.nodes[i].fails < 2 {
			return
		}
		b.forget(node)
	}
	m, again := b.marks[addr]
	if !again {
		if b.marked.Len() >= maxMarks {
			delete(b.marks, b.marked.Pop())
		}
		b.marked.Push(addr)
	}
	b.marks[addr] = mark{now, min(m.fails+1, 2)}
}

// shunned reports whether the address must not be asked now.
func (b *book) shunned(now mono.Time, addr netip.AddrPort) bool {
	m, ok := b.marks[addr]
	switch {
	case !ok:
		return false
	case m.fails == 1:
		return now.Sub(m.at) < onceSilent
	}
	return now.Sub(m.at) < twiceSilent
}

// pardon forgets all unanswered queries.
func (b *book) pardon() {
	clear(b.marks)
	b.marked.Clear()
	for i := range b.nodes {
		b.nodes[i].fails = 0
	}
}

// closest appends to dst the n nodes of the window that are closest to the
// target, closest first.
func (b *book) closest(dst []Node, target id.ID, n int) []Node {
	return descend(dst, b.nodes, target, 0, len(dst)+n)
}

// descend appends the nodes closest to the target until dst holds most. The nodes are sorted
// and share their first bits. Those that share the next bit with the target are all closer
// to it than the others.
func descend(dst []Node, nodes []known, target id.ID, bit, most int) []Node {
	for bit < 8*id.Len && len(nodes) > 1 {
		ones := nodes[0].ID.Bit(bit)
		split := 0
		if !ones && nodes[len(nodes)-1].ID.Bit(bit) {
			lo, hi := 1, len(nodes)-1
			for lo < hi {
				if m := (lo + hi) / 2; nodes[m].ID.Bit(bit) {
					hi = m
				} else {
					lo = m + 1
				}
			}
			split = lo
		}
		bit++
		if split == 0 {
			continue
		}
		near, far := nodes[:split], nodes[split:]
		if target.Bit(bit - 1) {
			near, far = far, near
		}
		if dst = descend(dst, near, target, bit, most); len(dst) == most {
			return dst
		}
		nodes = far
	}
	if len(nodes) > 0 && len(dst) < most {
		dst = append(dst, nodes[0].Node)
	}
	return dst
}
