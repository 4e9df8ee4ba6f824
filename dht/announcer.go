package dht

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/announce"
	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Announcer keeps many torrents announced, each at least every 20 minutes if the send rate
// allows it. It runs an announce.Scheduler for each family and sends its queries. It leaves
// a fifth of the node's rate to lookups. It ends when its DHT closes.
type Announcer struct {
	d    *DHT
	legs []*announceLeg

	mu       sync.Mutex
	torrents map[id.ID]*Announcement
	owns     func(key id.ID) bool // see SetOwned; nil: everything

	scheduled, keyed, owned int // numbers of torrents: announced, with a Key, and both

	calls sync.Mutex // held while a Found or Done function runs
}

// Announcement says what to announce for an infohash, and which functions get the results.
type Announcement struct {
	Ports addrs.Ports
	Seed  bool // we are a seed (BEP 33)
	// Key, if it is not zero, is passed to the function of SetOwned, which decides whether the infohash is announced.
	Key id.ID
	// JustAnnounced4 and JustAnnounced6 say that DHT.Announce has just announced the
	// infohash in that family.
	JustAnnounced4, JustAnnounced6 bool
	// Found is called with peers that others announced. Done is called after each announce
	// in one family, with the number of nodes that accepted it. Both may be nil. They are
	// called one at a time, and never after the remove function has returned. They must not
	// block, and must not call the remove function.
	Found Found
	Done  func(accepted int)

	scheduled bool // the schedulers have it; Announcer.mu guards it
}

// announceLeg is the part of an Announcer in one family.
type announceLeg struct {
	a       *Announcer
	f       *family
	wakeup  chan struct{} // something has changed: run step
	offline atomic.Bool

	mu      sync.Mutex
	s       *announce.Scheduler
	results []result // to be delivered to the functions of the Announcements
}

// result has peers of an infohash, or says that an announce has ended.
type result struct {
	infohash id.ID
	from     netip.AddrPort // the node that returned peers
	peers    []netip.AddrPort
	over     bool
	accepted int
}

// NewAnnouncer starts an Announcer without torrents. A node needs only one.
func NewAnnouncer(d *DHT) *Announcer {
	a := &Announcer{d: d, torrents: make(map[id.ID]*Announcement)}
	for _, f := range d.families {
		l := &announceLeg{a: a, f: f, wakeup: make(chan struct{}, 1)}
		d.mu.Lock()
		l.s = announce.New(announce.Config{
			Own:     f.table.ID(),
			Rate:    announceShare * d.cfg.Rate / float64(len(d.families)),
			Timeout: 2 * hardTimeout, // transactions fail earlier
			Relaxed: f.relaxed,
			Start:   l.start,
			Found: func(infohash id.ID, from netip.AddrPort, peers []netip.AddrPort) {
				l.results = append(l.results, result{infohash: infohash, from: from, peers: append([]netip.AddrPort(nil), peers...)})
			},
			Done: func(infohash id.ID, accepted int) {
				l.results = append(l.results, result{infohash: infohash, over: true, accepted: accepted})
			},
		}, d.now(), d.random)
		d.mu.Unlock()
		a.legs = append(a.legs, l)
	}
	for _, l := range a.legs {
		d.spawn(l.run)
	}
	return a
}

