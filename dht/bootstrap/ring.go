package bootstrap

import (
	"net/netip"
	"time"

	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Ring is the verified nodes of one address family, in the order in which they
// came. When it is full, a new node takes the place of the oldest; but as long
// as that one has been here for less than Config.Turn, the ring grows instead.
//
// The nodes lie one behind the other in compact form, as answers have them.
type Ring struct {
	cfg   Config
	size  int // nodes that it may have now, MinRing to MaxNodes
	write int // where the next node goes when the ring is full
	read  int // where the next page begins
	sweep int // where the search for silent nodes goes on
	gen   uint64

	stride int
	nodes  []byte // of stride bytes each
	meta   []meta
	places map[uint64]int32 // by place: the index of its node
	saved  []byte           // nodes of an earlier run that are to be asked
}

// meta is of one node, in seconds of the caller's clock.
type meta struct {
	entered  int32
	verified int32
	asked    int32
	tries    uint8 // pings since it answered last
}

const (
	// patience is how long a node has to answer before it is asked again, or
	// leaves.
	patience = 30 * time.Second
	maxTries = 3
)

func newRing(cfg Config, v6 bool) *Ring {
	return &Ring{cfg: cfg, size: MinRing, stride: nodeLen(v6), places: make(map[uint64]int32)}
}

// Len is the number of nodes, Size that of places.
func (r *Ring) Len() int  { return len(r.meta) }
func (r *Ring) Size() int { return r.size }

func seconds(t mono.Time) int32 { return int32(t / mono.Time(time.Second)) }

// since is the time from a moment in seconds to now, to the second.
func since(now mono.Time, then int32) time.Duration {
	return time.Duration(seconds(now)-then) * time.Second
}

// Add takes in a node that has just proven that it is there. It reports
// whether it is new here. One that has changed its id is forgotten: nodes do not
// do that while they run, and who does wants to be in many places. As a new node
// it may come again.
func (r *Ring) Add(now mono.Time, node id.ID, a netip.AddrPort) bool {
	s := seconds(now)
	key := place(a, r.cfg.Relaxed)
	if i, ok := r.places[key]; ok {
		m, old := &r.meta[i], r.node(int(i))
		if compactAddr(old) != a {
			// Of two nodes behind one address the first is as good as the other,
			// as long as it is there.
			if m.tries == 0 {
				return false
			}
			m.entered = s
		} else if id.ID(old) != node {
			r.remove(int(i))
			return false
		}
		m.verified, m.tries = s, 0
		table.AppendCompact(old[:0], node, a)
		r.gen++
		return false
	}
	r.gen++
	if len(r.meta) == r.size && since(now, r.meta[r.write].entered) < r.cfg.Turn {
		r.size = min(2*r.size, r.cfg.MaxNodes)
	}
	m := meta{entered: s, verified: s}
	if len(r.meta) < r.size {
		r.places[key] = int32(len(r.meta))
		r.nodes = table.AppendCompact(r.nodes, node, a)
		r.meta = append(r.meta, m)
		return true
	}
	delete(r.places, place(compactAddr(r.node(r.write)), r.cfg.Relaxed))
	r.places[key] = int32(r.write)
	table.AppendCompact(r.node(r.write)[:0], node, a)
	r.meta[r.write] = m
	r.write = (r.write + 1) % r.size
	return true
}

func (r *Ring) node(i int) []byte {
	return r.nodes[i*r.stride : (i+1)*r.stride : (i+1)*r.stride]
}

// remove lets the last node take the place of node i.
func (r *Ring) remove(i int) {
	last := len(r.meta) - 1
	delete(r.places, place(compactAddr(r.node(i)), r.cfg.Relaxed))
	if i != last {
		copy(r.node(i), r.node(last))
		r.meta[i] = r.meta[last]
		r.places[place(compactAddr(r.node(i)), r.cfg.Relaxed)] = int32(i)
	}
	r.nodes, r.meta = r.nodes[:last*r.stride], r.meta[:last]
	r.gen++
}

// Silent is the next node to ping: one of an earlier run, or one that has been
// silent for Config.Turn. Nodes that have left several pings unanswered leave
// the ring meanwhile. Each call looks at a part of the ring only.
func (r *Ring) Silent(now mono.Time) (a netip.AddrPort, ok bool) {
	if n := len(r.saved); n > 0 {
		a = compactAddr(r.saved[n-r.stride:])
		r.saved = r.saved[:n-r.stride]
		return a, true
	}
	s := seconds(now)
	for range min(64, len(r.meta)) {
		if r.sweep >= len(r.meta) {
			r.sweep = 0
		}
		i := r.sweep
		m := &r.meta[i]
		switch {
		case m.tries > 0 && since(now, m.asked) < patience,
			m.tries == 0 && since(now, m.verified) < r.cfg.Turn:
		case m.tries >= maxTries:
			r.remove(i)
			if len(r.meta) == 0 {
				return a, false
			}
			continue // to the node that is there now
		default:
			m.tries++
			m.asked = s
			r.sweep++
			return compactAddr(r.node(i)), true
		}
		r.sweep++
	}
	return a, false
}

// restore takes in what an earlier run saved. Fresh nodes are as good as
// verified now; others are asked first.
func (r *Ring) restore(now mono.Time, nodes []byte, fresh bool) {
	for ; len(nodes) >= r.stride; nodes = nodes[r.stride:] {
		a := compactAddr(nodes[:r.stride])
		switch {
		case !kept(a, r.cfg.Relaxed), a.Addr().Is4() != (r.stride == nodeLen(false)):
		case fresh:
			r.size = min(max(r.size, len(r.meta)+1), r.cfg.MaxNodes)
			r.Add(now, id.ID(nodes[:id.Len]), a)
		case len(r.saved) < r.cfg.MaxNodes*r.stride:
			r.saved = append(r.saved, nodes[:r.stride]...)
		}
	}
}
