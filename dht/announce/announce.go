// Package announce keeps many torrents announced in the DHT: one scheduler for
// ten thousand infohashes and more, at an even and bounded rate of packets.
//
// It decides what to send and when; it never sends or asks for the time. The
// shell loops: Next until it yields nothing, send; Reply and Fail as answers
// come; wake at Deadline. One Scheduler serves one address family.
//
// An announce is a visit to the neighbourhood of an infohash. A token is bound
// to the infohash that it was given for, so that a visit needs a get_peers and an
// announce_peer for each of the 8 closest nodes (BEP 5): 16 packets. A lookup
// of its own would need two or three times as many. What a visit saves is the
// search and the questions to the dead, by three kinds of memory:
//
//   - Visits go in the order of the keys, so that the nodes around one infohash,
//     seen alive a moment ago, are the start for the next: a window of nodes
//     that slides along with the walk. The silent are remembered there too.
//   - Each infohash remembers the addresses of some nodes that it was
//     announced to. In a network with many more nodes than we have infohashes,
//     these are closer than anything that the neighbours know.
//   - A visit asks few nodes at a time, the closest first, and waits for what
//     they name: nobody is asked in vain for the sake of speed.
//
// Visits begin at even distances in time, such that all infohashes come round
// in three quarters of the interval. New infohashes, and those whose visit
// failed, are visited out of turn. When the rate cannot carry all, the walk takes
// as long as it takes, alike for every infohash, and Stats says so.
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
	Own      id.ID         // our id: nobody's answer makes us ask ourselves
	Rate     float64       // 250: packets a second at most
	Interval time.Duration // 20 min: how old an announce may become
	Timeout  time.Duration // 3 s: when a query has failed
	Relaxed  bool          // private network: many nodes may share a /24 or /64
	// Start yields the nodes of the routing table that are closest to a target.
	Start func(target id.ID) []Node
	// Found hears of the peers that came with the answers, each once a visit;
	// Done hears of every visit that ended, and by how many nodes the announce
	// was accepted. Both are called from within Next, Reply and Fail, and must not
	// call back. The slice is the scheduler's.
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
	Ref      uint64 // names the query in Reply and Fail
	Kind     Kind
	Infohash id.ID
	Addr     netip.AddrPort
	Port     uint16 // AnnouncePeer: the port to announce
	Seed     bool   // AnnouncePeer: that we have all of it (BEP 33)
	Token    []byte // AnnouncePeer: the right to
}

// Scheduler announces infohashes. It is not safe for concurrent use.
type Scheduler struct {
	cfg   Config
	items slab
	all   order // every infohash
	fresh order // those to visit out of turn
	ages  queue // those visited at least once, by their last visit
	retry retries
	book  book

	cursor, sweep id.ID // the walk, and the sweep over fresh, have come to here
	tick          mono.Time
	slot          mono.Time // of the next visit of the walk
	walkNext      bool      // the walk's turn has come before the sweep's
	cost          float64   // packets of a visit, on average

	active map[uint32]*visit
	visits []*visit  // the same, in the order of their beginnings
	extra  int       // of these, those out of turn
	due    mono.Time // the first due of any
	ready  fifo.Queue[*visit]
	air    fifo.Queue[flight]
	landed uint64        // flights that left the queue: the Ref of its first is one more
	named  []lookup.Node // room for the nodes of one reply

	dark      int // visits in a row that nobody answered
	probe     mono.Time
	count     Counts
	announced int // infohashes announced at least once
}

// flight is a query under way.
type flight struct {
	v    *visit
	kind Kind
	over bool
	addr netip.AddrPort
	sent mono.Time
}

// New is a scheduler without infohashes. The random source chooses where its
// walk begins, so that no key is always the last after a restart.
func New(cfg Config, now mono.Time, random *rand.Rand) *Scheduler {
	cfg.defaults()
	s := &Scheduler{cfg: cfg, tick: now, slot: now, cost: 18, due: mono.Never, active: make(map[uint32]*visit)}
	s.all.items, s.fresh.items = &s.items, &s.items
	s.ages = queue{items: &s.items, head: none, tail: none}
	s.book.init()
	for i := range s.cursor {
		s.cursor[i] = byte(random.Uint32())
	}
	return s
}