// Add announces an infohash regularly until remove is called. The first announce starts at
// once, unless JustAnnounced4 or JustAnnounced6 says that there has been one. Adding an
// infohash again replaces its Announcement; then only the latest remove function has an
// effect.
func (a *Announcer) Add(infohash id.ID, what Announcement) (remove func()) {
	t := &what
	a.mu.Lock()
	before := a.torrents[infohash]
	if before != nil {
		a.count(before, -1)
		t.scheduled = before.scheduled
	}
	a.torrents[infohash] = t
	if a.isOwned(t) {
		a.schedule(infohash, t)
	} else {
		t.JustAnnounced4, t.JustAnnounced6 = false, false // when it is owned, that announce may have expired
		if t.scheduled {
			a.unschedule(infohash, t)
		}
	}
	a.count(t, 1)
	for _, l := range a.legs {
		l.mu.Lock()
		// Peers that were announced to us are delivered before the first announce.
		l.results = append(l.results, result{infohash: infohash})
		l.mu.Unlock()
		l.wake()
	}
	a.mu.Unlock()
	return func() {
		a.mu.Lock()
		if a.torrents[infohash] == t {
			delete(a.torrents, infohash)
			a.count(t, -1)
			if t.scheduled {
				a.unschedule(infohash, t)
			}
			for _, l := range a.legs {
				l.wake()
			}
		}
		a.mu.Unlock()
		a.calls.Lock()
		//lint:ignore SA2001 taking the lock waits for a call under way
		a.calls.Unlock()
	}
}

// SetOwned makes the Announcer announce only those infohashes with a Key for which owns returns true. It calls owns for each
// of them, with a lock held. Call it again, with the same function or another, when the results have changed. The infohashes
// that it excludes expire at the nodes that store them, and the others are announced at the usual rate.
func (a *Announcer) SetOwned(owns func(key id.ID) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owns = owns
	for infohash, t := range a.torrents {
		a.count(t, -1)
		switch owned := a.isOwned(t); {
		case owned && !t.scheduled:
			a.schedule(infohash, t)
		case !owned && t.scheduled:
			a.unschedule(infohash, t)
		}
		a.count(t, 1)
	}
	for _, l := range a.legs {
		l.wake()
	}
}

// IsAnnounced reports whether an infohash is kept announced: it was added, and SetOwned does not exclude it.
func (a *Announcer) IsAnnounced(infohash id.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.torrents[infohash]
	return t != nil && t.scheduled
}

// LastAnnounce returns how long ago nodes last accepted an announce of an infohash, in the family where that is shorter. It
// returns false if it is not kept announced, or none has accepted it yet.
func (a *Announcer) LastAnnounce(infohash id.ID) (ago time.Duration, ok bool) {
	if !a.IsAnnounced(infohash) {
		return 0, false
	}
	for _, l := range a.legs {
		l.mu.Lock()
		at, did := l.s.LastAnnounce(infohash)
		l.mu.Unlock()
		if since := a.d.now().Sub(at); did && (!ok || since < ago) {
			ago, ok = since, true
		}
	}
	return ago, ok
}

// isOwned reports whether t is to be announced. mu is held.
func (a *Announcer) isOwned(t *Announcement) bool {
	return t.Key == id.ID{} || a.owns == nil || a.owns(t.Key)
}

// count adds by to the numbers of torrents that t belongs to. mu is held.
func (a *Announcer) count(t *Announcement, by int) {
	if t.scheduled {
		a.scheduled += by
	}
	if t.Key != (id.ID{}) {
		a.keyed += by
		if t.scheduled {
			a.owned += by
		}
	}
}

// schedule makes the schedulers announce an infohash, with the current ports. mu is held.
func (a *Announcer) schedule(infohash id.ID, t *Announcement) {
	for _, l := range a.legs {
		justAnnounced := t.JustAnnounced4
		if l.f.v6 {
			justAnnounced = t.JustAnnounced6
		}
		l.mu.Lock()
		l.s.Add(a.d.now(), infohash, announce.Announcement{Port: t.Ports.Of(l.f.v6), Seed: t.Seed, JustAnnounced: justAnnounced})
		l.mu.Unlock()
	}
	t.scheduled, t.JustAnnounced4, t.JustAnnounced6 = true, false, false
}

// unschedule undoes schedule. mu is held.
func (a *Announcer) unschedule(infohash id.ID, t *Announcement) {
	t.scheduled = false
	for _, l := range a.legs {
		l.mu.Lock()
		l.s.Remove(infohash)
		l.mu.Unlock()
	}
}

