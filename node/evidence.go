package node

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/reachability"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// Whether others can connect to the node is judged from evidence; see package reachability. The
// evidence comes from accept (arrivals), the DHT (arrivals and our address as others see it), and peers that
// are asked to dial back (docs/dialback.md). dialback.go has what we do when peers ask us.

const (
	// maxHelpers is the number of peers of each family that are remembered because they can
	// be asked to dial back.
	maxHelpers = 32
	// peersAsked is the number of peers that are asked in one round, each of another network.
	peersAsked = 3
	// answerTime is how long a peer may take to dial back and to report it.
	answerTime = time.Minute
	// askEvery is the time between two rounds, and askUnknownEvery as long as there is no verdict.
	askEvery        = time.Hour
	askUnknownEvery = 10 * time.Minute
	// askAgain is the time between two requests to one peer. It is longer than the time in which peers
	// refuse a second one.
	askAgain = dialBackPause + 30*time.Second
	// mappingTime is how long routers have to map the port before peers are asked whether it is open.
	mappingTime = 15 * time.Second
	// arrivalEvery limits how often arrivals are examined, for each family and transport.
	arrivalEvery = time.Second
)

// evidence is what the node knows about whether others can connect to it, and which peers it has asked.
type evidence struct {
	n    *Node
	wake chan struct{} // there is something to tell or to ask

	mu       sync.Mutex
	tracker  reachability.Tracker
	contacts reachability.Contacts
	families [2]inquiry
	pending  map[id.ID]question                                  // by token
	looked   [2][reachability.NumTransports]mono.Time            // when the last arrival was examined
	told     [2][reachability.NumTransports]reachability.Verdict // by the last event
}

// inquiry is which peers of one family can be asked, and were.
type inquiry struct {
	helpers []helper // oldest first
	begun   mono.Time
	asked   []netip.Prefix // networks, since begun; nil before the first round
}

// helper is a connected peer that can be asked to dial back.
type helper struct {
	r    *run
	conn engine.Conn
	addr netip.AddrPort
	next mono.Time // it may be asked again
}

// question is one request to dial back.
type question struct {
	to         netip.AddrPort
	at         mono.Time
	isAnswered bool // it has connected, or said that it cannot
	arrived    [reachability.NumTransports]bool
}

func (e *evidence) init(n *Node) {
	e.n, e.wake, e.pending = n, make(chan struct{}, 1), map[id.ID]question{}
}

// mayAsk reports whether the node takes part in dialing back. Behind a proxy nothing listens.
func (e *evidence) mayAsk() bool {
	return !e.n.settings.Load().NoDialBack && e.n.cfg.Outbound.Proxy == "" && e.n.net.Port() != 0
}

// follow tells what has changed and asks peers, until the node closes.
func (e *evidence) follow() {
	tick := time.NewTicker(answerTime)
	defer tick.Stop()
	for {
		select {
		case <-e.n.ctx.Done():
			return
		case <-e.wake:
		case <-tick.C:
			e.renewContacts()
		}
		e.ask()
		e.tell()
	}
}

// Asked implements dht.Observer.
func (e *evidence) Asked(to netip.Addr) { e.contacted(to) }

// contacted records that we send something to an address.
func (e *evidence) contacted(to netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contacts.Add(e.n.now(), to)
}

// renewContacts records that we send to the other ends of uTP connections. As long as a connection lasts, a NAT
// lets in what comes from there, also queries of the DHT node that has the same port.
func (e *evidence) renewContacts() {
	remotes := e.n.transports.utp.Remotes()
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.n.now()
	for _, to := range remotes {
		e.contacts.Add(now, to)
	}
}

// Queried implements dht.Observer.
func (e *evidence) Queried(from netip.Addr) { e.arrived(from, reachability.UDP) }

