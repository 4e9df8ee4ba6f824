package bootstrap

import "seedbed/dht/krpc"

// pageNodes is the number of nodes that a loop copies from a ring at a time.
const pageNodes = 512

// page is a loop's copy of a part of a ring. A window of it is a few consecutive nodes for
// a reply.
type page struct {
	nodes  []byte
	stride int
	n      int // number of nodes
	held   int // the same, plus the copies of the first nodes at the end
	at     int // index at which the next window begins
	used   int // nodes returned since the page was filled
	ring   int // nodes in the ring
	gen    uint64
}

// fill copies the next part of the ring, unless the page still has nodes to return or the
// whole ring and nothing changed.
func (p *page) fill(r *Ring) {
	if r == nil || p.gen == r.gen && p.stride != 0 && (p.used < p.n || p.n == p.ring) {
		return
	}
	p.stride, p.gen, p.ring = r.stride, r.gen, r.Len()
	p.nodes, p.at, p.used = p.nodes[:0], 0, 0
	p.n = min(pageNodes, p.ring)
	if p.held = 0; p.n == 0 {
		return
	}
	from := r.read % p.ring
	head := min(p.n, p.ring-from)
	p.nodes = append(p.nodes, r.nodes[from*r.stride:(from+head)*r.stride]...)
	p.nodes = append(p.nodes, r.nodes[:(p.n-head)*r.stride]...)
	if p.n == p.ring {
		r.read = from + K // so that each loop starts at another position
		// A window that reaches the end of the ring continues at its start.
		if p.n > K {
			p.nodes = append(p.nodes, p.nodes[:(K-1)*r.stride]...)
		}
	} else {
		r.read = from + p.n
	}
	p.held = len(p.nodes) / p.stride
}

// window returns the next k nodes, or all if there are fewer. k is at most K.
func (p *page) window(k int) []byte {
	k = min(k, p.n)
	if p.at >= p.n {
		p.at = 0
	}
	begin := min(p.at, p.held-k)
	p.at = begin + k
	p.used += k
	return p.nodes[begin*p.stride : p.at*p.stride]
}

// without returns the window w without the node at the compact address a. If it removes
// one, the result is in buf.
func without(buf, w, a []byte) []byte {
	stride := krpc.NodeLen4
	if len(a) == krpc.PeerLen6 {
		stride = krpc.NodeLen6
	}
	for i := 0; i < len(w); i += stride {
		if string(w[i+stride-len(a):i+stride]) == string(a) {
			return append(append(buf, w[:i]...), w[i+stride:]...)
		}
	}
	return w
}