// SetPorts changes the ports of all Announcements. Those that differ are announced again as soon as the rate
// allows.
func (a *Announcer) SetPorts(ports addrs.Ports) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for infohash, t := range a.torrents {
		if t.Ports = ports; t.scheduled {
			a.schedule(infohash, t)
		}
	}
	for _, l := range a.legs {
		l.wake()
	}
}

func (l *announceLeg) wake() { nudge(l.wakeup) }

// nudge wakes the reader of c, which has a buffer of one element. It never blocks.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run sends the queries of the scheduler until the node closes.
func (l *announceLeg) run() {
	d := l.a.d
	timer := time.NewTimer(0)
	defer timer.Stop()
	ready := d.ready
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-ready:
			ready = nil
			l.mu.Lock()
			l.s.Wake()
			l.mu.Unlock()
		case <-l.wakeup:
		case <-timer.C:
		}
		timer.Reset(l.step())
	}
}

// step sends the queries that are due and delivers results. It returns the time until the
// next step.
func (l *announceLeg) step() time.Duration {
	d := l.a.d
	d.mu.Lock()
	own := l.f.table.ID()
	d.mu.Unlock()
	rate := l.rate()
	l.mu.Lock()
	now := d.now()
	l.s.SetOwn(own)
	l.s.SetRate(rate)
	at := l.due(now)
	l.offline.Store(l.s.Offline())
	all := l.results
	l.results = nil
	l.mu.Unlock()
	for _, n := range all {
		l.deliver(now, n)
	}
	return min(max(at.Sub(now), 0), time.Hour)
}

// due sends the queries that are due and for which a flow is free. It returns the time at
// which the next one is due.
func (l *announceLeg) due(now mono.Time) mono.Time {
	d := l.a.d
	for {
		d.mu.Lock()
		room, freed := l.f.room(now, announceShare), d.flows.Next()
		d.mu.Unlock()
		if !room {
			return freed
		}
		q, ok := l.s.Next(now)
		if !ok {
			return l.s.Deadline()
		}
		l.ask(q)
	}
}

// rate returns our share of the packet rate. A family that is offline needs almost nothing.
func (l *announceLeg) rate() float64 {
	online := 1
	for _, o := range l.a.legs {
		if o != l && !o.offline.Load() {
			online++
		}
	}
	return announceShare * l.a.d.cfg.Rate / float64(online)
}

// start returns the nodes of the table at which a visit starts.
func (l *announceLeg) start(target id.ID) (nodes []announce.Node) {
	d := l.a.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range l.f.table.Closest(nil, target, startNodes, func(n *table.Node) bool { return n.Fails == 0 }) {
		nodes = append(nodes, announce.Node{ID: n.ID, Addr: n.Addr})
	}
	return nodes
}

// ask queues one query. Its outcome is passed to the scheduler.
func (l *announceLeg) ask(q announce.Query) {
	tx := &transaction{to: q.Addr, method: "get_peers"}
	if q.Kind == announce.AnnouncePeer {
		tx.method, tx.args = "announce_peer", announcement(q.Infohash, q.Port, q.Seed, q.Token)
	} else {
		tx.args = new(queryArgs)
		tx.args.InfoHash = akrpc.ID(q.Infohash)
	}
	tx.done = func(m *krpc.Message, _ time.Duration, err error) {
		now := l.a.d.now()
		l.mu.Lock()
		if err != nil {
			l.s.Fail(now, q.Ref)
		} else {
			l.s.Reply(now, q.Ref, m.Response.ID, l.nodes(m), l.peers(m), m.Response.Token)
		}
		l.mu.Unlock()
		l.wake()
	}
	l.a.d.mu.Lock()
	l.f.enqueue(tx)
	l.a.d.mu.Unlock()
}