// arrived records a connection or a datagram, unless it may be an answer to what we have sent.
func (e *evidence) arrived(from netip.Addr, over reachability.Transport) {
	if !addrs.IsPublic(from) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, last := e.n.now(), &e.looked[family(from)][over]
	if *last != 0 && now.Sub(*last) < arrivalEvery {
		return
	}
	*last = now
	switch {
	case e.isNear(now, from):
		return
	case e.contacts.Has(now, from):
		if over == reachability.UDP {
			e.contacts.Add(now, from) // our answer keeps the hole in a NAT open
		}
		return
	}
	e.tracker.Arrived(now, from, over)
	nudge(e.wake)
}

// isNear reports whether an address reaches us without any help of the internet: our own IPv4 address, which
// routers send back (hairpin NAT), or an IPv6 address of our network. The caller holds mu.
func (e *evidence) isNear(now mono.Time, ip netip.Addr) bool {
	seen := e.tracker.Status(now, ip.Is6()).Seen.Addr()
	return seen == ip || ip.Is6() && seen.IsValid() && reachability.Network(seen) == reachability.Network(ip)
}

// SeenAs implements dht.Observer.
func (e *evidence) SeenAs(by netip.Addr, ours netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tracker.Seen(by, ours) {
		e.families[family(ours.Addr().Unmap())].asked = nil
		nudge(e.wake)
	}
}

// forget drops the evidence about the ports that peers were told before.
func (e *evidence) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for f := range e.families {
		e.tracker.Forget(f == 1)
		e.families[f].asked = nil
	}
	clear(e.pending) // an answer would be about the port before
	nudge(e.wake)
}

// moved drops what is known about a family, because its packets reach the internet by another path: also
// the address at which others saw us.
func (e *evidence) moved(v6 bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracker.Moved(v6)
	maps.DeleteFunc(e.pending, func(_ id.ID, q question) bool { return q.to.Addr().Is6() == v6 })
	e.families[familyIndex(v6)].asked = nil
	nudge(e.wake)
}

// addHelper records that a peer can be asked to dial back. Peers in private networks and on this
// machine see nothing of the internet.
func (e *evidence) addHelper(r *run, conn engine.Conn, addr netip.AddrPort) {
	if !addrs.IsPublic(addr.Addr()) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	q := &e.families[family(addr.Addr())]
	q.helpers = slices.DeleteFunc(q.helpers, func(h helper) bool { return h.addr.Addr() == addr.Addr() })
	if len(q.helpers) == maxHelpers {
		q.helpers = slices.Delete(q.helpers, 0, 1)
	}
	q.helpers = append(q.helpers, helper{r: r, conn: conn, addr: addr})
	nudge(e.wake)
}

// replace notes that a peer has not done what it was asked for, so that another one is asked in the same round.
// The caller holds mu.
func (q *inquiry) replace(addr netip.AddrPort) {
	network := reachability.Network(addr.Addr())
	q.asked = slices.DeleteFunc(q.asked, func(n netip.Prefix) bool { return n == network })
}

// dropHelpers drops the peers of a run that ends.
func (e *evidence) dropHelpers(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for f := range e.families {
		e.families[f].helpers = slices.DeleteFunc(e.families[f].helpers, func(h helper) bool { return h.r == r })
	}
}

// transports returns those that peers are asked to try.
func (e *evidence) transports() wire.DialBackTransports {
	if e.n.cfg.UTP {
		return wire.DialBackTCP | wire.DialBackUTP
	}
	return wire.DialBackTCP
}

