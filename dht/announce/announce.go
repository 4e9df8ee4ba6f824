// Package announce keeps many torrents announced in the DHT. One scheduler serves ten
// thousand infohashes and more, at an even and bounded rate of packets.
//
// It decides what to send and when. It never sends, and never reads the clock. The caller
// runs this loop: call Next until it returns nothing, and send; call Reply and Fail as
// answers come; call Next again at Deadline. One Scheduler serves one address family.
//
// One announce of one infohash is called a visit. A token is valid for one infohash only,
// so a visit needs a get_peers and an announce_peer to each of the 8 closest nodes (BEP 5):
// 16 packets. A separate lookup would need two or three times as many. Visits need few
// packets to find live nodes, in three ways:
//
//   - Visits go through the infohashes in the order of their keys (the walk). A visit
//     starts at the nodes around the previous infohash, which answered a moment ago. These
//     nodes form a window that moves along with the walk. The window also records the
//     addresses that did not answer.
//   - For each infohash, the addresses of some nodes that it was announced to are stored.
//     In a network with many more nodes than we have infohashes, these are closer than any
//     node in the window.
//   - A visit asks few nodes at a time, the closest first, and waits for the nodes in their
//     answers (lookup.Config.Sparing).
//
// Visits begin at even intervals, such that one walk over all infohashes takes three
// quarters of Config.Interval. New infohashes, and those whose visit failed, are visited
// out of turn. If the rate is too low, the walk takes longer, equally for every infohash,
// and Stats.Overloaded is true.
package announce

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/dht/lookup"
	"seedbed/internal/fifo"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Config of a scheduler; zero fields take the defaults named here.
type Config struct {
	Own      id.ID         // our id: a node that has it is never asked
	Rate     float64       // 250: maximum number of packets a second
	Interval time.Duration // 20 min: the maximum age of an announce
	Timeout  time.Duration // 3 s: after this time a query has failed
	Relaxed  bool          // private network: many nodes may share a /24 or /64
	// Start returns the nodes of the routing table that are closest to a target.
	Start func(target id.ID) []Node
	// Found is called with the peers in the answers, each peer once a visit. The slice is
	// valid until Found returns. Done is called when a visit ends, with the number of nodes
	// that accepted the announce. Both are called from within Next, Reply and Fail, and
	// must not call the Scheduler.
	Found func(infohash id.ID, from netip.AddrPort, peers []netip.AddrPort)
	Done  func(infohash id.ID, accepted int)
}