// Announcement is what is said of an infohash.
type Announcement struct {
	Port uint16
	Seed bool // BEP 33: we have all of it
	Told bool // the closest nodes have just been told, by somebody else
}

// Add has an infohash announced from now on. Adding it again changes what is
// said, and announces it anew if that is different.
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
	if what.Told && !known {
		r.visited, r.announced = now, true
		s.announced++
		s.ages.push(i)
		return
	}
	s.urgent(i)
}

// urgent has an infohash visited out of turn.
func (s *Scheduler) urgent(i uint32) {
	r := s.items.at(i)
	if r.state == urgent {
		return
	}
	r.state = urgent
	if s.fresh.n == 0 {
		s.sweep = s.cursor // so that sweep and walk go on in step
	}
	s.fresh.insert(i)
}

// Remove ends the announcing of an infohash.
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

// SetOwn tells of a change of our id.
func (s *Scheduler) SetOwn(own id.ID) { s.cfg.Own = own }

// SetRate changes how many packets a second are sent at most.
func (s *Scheduler) SetRate(perSecond float64) { s.cfg.Rate = perSecond }

// Next is the packet to send now, if any. The caller reports Reply or Fail for
// its Ref.
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
			if v.over() {
				s.finish(now, v)
			}
			s.due = min(s.due, v.due)
			continue
		}
		s.wake(v)
		s.air.Push(flight{v: v, kind: q.Kind, addr: q.Addr, sent: now})
		q.Ref = s.landed + uint64(s.air.Len())
		s.spend(now)
		s.count.Sent++
		return q, true
	}
}

// wake lets a visit send when its turn comes.
func (s *Scheduler) wake(v *visit) {
	v.due = mono.Never
	if !v.isReady {
		v.isReady = true
		s.ready.Push(v)
	}
}

// expire applies what time alone brings about.
func (s *Scheduler) expire(now mono.Time) {
	for s.air.Len() > 0 {
		f := s.air.Front()
		if !f.over {
			if now.Sub(f.sent) < s.cfg.Timeout {
				break
			}
			s.fail(now, f)
		}
		s.air.Pop()
		s.landed++
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

// flight is the query of that name, if it is still under way.
func (s *Scheduler) flight(ref uint64) *flight {
	if ref <= s.landed || ref > s.landed+uint64(s.air.Len()) {
		return nil
	}
	if f := s.air.At(int(ref - s.landed - 1)); !f.over {
		return f
	}
	return nil
}

// Reply takes the answer to a query: the id of the node and, to a get_peers, the
// nodes that it named, peers and a token. A reply that nobody waits for is
// ignored.
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
	s.dark = 0
	s.book.answered(now, node, f.addr)
	v := f.v
	if v.gone {
		return
	}
	if f.kind == AnnouncePeer {
		v.telling--
		v.accepted++
	} else {
		s.named = s.named[:0]
		for _, n := range nodes {
			if !s.book.shunned(now, n.Addr) {
				s.named = append(s.named, lookup.Node{ID: n.ID, Addr: n.Addr})
			}
		}
		if news := v.lookup.Reply(now, f.addr, node, s.named, values, token); len(news) > 0 {
			s.cfg.Found(v.key, f.addr, news)
		}
	}
	s.wake(v)
}

// Fail records that a query was not answered, or refused.
func (s *Scheduler) Fail(now mono.Time, ref uint64) {
	if f := s.flight(ref); f != nil {
		s.fail(now, f)
	}
}

func (s *Scheduler) fail(now mono.Time, f *flight) {
	f.over = true
	s.count.Failed++
	if !s.Offline() {
		s.book.failed(now, f.addr)
	}
	v := f.v
	if v.gone {
		return
	}
	if f.kind == AnnouncePeer {
		v.telling--
	} else {
		v.lookup.Fail(now, f.addr)
	}
	s.wake(v)
}

// Deadline is when Next must be called again though nothing came in.
func (s *Scheduler) Deadline() mono.Time {
	at := s.retry.next()
	for _, f := range s.air.All() {
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
