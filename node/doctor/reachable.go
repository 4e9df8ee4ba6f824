package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/reachability"
	"seedbed/internal/utpconn"
)

// reachability reports whether others can connect to the node. Only a node that runs knows that: from what
// arrives at its port, and from peers that it has asked.
func (e *examination) reachability() {
	if e.v.Config.Outbound.Proxy != "" {
		return // nothing listens
	}
	n := e.v.Config.Node
	if n == nil {
		e.report(Finding{Step: StepReachable, Text: "not tested: only peers of a node that runs show whether others can connect to it",
			Advice: "let a torrent run for some minutes in the daemon (seedbed daemon), and ask it: seedbed doctor"})
		return
	}
	for _, r := range n.Reachabilities() {
		if e.isPrivate() && r.Verdict == reachability.Unknown {
			e.report(Finding{Step: StepReachable, What: r.Family(), Text: "not tested: in a private network, no peer is on the internet"})
			continue
		}
		f := Finding{Step: StepReachable, What: r.Family(), Text: r.Text(), Advice: r.Advice(), Data: map[string]any{
			"verdict": r.Verdict.String(), "tcp": r.Transports[reachability.TCP].Verdict.String(), "udp": r.Transports[reachability.UDP].Verdict.String(),
			"addr": r.Addr(), "seen_by": r.SeenBy}}
		if f.Advice != "" && r.Verdict != reachability.Unknown {
			f.Verdict = Notice
		}
		e.report(f)
	}
}

// utpLimit is how long our own port may take to answer.
const utpLimit = 3 * time.Second

// utp reports whether peers can connect over uTP: whether the port answers on this machine.
func (e *examination) utp(ctx context.Context) {
	if !e.hasUTP() {
		e.report(Finding{Step: StepUTP, Text: "off: peers are connected over TCP only", Advice: "without uTP, peers behind NATs cannot connect to each other: use --utp on"})
		return
	}
	if e.v.Config.Outbound.Proxy != "" {
		e.report(Finding{Step: StepUTP, Text: "on, through the proxy if that relays datagrams"})
		return
	}
	if name := e.v.Config.Outbound.Interface; name != "" { // its sockets take nothing from this machine
		e.report(Finding{Step: StepUTP, Text: "on, over " + name + " only"})
		return
	}
	var own *utpconn.Transport
	if e.v.Config.Node == nil {
		own = utpconn.New(utpconn.Config{Sockets: e.v.Host.UDP()})
		defer own.Close()
	}
	for _, addr := range e.addrs() {
		to := onThisMachine(addr)
		f := Finding{Step: StepUTP, What: familyName(addr.Addr().Is6()), Text: fmt.Sprintf("on: port %d answers", addr.Port()), Data: map[string]any{"addr": addr}}
		began := time.Now()
		if err := dialUTP(ctx, to); err != nil {
			f.Verdict, f.Text = Bad, fmt.Sprintf("a connection over uTP to our own %s failed: %v", to, err)
			f.Advice = fmt.Sprintf("a firewall on this machine blocks it: allow UDP to port %d", addr.Port())
		} else {
			f.Took = time.Since(began)
		}
		e.report(f)
	}
}

// dialUTP connects to an address of this machine over uTP from a free port.
func dialUTP(ctx context.Context, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, utpLimit)
	defer cancel()
	from := netip.AddrPortFrom(to.Addr(), 0)
	network, err := netx.Open(netx.Config{Listen: []string{from.String()}})
	if err != nil {
		return err
	}
	defer network.Close()
	t := utpconn.New(utpconn.Config{Sockets: network.UDP(), RefuseIncoming: true})
	defer t.Close()
	c, err := t.Dial(ctx, to)
	if err == nil {
		c.Close()
	}
	return err
}

// natKind is what a NAT does with the port (RFC 4787).
type natKind uint8

const (
	natUnknown natKind = iota
	natNone
	natIndependent // one port for all destinations
	natDependent   // another port for each destination
)

// holePunching reports whether peers behind NATs can connect to the node with the help of a third peer (BEP 55).
// That takes uTP and a NAT that uses one port for all destinations.
func (e *examination) holePunching() {
	if e.v.Config.Outbound.Proxy != "" || e.isPrivate() {
		return
	}
	for f, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(e.addrs(), func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 }) || e.nats[f] == natUnknown {
			continue
		}
		x := Finding{Step: StepPunch, What: familyName(v6), Text: "possible: the NAT uses one port for all destinations"}
		switch {
		case e.nats[f] == natNone:
			x.Text = "not needed: there is no NAT"
		case !e.hasUTP():
			x.Verdict, x.Text, x.Advice = Notice, "not possible: uTP is off", "use --utp on, or forward the port in the router"
		case e.nats[f] == natDependent:
			x.Verdict, x.Text = Notice, "not possible: the NAT uses another port for each destination"
			x.Advice = fmt.Sprintf("peers behind NATs cannot be reached: forward TCP and UDP port %d to this machine in the router", e.port())
		}
		e.report(x)
	}
}