func (c *Config) defaults() {
	if c.Rate == 0 {
		c.Rate = 250
	}
	if c.Interval == 0 {
		c.Interval = 20 * time.Minute
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Start == nil {
		c.Start = func(id.ID) []Node { return nil }
	}
	if c.Found == nil {
		c.Found = func(id.ID, netip.AddrPort, []netip.AddrPort) {}
	}
	if c.Done == nil {
		c.Done = func(id.ID, int) {}
	}
}

// Node is a node of the DHT.
type Node struct {
	ID   id.ID
	Addr netip.AddrPort
}

// Kind is the kind of a query.
type Kind uint8

// The two queries of an announce (BEP 5).
const (
	GetPeers Kind = iota
	AnnouncePeer
)

// Query is a packet to send now. The token is valid until the next call.
type Query struct {
	Ref      uint64 // identifies the query in Reply and Fail
	Kind     Kind
	Infohash id.ID
	Addr     netip.AddrPort
	Port     uint16 // AnnouncePeer: the port to announce
	Seed     bool   // AnnouncePeer: we are a seed (BEP 33)
	Token    []byte // AnnouncePeer: the token that the node gave
}

// Scheduler announces infohashes. It is not safe for concurrent use.
type Scheduler struct {
	cfg    Config
	items  slab
	all    order // every infohash
	fresh  order // infohashes to visit out of turn
	ages   queue // infohashes visited at least once, by their last visit
	retry  retries
	window window

	cursor, sweep id.ID     // the last keys that the walk, and the sweep over fresh, have visited
	tick          mono.Time // time at which the rate allows the next packet
	slot          mono.Time // time at which the walk begins its next visit
	walkNext      bool      // the next visit is one of the walk, not of the sweep
	cost          float64   // packets of a visit, on average

	active   map[uint32]*visit
	visits   []*visit  // the same visits, oldest first
	extra    int       // number of visits out of turn
	due      mono.Time // the earliest due of the visits
	ready    fifo.Queue[*visit]
	inFlight fifo.Queue[flight]
	retired  uint64        // queries that have left inFlight: the Ref of its first one is retired+1
	named    []lookup.Node // reused for the nodes of each reply

	unanswered int       // visits in a row without any answer
	probe      mono.Time // while offline: time at which the next visit may begin
	count      Counts
	announced  int // infohashes announced at least once
}

// flight is a pending query.
type flight struct {
	v    *visit
	kind Kind
	over bool
	addr netip.AddrPort
	sent mono.Time
}

// New returns a Scheduler without infohashes. The walk begins at a random key, so that no
// infohash is always the last one after a restart.
func New(cfg Config, now mono.Time, random *rand.Rand) *Scheduler {
	cfg.defaults()
	s := &Scheduler{cfg: cfg, tick: now, slot: now, cost: 18, due: mono.Never, active: make(map[uint32]*visit)}
	s.all.items, s.fresh.items = &s.items, &s.items
	s.ages = queue{items: &s.items, head: none, tail: none}
	s.window.init()
	for i := range s.cursor {
		s.cursor[i] = byte(random.Uint32())
	}
	return s
}

// Announcement says what to announce for an infohash.
type Announcement struct {
	Port          uint16
	Seed          bool // we are a seed (BEP 33)
	JustAnnounced bool // a lookup has just announced it: the first visit can wait for its turn
}

// Add announces an infohash regularly from now on. If it is added again with another port
// or seed flag, the new values are announced at once.
func (s *Scheduler) Add(now mono.Time, infohash id.ID, what Announcement) {
	i, known := s.all.find(infohash)
	if !known {
		i = s.items.alloc()
		r := s.items.at(i)
		*r = record{key: infohash, since: now, prev: i}
		s.all.insert(i)
		s.slot = min(s.slot, now.Add(s.aim()/time.Duration(s.all.n)))
	}
	r := s.items.at(i)
	if known && r.port == what.Port && r.seed == what.Seed {
		return
	}
	r.port, r.seed = what.Port, what.Seed
	if v := s.active[i]; v != nil {
		s.release(v)
	}
	if what.JustAnnounced && !known {
		r.visited, r.announced = now, true
		s.announced++
		s.ages.push(i)
		return
	}
	s.urgent(i)
}

// urgent schedules a visit out of turn.
func (s *Scheduler) urgent(i uint32) {
	r := s.items.at(i)
	if r.state == urgent {
		return
	}
	r.state = urgent
	if s.fresh.n == 0 {
		s.sweep = s.cursor // so that sweep and walk stay together
	}
	s.fresh.insert(i)
}

// Remove stops announcing an infohash.
func (s *Scheduler) Remove(infohash id.ID) {
	i, known := s.all.find(infohash)
	if !known {
		return
	}
	r := s.items.at(i)
	if v := s.active[i]; v != nil {
		s.release(v)
	}
	if r.state == urgent {
		s.fresh.remove(infohash)
	}
	s.all.remove(infohash)
	s.ages.remove(i)
	if r.announced {
		s.announced--
	}
	s.items.release(i)
}

// LastAnnounce returns when nodes last accepted an announce of an infohash. It returns false if none has since it was added.
func (s *Scheduler) LastAnnounce(infohash id.ID) (at mono.Time, ok bool) {
	i, known := s.all.find(infohash)
	if !known || !s.items.at(i).announced {
		return 0, false
	}
	return s.items.at(i).since, true
}

// SetOwn changes our id.
func (s *Scheduler) SetOwn(own id.ID) { s.cfg.Own = own }

// SetRate changes the maximum number of packets a second.
func (s *Scheduler) SetRate(perSecond float64) { s.cfg.Rate = perSecond }

// Next returns the packet to send now, if there is one. The caller sends it and later calls
// Reply or Fail with its Ref.
func (s *Scheduler) Next(now mono.Time) (Query, bool) {
	s.expire(now)
	if now < s.tick {
		return Query{}, false
	}
	for {
		if s.ready.Len() == 0 {
			v := s.begin(now)
			if v == nil {
				return Query{}, false
			}
			s.wake(v)
		}
		v := s.ready.Pop()
		if v.isReady = false; v.gone {
			continue
		}
		q, ok := v.next(now)
		if !ok {
			if v.isOver() {
				s.finish(now, v)
			}
			s.due = min(s.due, v.due)
			continue
		}
		s.wake(v)
		s.inFlight.Push(flight{v: v, kind: q.Kind, addr: q.Addr, sent: now})
		q.Ref = s.retired + uint64(s.inFlight.Len())
		s.spend(now)
		s.count.Sent++
		return q, true
	}
}

// wake puts a visit into the ready queue.
func (s *Scheduler) wake(v *visit) {
	v.due = mono.Never
	if !v.isReady {
		v.isReady = true
		s.ready.Push(v)
	}
}

// expire applies timeouts and begins retries that are due.
func (s *Scheduler) expire(now mono.Time) {
	for s.inFlight.Len() > 0 {
		f := s.inFlight.Front()
		if !f.over {
			if now.Sub(f.sent) < s.cfg.Timeout {
				break
			}
			s.fail(now, f)
		}
		s.inFlight.Pop()
		s.retired++
	}
	if s.due <= now {
		s.due = mono.Never
		for _, v := range s.visits {
			if v.due <= now {
				s.wake(v)
			}
			s.due = min(s.due, v.due)
		}
	}
	for {
		i, ok := s.retry.due(now, &s.items)
		if !ok {
			return
		}
		s.urgent(i)
	}
}

// flight returns the query with that Ref if it is still pending, else nil.
func (s *Scheduler) flight(ref uint64) *flight {
	if ref <= s.retired || ref > s.retired+uint64(s.inFlight.Len()) {
		return nil
	}
	if f := s.inFlight.At(int(ref - s.retired - 1)); !f.over {
		return f
	}
	return nil
}

// Reply takes the answer to a query: the id of the node and, for get_peers, the nodes that
// it named, peers and a token. An unexpected reply is ignored.
func (s *Scheduler) Reply(now mono.Time, ref uint64, node id.ID, nodes []Node, values []netip.AddrPort, token []byte) {
	f := s.flight(ref)
	if f == nil || node.IsZero() {
		return
	}
	f.over = true
	s.count.Answered++
	if s.Offline() {
		s.Wake()
	}
	s.unanswered = 0
	s.window.answered(now, node, f.addr)
	v := f.v
	if v.gone {
		return
	}
	if f.kind == AnnouncePeer {
		v.announcing--
		v.accepted++
	} else {
		s.named = s.named[:0]
		for _, n := range nodes {
			if !s.window.isSuspended(now, n.Addr) {
				s.named = append(s.named, lookup.Node{ID: n.ID, Addr: n.Addr})
			}
		}
		if added := v.lookup.Reply(now, f.addr, node, s.named, values, token); len(added) > 0 {
			s.cfg.Found(v.key, f.addr, added)
		}
	}
	s.wake(v)
}

// Fail records that a query was not answered or was refused.
func (s *Scheduler) Fail(now mono.Time, ref uint64) {
	if f := s.flight(ref); f != nil {
		s.fail(now, f)
	}
}

func (s *Scheduler) fail(now mono.Time, f *flight) {
	f.over = true
	s.count.Failed++
	if !s.Offline() {
		s.window.failed(now, f.addr)
	}
	v := f.v
	if v.gone {
		return
	}
	if f.kind == AnnouncePeer {
		v.announcing--
	} else {
		v.lookup.Fail(now, f.addr)
	}
	s.wake(v)
}

// Deadline returns the time at which Next must be called again if no reply comes before.
func (s *Scheduler) Deadline() mono.Time {
	at := s.retry.next()
	for _, f := range s.inFlight.All() {
		if !f.over {
			at = min(at, f.sent.Add(s.cfg.Timeout))
			break
		}
	}
	at = min(at, s.due)
	if s.ready.Len() > 0 {
		return min(at, s.tick)
	}
	return min(at, max(s.tick, s.beginAt()))
}
