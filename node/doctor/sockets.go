package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/netx"
	"seedbed/node"
)

// routeTargets has an address of each family to look up a route for. Nothing is sent to it.
var routeTargets = map[bool]netip.AddrPort{false: netip.MustParseAddrPort("192.0.2.1:9"), true: netip.MustParseAddrPort("[2001:db8::1]:9")}

// hasListenHost reports whether the user has chosen an address to listen on, and so the
// address family.
func (e *examination) hasListenHost() bool {
	host, _, _ := net.SplitHostPort(e.v.Config.Listen)
	return host != ""
}

func (e *examination) sockets(ctx context.Context) {
	if e.v.Config.Node == nil && e.v.Config.Listen == "" && e.v.Port() != node.DefaultPort {
		e.report(Finding{Step: StepSockets, Text: fmt.Sprintf("port %d is in use, perhaps by another seedbed process, so another port is used here", node.DefaultPort)})
	}
	for _, v6 := range []bool{false, true} {
		family := familyName(v6)
		i := slices.IndexFunc(e.addrs(), func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 })
		if i < 0 {
			f := Finding{Step: StepSockets, What: family, Verdict: Notice, Text: "no socket", Advice: "this machine does not have " + family}
			switch {
			case e.hasListenHost():
				f.Verdict, f.Text, f.Advice = Fine, "not used: the --listen address is of the other family", ""
			case !v6:
				f.Advice = "without IPv4 most peers cannot be reached: check the network connection of this machine"
			}
			e.report(f)
			continue
		}
		addr := e.addrs()[i]
		e.report(Finding{Step: StepSockets, What: "UDP " + family, Text: "listens on " + addr.String(), Data: map[string]any{"addr": addr}})
		e.listener(ctx, addr, family)
		if addr.Addr().IsUnspecified() {
			if from := e.v.Config.Outbound.SourceOf(routeTargets[v6]); from.IsValid() {
				e.report(e.route(v6, from))
			} else {
				f := Finding{Step: StepSockets, What: "route " + family, Verdict: Notice, Text: "no route to the internet", Advice: "this network has no " + family + ", so seedbed uses only the other family"}
				e.report(f)
			}
		}
	}
}

// route reports the address from which packets of a family are sent, and when the running node last followed
// a change of it.
func (e *examination) route(v6 bool, from netip.Addr) Finding {
	f := Finding{Step: StepSockets, What: "route " + familyName(v6), Text: "sends from " + from.String(), Data: map[string]any{"from": from}}
	if n := e.v.Config.Node; n != nil {
		f.noteMove(n.NetworkMoved(v6), time.Now())
	}
	return f
}

// noteMove adds to a route when it last changed, unless at is zero.
func (f *Finding) noteMove(at, now time.Time) {
	if at.IsZero() {
		return
	}
	ago := now.Sub(at)
	f.Text += fmt.Sprintf("; the network changed %v ago, and the node followed", ago.Round(time.Second))
	f.Data["changed_s_ago"] = int64(ago / time.Second)
}

// listener checks that a connection to our own TCP port is accepted. A socket that is bound to an
// interface accepts none from this machine, so it is not checked.
func (e *examination) listener(ctx context.Context, addr netip.AddrPort, family string) {
	if name := e.v.Config.Outbound.Interface; name != "" {
		e.report(Finding{Step: StepSockets, What: "TCP " + family, Text: "listens on " + addr.String() + ", on " + name + " only", Data: map[string]any{"addr": addr}})
		return
	}
	to := onThisMachine(addr)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	taken := make(chan error, 1)
	if e.v.Config.Node == nil {
		go func() {
			c, err := e.v.Host.Accept(ctx)
			if err == nil {
				c.Close()
			}
			taken <- err
		}()
	} else {
		taken <- nil // the node accepts
	}
	c, err := netx.Outbound{}.DialHost(ctx, "tcp", to.String(), nil)
	if err == nil {
		err = <-taken
		c.Close()
	} else {
		cancel()
		<-taken
	}
	f := Finding{Step: StepSockets, What: "TCP " + family, Text: "listens on " + addr.String() + " and accepts connections", Data: map[string]any{"addr": addr}}
	if err != nil {
		f.Verdict, f.Text = Bad, fmt.Sprintf("a connection to our own %s failed: %v", to, err)
		f.Advice = "a firewall on this machine blocks it: allow TCP and UDP to port " + fmt.Sprint(addr.Port())
	}
	e.report(f)
}

// onThisMachine returns an address at which this machine reaches its own socket.
func onThisMachine(addr netip.AddrPort) netip.AddrPort {
	switch {
	case !addr.Addr().IsUnspecified():
		return addr
	case addr.Addr().Is6():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
}