// ask asks as many peers as a round needs.
func (e *evidence) ask() {
	over := e.transports()
	var send []func()
	now := e.n.now()
	e.mu.Lock()
	for token, q := range e.pending {
		if now.Sub(q.at) > answerTime {
			delete(e.pending, token)
			if !q.isAnswered { // it has gone
				f := &e.families[family(q.to.Addr())]
				f.helpers = slices.DeleteFunc(f.helpers, func(h helper) bool { return h.addr == q.to })
				f.replace(q.to)
			}
		}
	}
	for f := range e.families {
		q, port := &e.families[f], e.n.ports().Of(f == 1)
		if len(q.helpers) == 0 || !e.mayAsk() || port < minDialBackPort || now < mono.Time(mappingTime) && !e.n.isMappingDecided() {
			continue
		}
		wait := askEvery
		if e.tracker.Status(now, f == 1).Verdict == reachability.Unknown {
			wait = askUnknownEvery
		}
		if q.asked == nil || now.Sub(q.begun) > wait {
			q.begun, q.asked = now, []netip.Prefix{}
		}
		for i := range q.helpers {
			h := &q.helpers[i]
			network := reachability.Network(h.addr.Addr())
			if len(q.asked) == peersAsked || now < h.next || slices.Contains(q.asked, network) || e.isNear(now, h.addr.Addr()) {
				continue
			}
			h.next = now.Add(askAgain)
			q.asked = append(q.asked, network)
			m := wire.DialBackMsg{Type: wire.DialBackRequest, Transports: over, Port: port, Token: newToken()}
			e.pending[m.Token] = question{to: h.addr, at: now}
			to, conn := h.r.swarm, h.conn
			send = append(send, func() { to.SendDialBack(conn, m) })
		}
	}
	e.mu.Unlock()
	for _, f := range send {
		f()
	}
}

// tell emits an event for each verdict that has changed.
func (e *evidence) tell() {
	var changed []bool
	e.mu.Lock()
	now := e.n.now()
	for f := range e.told {
		var verdicts [reachability.NumTransports]reachability.Verdict
		for i, t := range e.tracker.Status(now, f == 1).Transports {
			verdicts[i] = t.Verdict
		}
		if verdicts != e.told[f] {
			e.told[f] = verdicts
			changed = append(changed, f == 1)
		}
	}
	e.mu.Unlock()
	for _, v6 := range changed {
		r := e.n.Reachability(v6)
		e.n.Emit(Event{Kind: ReachabilityChanged, Addr: r.Addr(), Reachability: r})
	}
}

// answered records what a peer reports about its dial. That it has connected proves nothing: only the
// connection itself does.
func (e *evidence) answered(from netip.AddrPort, m *wire.DialBackMsg) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q, ok := e.pending[m.Token]
	if !ok || q.to != from {
		return
	}
	switch m.Outcome {
	case wire.DialBackConnected:
		return
	case wire.DialBackNotTried:
		if m.Transports != e.transports() {
			return // it tries the other one
		}
		delete(e.pending, m.Token)
		e.families[family(from.Addr())].replace(from)
		nudge(e.wake)
		return
	}
	q.isAnswered = true
	e.pending[m.Token] = q
	now := e.n.now()
	for bit, over := range map[wire.DialBackTransports]reachability.Transport{wire.DialBackTCP: reachability.TCP, wire.DialBackUTP: reachability.UDP} {
		if m.Transports == bit {
			e.tracker.Failed(now, from.Addr(), over, m.Outcome == wire.DialBackRefused)
		}
	}
	nudge(e.wake)
}

// dialedBack reports whether a connection from an address with an infohash is one that we have asked for, and
// records it. A token counts once over each transport, so that the peer that has it cannot hold more connections
// than those.
func (e *evidence) dialedBack(token id.ID, from netip.Addr, over reachability.Transport) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	q, ok := e.pending[token]
	if !ok || q.arrived[over] || reachability.Network(from) != reachability.Network(q.to.Addr()) {
		return false
	}
	q.arrived[over], q.isAnswered = true, true
	e.pending[token] = q
	e.tracker.DialedBack(e.n.now(), from, over)
	nudge(e.wake)
	return true
}

// onDialBack handles what a peer of r says about dialing back.
func (e *evidence) onDialBack(r *run, ev *swarm.Event) {
	m := ev.Message
	if m.Type == wire.DialBackResult {
		e.answered(ev.From, &m)
		return
	}
	e.n.dialBacks.request(r, ev.Conn, ev.From, m)
}
