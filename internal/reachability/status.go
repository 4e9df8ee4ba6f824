package reachability

import (
	"net/netip"

	"seedbed/internal/mono"
)

// Status is the verdict on one address family, and the evidence for it.
type Status struct {
	Verdict    Verdict
	Since      mono.Time // of Verdict; 0 for Unknown
	Transports [NumTransports]TransportStatus

	// Seen is the address at which most networks see us, with the port that most of those see, or
	// port 0 if none knows it. SeenBy of SeenOf networks see that address.
	Seen           netip.AddrPort
	SeenBy, SeenOf int
}

// TransportStatus is the verdict on one transport. The numbers count networks with fresh
// evidence.
type TransportStatus struct {
	Verdict    Verdict
	Since      mono.Time // 0 for Unknown
	DialedBack int       // that connected because we asked
	Arrived    int       // that connected, or sent a datagram, of their own accord
	Failed     int       // that report that they could not connect
	Refused    int       // of those, the ones whose connection was refused
}

// Status returns the verdict on a family. It is reachable if it is over one of the transports.
func (t *Tracker) Status(now mono.Time, v6 bool) (s Status) {
	f := t.family(v6)
	for i := range f.transports {
		tr := &f.transports[i]
		tr.update(now, Transport(i)) // evidence ages
		c := tr.count(now)
		s.Transports[i] = TransportStatus{tr.verdict, tr.since, c.dialedBack, c.arrived, c.failed, c.refused}
	}
	tcp, udp := &s.Transports[TCP], &s.Transports[UDP]
	switch {
	case tcp.Verdict == Reachable && udp.Verdict == Reachable:
		s.Verdict, s.Since = Reachable, min(tcp.Since, udp.Since)
	case tcp.Verdict == Reachable, udp.Verdict != Reachable && tcp.Verdict == NotReachable:
		s.Verdict, s.Since = tcp.Verdict, tcp.Since
	case udp.Verdict == Reachable:
		s.Verdict, s.Since = Reachable, udp.Since
	}
	f.seen(&s)
	return s
}

// seen sets what other networks see of us.
func (f *family) seen(s *Status) {
	ip, n := f.address()
	s.SeenBy, s.SeenOf = n, len(f.votes)
	if n == 0 {
		return
	}
	ports := f.ports(ip)
	var port uint16
	for _, v := range f.votes { // in the order of the votes, so that equal counts have one result
		if p := v.ours.Port(); v.ours.Addr() == ip && ports[p] > ports[port] {
			port = p
		}
	}
	s.Seen = netip.AddrPortFrom(ip, port)
}

// SeenPorts returns how many networks see each port at the address that most of them see. More than one port
// means that a NAT uses another one for each destination.
func (t *Tracker) SeenPorts(v6 bool) map[uint16]int {
	f := t.family(v6)
	ip, _ := f.address()
	return f.ports(ip)
}

func (f *family) ports(ip netip.Addr) map[uint16]int {
	ports := map[uint16]int{}
	for _, v := range f.votes {
		if v.ours.Addr() == ip && v.ours.Port() != 0 {
			ports[v.ours.Port()]++
		}
	}
	return ports
}
