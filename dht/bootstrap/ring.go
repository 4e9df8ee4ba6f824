package bootstrap

import (
	"net/netip"
	"time"

	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Ring holds the verified nodes of one address family, in the order in which they were
// added. If it is full, a new node replaces the oldest one. If the oldest one was added
// less than Config.MinStay ago, the ring grows instead.
//
// The nodes are stored contiguously in compact form, as replies contain them.
type Ring struct {
	cfg   Config
	size  int // current limit of nodes, MinRing to MaxNodes
	write int // index for the next node if the ring is full
	read  int // index at which the next page begins
	sweep int // index at which the search for silent nodes continues
	gen   uint64

	stride int
	nodes  []byte // of stride bytes each
	meta   []meta
	places map[uint64]int32 // index of the node at each place
	saved  []byte           // nodes of an earlier run that have not been pinged yet
}

// meta describes one node, in seconds of the caller's clock.
type meta struct {
	entered  int32
	verified int32
	asked    int32
	tries    uint8 // pings without a reply
}

const (
	// replyTimeout is the time in which a node must reply before it is pinged again or
	// removed.
	replyTimeout = 30 * time.Second
	maxTries     = 3
)

func newRing(cfg Config, v6 bool) *Ring {
	return &Ring{cfg: cfg, size: MinRing, stride: nodeLen(v6), places: make(map[uint64]int32)}
}

// Len returns the number of nodes.
func (r *Ring) Len() int { return len(r.meta) }

// Size returns the current maximum number of nodes.
func (r *Ring) Size() int { return r.size }

func seconds(t mono.Time) int32 { return int32(t / mono.Time(time.Second)) }

// since returns the time from then to now. then is in seconds.
func since(now mono.Time, then int32) time.Duration {
	return time.Duration(seconds(now)-then) * time.Second
}

// Add adds a node that was just verified, and reports whether it is new. If a node has
// changed its id, Add removes it: nodes keep their id while they run, and a change may be
// an attempt to occupy many places. It can be added again later as a new node.
func (r *Ring) Add(now mono.Time, node id.ID, a netip.AddrPort) bool {
	s := seconds(now)
	key := placeKey(a, r.cfg.Relaxed)
	if i, ok := r.places[key]; ok {
		m, old := &r.meta[i], r.node(int(i))
		if compactAddr(old) != a {
			// If two nodes share a place, the first one is kept as long as it replies.
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
	if len(r.meta) == r.size && since(now, r.meta[r.write].entered) < r.cfg.MinStay {
		r.size = min(2*r.size, r.cfg.MaxNodes)
	}
	m := meta{entered: s, verified: s}
	if len(r.meta) < r.size {
		r.places[key] = int32(len(r.meta))
		r.nodes = table.AppendCompact(r.nodes, node, a)
		r.meta = append(r.meta, m)
		return true
	}
	delete(r.places, placeKey(compactAddr(r.node(r.write)), r.cfg.Relaxed))
	r.places[key] = int32(r.write)
	table.AppendCompact(r.node(r.write)[:0], node, a)
	r.meta[r.write] = m
	r.write = (r.write + 1) % r.size
	return true
}

func (r *Ring) node(i int) []byte {
	return r.nodes[i*r.stride : (i+1)*r.stride : (i+1)*r.stride]
}

// remove removes node i. The last node moves to its index.
func (r *Ring) remove(i int) {
	last := len(r.meta) - 1
	delete(r.places, placeKey(compactAddr(r.node(i)), r.cfg.Relaxed))
	if i != last {
		copy(r.node(i), r.node(last))
		r.meta[i] = r.meta[last]
		r.places[placeKey(compactAddr(r.node(i)), r.cfg.Relaxed)] = int32(i)
	}
	r.nodes, r.meta = r.nodes[:last*r.stride], r.meta[:last]
	r.gen++
}

// Silent returns the next node to ping: one saved by an earlier run, or one that has been
// silent for Config.MinStay. It also removes nodes that did not answer maxTries pings. Each
// call examines only a part of the ring.
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
		case m.tries > 0 && since(now, m.asked) < replyTimeout,
			m.tries == 0 && since(now, m.verified) < r.cfg.MinStay:
		case m.tries >= maxTries:
			r.remove(i)
			if len(r.meta) == 0 {
				return a, false
			}
			continue // with the node that has moved to this index
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

// restore adds the nodes that an earlier run saved. Fresh nodes count as verified;
// others are pinged first.
func (r *Ring) restore(now mono.Time, nodes []byte, fresh bool) {
	for ; len(nodes) >= r.stride; nodes = nodes[r.stride:] {
		a := compactAddr(nodes[:r.stride])
		switch {
		case !isReturnable(a, r.cfg.Relaxed), a.Addr().Is4() != (r.stride == nodeLen(false)):
		case fresh:
			r.size = min(max(r.size, len(r.meta)+1), r.cfg.MaxNodes)
			r.Add(now, id.ID(nodes[:id.Len]), a)
		case len(r.saved) < r.cfg.MaxNodes*r.stride:
			r.saved = append(r.saved, nodes[:r.stride]...)
		}
	}
}
