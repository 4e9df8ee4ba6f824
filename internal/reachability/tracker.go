// Package reachability judges whether other machines on the internet can connect to us, from what
// arrives and from what peers report. No server is asked.
//
// A Tracker keeps the evidence of both address families, and in each of TCP and UDP:
//
//   - arrivals: connections and datagrams from addresses to which we had sent nothing. A NAT or a
//     firewall that lets in only answers would have dropped them.
//   - dial backs: peers that we asked to connect to us, and that did so with our token, or report
//     that they could not.
//   - the addresses and ports at which DHT nodes see us (BEP 42).
//
// What a peer reports may be a lie, so the evidence of one network (an IPv4 /24 or IPv6 /48) counts
// once, and one report decides nothing. A connection that arrived is no report: nobody can forge it. A
// datagram that arrives from an address that we had contacted may have come through the hole that our own packet
// made in a NAT, so arrivals over UDP count from two networks on.
//
// Contacts remembers to which addresses we have sent something. All state is bounded. Times are those of
// package mono.
package reachability

import (
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// Transport is what a connection runs over.
type Transport uint8

const (
	TCP Transport = iota
	UDP           // uTP and the DHT
	NumTransports
)

// String returns TCP or UDP.
func (t Transport) String() string { return [...]string{"TCP", "UDP"}[t] }

// Verdict says whether others can connect to us.
type Verdict uint8

const (
	Unknown Verdict = iota // there is not enough evidence
	Reachable
	NotReachable
	NumVerdicts
)

// String returns the verdict as it is written in JSON and metrics.
func (v Verdict) String() string { return [...]string{"unknown", "reachable", "not_reachable"}[v] }

const (
	// fresh is how long evidence counts.
	fresh = 2 * time.Hour
	// round is how long the answers to one question may be apart. A failure that follows a
	// proof within that time does not refute it.
	round = time.Minute
	// maxNetworks is the number of networks whose evidence is kept, for each transport.
	maxNetworks = 16
	// maxVotes is the number of networks whose view of our address is kept.
	maxVotes = 32
	// failuresNeeded is the number of networks that must have failed to connect.
	failuresNeeded = 2
	// votesNeeded is the number of networks that must see us at a new address before the
	// evidence about the old one is dropped.
	votesNeeded = 4
)

// proofsNeeded is the number of networks from which something must have arrived.
var proofsNeeded = [NumTransports]int{TCP: 1, UDP: 2}

// Network returns the network whose hosts count once: an IPv4 /24 or IPv6 /48, which one owner can
// easily have.
func Network(ip netip.Addr) netip.Prefix {
	ip = addrs.Host(ip)
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, _ := ip.Prefix(bits) // valid for both families
	return p
}

// Tracker is the evidence of both address families. The zero Tracker has none. Its methods take the
// family from the address.
type Tracker struct {
	families [2]family
}

type family struct {
	transports [NumTransports]transport
	votes      []vote
	nextVote   int        // the vote that is replaced next
	settled    netip.Addr // what votesNeeded networks have last seen
}

// transport is the evidence for one family and transport.
type transport struct {
	networks []evidence
	verdict  Verdict
	since    mono.Time
}

// evidence is what one network contributes. A zero moment means never.
type evidence struct {
	network    netip.Prefix
	arrived    moment
	dialedBack moment
	failed     moment
	refused    bool // the last failure was a refusal, which a closed port of a reachable host causes
}

// moment is a time that may be absent.
type moment struct {
	at  mono.Time
	was bool
}

func (m moment) isFresh(now mono.Time) bool { return m.was && now.Sub(m.at) < fresh }

// last returns the time of the newest evidence.
func (e *evidence) last() (at mono.Time) {
	for _, m := range []moment{e.arrived, e.dialedBack, e.failed} {
		if m.was {
			at = max(at, m.at)
		}
	}
	return at
}

// vote is the address at which a network sees us.
type vote struct {
	by   netip.Prefix
	ours netip.AddrPort
}

func (t *Tracker) family(v6 bool) *family {
	if v6 {
		return &t.families[1]
	}
	return &t.families[0]
}

// Arrived records a connection or a datagram from an address to which we had sent nothing.
func (t *Tracker) Arrived(now mono.Time, from netip.Addr, over Transport) {
	if tr, e := t.of(now, from, over); e != nil {
		e.arrived = moment{now, true}
		tr.update(now, over)
	}
}

// DialedBack records a connection with our token from a peer that we had asked for it.
func (t *Tracker) DialedBack(now mono.Time, by netip.Addr, over Transport) {
	if tr, e := t.of(now, by, over); e != nil {
		e.dialedBack = moment{now, true}
		tr.update(now, over)
	}
}

// Failed records that a peer that we had asked to connect reports that it could not. refused says
// that the connection was refused, and otherwise it timed out.
func (t *Tracker) Failed(now mono.Time, by netip.Addr, over Transport, refused bool) {
	if tr, e := t.of(now, by, over); e != nil {
		e.failed, e.refused = moment{now, true}, refused
		tr.update(now, over)
	}
}

// of returns the evidence of the network of ip, in place of the oldest one if there are too many.
// It returns nil for an address that is not public: it says nothing about the internet.
func (t *Tracker) of(now mono.Time, ip netip.Addr, over Transport) (*transport, *evidence) {
	if !addrs.IsPublic(ip) {
		return nil, nil
	}
	ip = addrs.Host(ip)
	tr, network, oldest := &t.family(ip.Is6()).transports[over], Network(ip), 0
	for i := range tr.networks {
		if tr.networks[i].network == network {
			return tr, &tr.networks[i]
		}
		if tr.networks[i].last() < tr.networks[oldest].last() {
			oldest = i
		}
	}
	if len(tr.networks) < maxNetworks {
		tr.networks = append(tr.networks, evidence{})
		oldest = len(tr.networks) - 1
	}
	tr.networks[oldest] = evidence{network: network}
	return tr, &tr.networks[oldest]
}

// update judges the evidence again.
func (tr *transport) update(now mono.Time, over Transport) {
	if v := tr.count(now).judge(over); v != tr.verdict {
		tr.verdict, tr.since = v, now
	}
}

// counts is the fresh evidence in numbers of networks.
type counts struct {
	arrived, dialedBack, proofs int
	failed, refused             int // without those that have a proof
	newest                      mono.Time
	later                       int // failures of any network, more than a round after the newest proof
}

func (tr *transport) count(now mono.Time) (c counts) {
	for i := range tr.networks {
		e := &tr.networks[i]
		if e.arrived.isFresh(now) {
			c.arrived++
			c.newest = max(c.newest, e.arrived.at)
		}
		if e.dialedBack.isFresh(now) {
			c.dialedBack++
			c.newest = max(c.newest, e.dialedBack.at)
		}
		isProof := e.arrived.isFresh(now) || e.dialedBack.isFresh(now)
		if isProof {
			c.proofs++
		}
		if e.failed.isFresh(now) && (!isProof || e.failed.at.Sub(max(e.arrived.at, e.dialedBack.at)) > round) {
			c.failed++
			if e.refused {
				c.refused++
			}
		}
	}
	for i := range tr.networks {
		if f := tr.networks[i].failed; f.isFresh(now) && f.at.Sub(c.newest) > round {
			c.later++
		}
	}
	return c
}

// judge returns the verdict. Enough proofs decide, unless failures that came later show that
// something has changed since.
func (c counts) judge(over Transport) Verdict {
	switch {
	case c.proofs >= proofsNeeded[over] && c.later < failuresNeeded:
		return Reachable
	case c.failed >= failuresNeeded && (c.failed > c.proofs || c.later >= failuresNeeded):
		return NotReachable
	}
	return Unknown
}

// Seen records that a DHT node or a peer in the network of by sees us at an address. The port is 0 if it
// is not known. Once enough networks see another address than before, the evidence of the family is dropped, because it was
// about the address before. changed reports that.
func (t *Tracker) Seen(by netip.Addr, ours netip.AddrPort) (changed bool) {
	if !addrs.IsPublic(by) || !addrs.IsPublic(ours.Addr()) {
		return false
	}
	ours = netip.AddrPortFrom(ours.Addr().Unmap(), ours.Port())
	f := t.family(ours.Addr().Is6())
	f.cast(vote{Network(by), ours})
	best, n := f.address()
	if n < votesNeeded || best == f.settled {
		return false
	}
	isFirst := !f.settled.IsValid()
	f.settled = best
	if isFirst {
		return false
	}
	f.transports = [NumTransports]transport{}
	return true
}

// cast counts a vote in place of the one that its network cast before, or of the oldest one.
func (f *family) cast(v vote) {
	for i := range f.votes {
		if f.votes[i].by == v.by {
			if v.ours.Port() != 0 || f.votes[i].ours.Addr() != v.ours.Addr() { // else the port is known already
				f.votes[i] = v
			}
			return
		}
	}
	if len(f.votes) < maxVotes {
		f.votes = append(f.votes, v)
		return
	}
	f.votes[f.nextVote] = v
	f.nextVote = (f.nextVote + 1) % maxVotes
}

// address returns the address that most networks see, and how many do.
func (f *family) address() (best netip.Addr, n int) {
	for _, v := range f.votes {
		k := 0
		for _, o := range f.votes {
			if o.ours.Addr() == v.ours.Addr() {
				k++
			}
		}
		if k > n {
			best, n = v.ours.Addr(), k
		}
	}
	return best, n
}

// Moved drops all that is known about a family, because our packets take another path. Then the views of our
// address before must not outvote those of the new one.
func (t *Tracker) Moved(v6 bool) { *t.family(v6) = family{} }

// Forget drops the evidence of a family, because our port or the way to us has changed, and the ports
// at which others see us.
func (t *Tracker) Forget(v6 bool) {
	f := t.family(v6)
	f.transports = [NumTransports]transport{}
	for i := range f.votes {
		f.votes[i].ours = netip.AddrPortFrom(f.votes[i].ours.Addr(), 0)
	}
}
