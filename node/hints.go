package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/netx"
	"seedbed/swarm/engine"
)

const (
	// resolveFirst and resolveLongest are the shortest and the longest wait between
	// attempts to resolve a peer's name while DNS does not answer.
	resolveFirst   = 5 * time.Second
	resolveLongest = 10 * time.Minute
	// maxHints is the maximum number of hints that are used, because each name takes a DNS
	// query.
	maxHints = 256
	// resolveTimeout is the timeout of one DNS query.
	resolveTimeout = 15 * time.Second
)

// addHints passes the addresses from the link and the user to the swarm. Names are
// added when they resolve.
func (r *run) addHints() {
	hints := r.spec.Peers
	if r.spec.Link != nil {
		hints = append(hints[:len(hints):len(hints)], r.spec.Link.Peers...)
	}
	var numeric []engine.Candidate
	for _, h := range hints[:min(len(hints), maxHints)] {
		if a, err := netip.ParseAddrPort(h); err == nil && a.Port() != 0 {
			numeric = append(numeric, engine.Candidate{Addr: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), Source: engine.FromHint})
			continue
		}
		r.wg.Go(func() { r.addNamed(h) })
	}
	r.swarm.AddCandidates(numeric)
}

// addNamed resolves one hint. It reports an invalid hint once, skips a name that
// does not exist, and retries while DNS does not answer.
func (r *run) addNamed(hint string) {
	wait := resolveFirst
	for try := 0; ; try++ {
		cs, err := r.t.node.resolveHint(r.ctx, hint)
		r.swarm.AddCandidates(cs)
		if err == nil || r.ctx.Err() != nil {
			return
		}
		var dns *net.DNSError
		retry := errors.As(err, &dns) && !dns.IsNotFound || errors.Is(err, context.DeadlineExceeded)
		if try == 0 {
			f := &Fault{Err: fmt.Errorf("the peer address %q is ignored: %w", hint, err), hint: "give HOST:PORT"}
			if retry {
				f = &Fault{Err: fmt.Errorf("the peer address %q cannot be resolved yet: %w", hint, err), hint: "seedbed tries again"}
			}
			r.t.emit(Event{Kind: Warning, Err: f})
		}
		if !retry {
			return
		}
		if await.Sleep(r.ctx, wait) != nil {
			return
		}
		wait = min(2*wait, resolveLongest)
	}
}

// resolveHint returns the candidates for HOST:PORT.
func (n *Node) resolveHint(ctx context.Context, hint string) (out []engine.Candidate, err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	as, err := ResolvePeer(ctx, n.net, n.cfg.resolve, hint)
	for _, a := range as {
		out = append(out, engine.Candidate{Addr: a, Source: engine.FromHint})
	}
	return out, err
}

// ResolvePeer returns the addresses at which a network can dial the peer HOST:PORT. Behind a proxy, which alone
// resolves names, that is one address that stands for the name (netx.ProxyHost.Named).
func ResolvePeer(ctx context.Context, network netx.Network, resolve func(context.Context, string) ([]netip.Addr, error), hostPort string) (out []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, errors.New("it is not of the form HOST:PORT")
	}
	num, err := strconv.ParseUint(port, 10, 16)
	if err != nil || num == 0 {
		return nil, fmt.Errorf("%q is not a port", port)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(num))}, nil
	}
	if proxied, ok := network.(*netx.ProxyHost); ok {
		a, err := proxied.Named(host, uint16(num))
		if err != nil {
			return nil, err
		}
		return []netip.AddrPort{a}, nil
	}
	ips, err := resolve(ctx, host)
	for _, a := range ips {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(num)))
	}
	return out, err
}
