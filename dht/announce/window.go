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
	windowSize = 2048 // live nodes remembered
	maxMarks   = 2048 // addresses without an answer remembered

	// An address that did not answer one query is suspended for a short time, because the
	// packet may have been lost. After two unanswered queries it is suspended for longer.
	suspendOnce  = 3 * time.Second
	suspendTwice = 2 * time.Minute
)

// window holds the nodes that answered last, and the addresses that did not answer. It
// moves along with the walk. A node is added only when it answers, not when another node
// names it.
type window struct {
	nodes  []known // by id
	byAddr map[netip.AddrPort]id.ID
	marks  map[netip.AddrPort]mark
	marked fifo.Queue[netip.AddrPort]
}

type known struct {
	Node
	seen  mono.Time
	fails uint8 // unanswered queries in a row
}

type mark struct {
	at    mono.Time
	fails uint8
}

func (w *window) init() {
	w.byAddr = make(map[netip.AddrPort]id.ID)
	w.marks = make(map[netip.AddrPort]mark)
}

func (w *window) search(node id.ID) (int, bool) {
	return slices.BinarySearchFunc(w.nodes, node, func(k known, node id.ID) int { return k.ID.Cmp(node) })
}

// id returns the id of the live node at addr, if there is one.
func (w *window) id(addr netip.AddrPort) (id.ID, bool) {
	x, ok := w.byAddr[addr]
	return x, ok
}

// answered records an answer.
func (w *window) answered(now mono.Time, node id.ID, addr netip.AddrPort) {
	if len(w.marks) > 0 {
		delete(w.marks, addr)
	}
	if former, ok := w.byAddr[addr]; ok && former != node {
		w.forget(former) // the node has changed its id
	}
	i, ok := w.search(node)
	if ok {
		if k := &w.nodes[i]; k.Addr == addr {
			k.seen, k.fails = now, 0
		}
		return // of two nodes with the same id, the first is kept
	}
	if len(w.nodes) == windowSize {
		oldest := 0
		for j := range w.nodes {
			if w.nodes[j].seen < w.nodes[oldest].seen {
				oldest = j
			}
		}
		w.forget(w.nodes[oldest].ID)
		i, _ = w.search(node)
	}
	w.nodes = slices.Insert(w.nodes, i, known{Node: Node{node, addr}, seen: now})
	w.byAddr[addr] = node
}

func (w *window) forget(node id.ID) {
	if i, ok := w.search(node); ok {
		delete(w.byAddr, w.nodes[i].Addr)
		w.nodes = slices.Delete(w.nodes, i, i+1)
	}
}

// failed records an unanswered query.
func (w *window) failed(now mono.Time, addr netip.AddrPort) {
	if node, ok := w.byAddr[addr]; ok {
		i, _ := w.search(node)
		if w.nodes[i].fails++; w.nodes[i].fails < 2 {
			return
		}
		w.forget(node)
	}
	m, marked := w.marks[addr]
	if !marked {
		if w.marked.Len() >= maxMarks {
			delete(w.marks, w.marked.Pop())
		}
		w.marked.Push(addr)
	}
	w.marks[addr] = mark{now, min(m.fails+1, 2)}
}

// isSuspended reports whether the address must not be asked now because it did not answer.
func (w *window) isSuspended(now mono.Time, addr netip.AddrPort) bool {
	m, ok := w.marks[addr]
	switch {
	case !ok:
		return false
	case m.fails == 1:
		return now.Sub(m.at) < suspendOnce
	}
	return now.Sub(m.at) < suspendTwice
}

// clearFailures forgets all unanswered queries and suspensions.
func (w *window) clearFailures() {
	clear(w.marks)
	w.marked.Clear()
	for i := range w.nodes {
		w.nodes[i].fails = 0
	}
}

// closest appends to dst the n nodes of the window that are closest to the
// target, closest first.
func (w *window) closest(dst []Node, target id.ID, n int) []Node {
	return descend(dst, w.nodes, target, 0, len(dst)+n)
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