// nodes returns the usable nodes of our family in a response.
func (l *announceLeg) nodes(m *krpc.Message) (nodes []announce.Node) {
	b, size := m.Response.Nodes, krpc.NodeLen4
	if l.f.v6 {
		b, size = m.Response.Nodes6, krpc.NodeLen6
	}
	for ; len(b) >= size; b = b[size:] {
		if a := addrs.Parse(b[id.Len:size]); a.Addr().Is6() == l.f.v6 && addrs.IsNode(a, l.f.relaxed) {
			nodes = append(nodes, announce.Node{ID: id.ID(b[:id.Len]), Addr: a})
		}
	}
	return nodes
}

// peers returns the usable peers of a response.
func (l *announceLeg) peers(m *krpc.Message) (peers []netip.AddrPort) {
	for a := range m.Response.Peers() {
		if addrs.IsUsable(a, l.f.relaxed) {
			peers = append(peers, a)
		}
	}
	return peers
}

// deliver passes a result to the functions of its Announcement. At the beginning and at the
// end of an announce, it also passes the peers that were announced to us, because in a
// small network we are one of the closest nodes.
func (l *announceLeg) deliver(now mono.Time, n result) {
	l.a.calls.Lock()
	defer l.a.calls.Unlock()
	l.a.mu.Lock()
	current := l.a.torrents[n.infohash]
	if current == nil {
		l.a.mu.Unlock()
		return
	}
	t := *current // SetPorts changes it
	l.a.mu.Unlock()
	if n.peers == nil {
		if t.scheduled {
			l.f.storeOwnAnnounce(now, n.infohash, t.Ports.Of(l.f.v6), t.Seed)
		}
		n.peers = l.f.stored(n.infohash)
	}
	if n.peers = l.excludeSelf(n.peers, t.Ports.Of(l.f.v6)); len(n.peers) > 0 && t.Found != nil {
		t.Found(n.from, n.peers)
	}
	if n.over && t.Done != nil {
		t.Done(n.accepted)
	}
}

// excludeSelf returns the peers without our own address.
func (l *announceLeg) excludeSelf(peers []netip.AddrPort, port uint16) []netip.AddrPort {
	l.a.d.mu.Lock()
	self := netip.AddrPortFrom(l.f.self(), port)
	l.a.d.mu.Unlock()
	others := peers[:0]
	for _, p := range peers {
		if p != self {
			others = append(others, p)
		}
	}
	return others
}

// AnnouncerStats is the state of an Announcer.
type AnnouncerStats struct {
	Torrents int // infohashes that are kept announced
	Keyed    int // infohashes with an Announcement.Key
	Owned    int // of these, kept announced
	Late     int // torrents whose last announce in some online family is older than 20 minutes
	// Interval is the time in which all torrents are announced once. Stretched says that it
	// is more than 20 minutes, because the rate is too low.
	Interval  time.Duration
	Stretched bool
	V4, V6    announce.Stats
}

// Stats returns the current state.
func (a *Announcer) Stats() AnnouncerStats {
	a.mu.Lock()
	st := AnnouncerStats{Torrents: a.scheduled, Keyed: a.keyed, Owned: a.owned}
	a.mu.Unlock()
	for _, l := range a.legs {
		l.mu.Lock()
		s := l.s.Stats(a.d.now())
		l.mu.Unlock()
		if l.f.v6 {
			st.V6 = s
		} else {
			st.V4 = s
		}
		if !s.Offline || len(a.legs) == 1 {
			st.Late = max(st.Late, s.Late)
			st.Interval = max(st.Interval, s.Interval)
			st.Stretched = st.Stretched || s.Overloaded
		}
	}
	return st
}

// Late returns the torrents whose last announce in some online family is older than 20
// minutes.
func (a *Announcer) Late() (late []id.ID) {
	seen := make(map[id.ID]bool)
	for _, l := range a.legs {
		l.mu.Lock()
		if !l.s.Offline() || len(a.legs) == 1 {
			l.s.Late(a.d.now(), func(infohash id.ID) bool {
				if !seen[infohash] {
					seen[infohash] = true
					late = append(late, infohash)
				}
				return true
			})
		}
		l.mu.Unlock()
	}
	return late
}
