package node

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"seedbed/internal/reachability"
)

// Reachability says whether others on the internet can connect to the node over one address family, and how
// the node knows.
type Reachability struct {
	reachability.Status
	V6     bool
	Port   uint16    // where peers are told to connect; 0 if nothing listens
	UTP    bool      // the node has uTP, so that UDP matters to peers too
	Helper int       // connected peers that can be asked to test it
	Since  time.Time // of the verdict; zero if there is none

	Ports map[uint16]int // how many networks see each port at Seen
}

// Reachability returns what is known about one address family.
func (n *Node) Reachability(v6 bool) *Reachability {
	e := &n.evidence
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &Reachability{Status: e.tracker.Status(n.now(), v6), V6: v6, Port: n.ports().Of(v6), UTP: n.cfg.UTP, Ports: e.tracker.SeenPorts(v6)}
	if r.Verdict != reachability.Unknown {
		r.Since = n.epoch.Add(time.Duration(r.Status.Since))
	}
	r.Helper = len(e.families[familyIndex(v6)].helpers)
	return r
}

// Reachabilities returns what is known about each address family that the node listens on.
func (n *Node) Reachabilities() (list []*Reachability) {
	var has [2]bool
	for _, a := range n.net.Addrs() {
		has[family(a.Addr())] = true
	}
	for f, v6 := range []bool{false, true} {
		if has[f] {
			list = append(list, n.Reachability(v6))
		}
	}
	return list
}

// Family returns IPv4 or IPv6.
func (r *Reachability) Family() string {
	if r.V6 {
		return "IPv6"
	}
	return "IPv4"
}

// Addr returns the address and port at which others connect to the node, or "" if the address is not known.
func (r *Reachability) Addr() string {
	if !r.Seen.IsValid() {
		return ""
	}
	return netip.AddrPortFrom(r.Seen.Addr(), r.Port).String()
}

// where returns Addr, or the port alone.
func (r *Reachability) where() string {
	if a := r.Addr(); a != "" {
		return a
	}
	return fmt.Sprintf("port %d", r.Port)
}

// Text says in one sentence what is known and from what.
func (r *Reachability) Text() string {
	tcp, udp := r.Transports[reachability.TCP], r.Transports[reachability.UDP]
	switch r.Verdict {
	case reachability.Reachable:
		text := "reachable from outside: " + r.where()
		switch {
		case tcp.Verdict != reachability.Reachable && tcp.Verdict != reachability.Unknown:
			text = "reachable from outside over UDP, but not over TCP: " + r.where()
		case r.UTP && udp.Verdict == reachability.NotReachable:
			text = "reachable from outside over TCP, but not over UDP: " + r.where()
		case tcp.Verdict == reachability.Unknown:
			text = "reachable from outside over UDP: " + r.where()
		}
		return text + r.how()
	case reachability.NotReachable:
		text := fmt.Sprintf("not reachable from outside: %s could not connect to %s", count(tcp.Failed, "peer"), r.where())
		switch tcp.Refused {
		case 0:
			return text + " (no answer)"
		case tcp.Failed:
			return text + " (refused)"
		}
		return fmt.Sprintf("%s (%d refused, %d without an answer)", text, tcp.Refused, tcp.Failed-tcp.Refused)
	}
	text := "not known yet: nobody has connected from outside"
	switch {
	case tcp.Failed > 0:
		text += fmt.Sprintf(", and %s could not; one report is not enough", count(tcp.Failed, "peer"))
	case r.Helper > 0:
		text += fmt.Sprintf(", and %s that can test it has not reported yet", count(r.Helper, "peer"))
	default:
		text += ", and no connected peer can test it"
	}
	return text
}

// how says how a node knows that it is reachable.
func (r *Reachability) how() string {
	var parts []string
	if r.SeenBy > 0 {
		parts = append(parts, "seen by "+count(r.SeenBy, "node"))
	}
	if n := max(r.Transports[reachability.TCP].DialedBack, r.Transports[reachability.UDP].DialedBack); n > 0 {
		parts = append(parts, "dialled back by "+count(n, "peer"))
	} else if n := max(r.Transports[reachability.TCP].Arrived, r.Transports[reachability.UDP].Arrived); n > 0 {
		parts = append(parts, "connections came from "+count(n, "network"))
	}
	return ", " + strings.Join(parts, ", ")
}

// Advice says what to do, or is empty if nothing is wrong.
func (r *Reachability) Advice() string {
	forward := fmt.Sprintf("forward TCP and UDP port %d to this machine in the router, or allow them in the firewall", r.Port)
	tcp, udp := r.Transports[reachability.TCP], r.Transports[reachability.UDP]
	switch {
	case r.Verdict == reachability.NotReachable:
		return forward + "; until then, this node connects to others, but others cannot connect to it"
	case r.Verdict == reachability.Reachable && tcp.Verdict == reachability.NotReachable:
		return strings.Replace(forward, "TCP and UDP", "TCP", 1)
	case r.Verdict == reachability.Reachable && r.UTP && udp.Verdict == reachability.NotReachable:
		return strings.Replace(forward, "TCP and UDP", "UDP", 1)
	case r.Verdict == reachability.Unknown:
		return "let a torrent run for some minutes: peers that connect, or that can test the port, show whether it is open"
	}
	return ""
}
