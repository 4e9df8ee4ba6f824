package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/internal/netx"
)

// paths holds what depends on how this machine reaches others.
type paths struct {
	mu      sync.Mutex
	changed chan struct{}    // closed and replaced when the paths have changed
	moved   [2]time.Time     // when packets to the internet last took another path, by family
	missing []netip.AddrPort // listening addresses that are no address of this machine at the moment
	mirrors connSet          // connections to web seeds
}

// watchNetwork reacts to changes of this machine's network until the node closes. The network of
// a test does not change unless the test says so.
func (n *Node) watchNetwork() {
	watch := n.cfg.watchNetwork
	if watch == nil {
		if n.cfg.Network != nil {
			return
		}
		watch = func(ctx context.Context, changed func(netx.Change)) { n.cfg.Outbound.Watch(ctx, n.log, changed) }
	}
	n.wg.Go(func() { watch(n.ctx, n.networkChanged) })
}

// networkChanged makes everything that depends on the network start anew after a change: what was
// learned about our own address and about the reachability of others is perhaps wrong now, and
// connections over a path that is gone would wait for minutes.
func (n *Node) networkChanged(c netx.Change) {
	hasMoved := c.HasMoved(false) || c.HasMoved(true)
	n.log.Debug("the network changed", "moved", hasMoved, "before", c.Before, "after", c.After, "interrupted", c.Interrupted, "slept", c.Slept)
	if n.lsd != nil {
		n.lsd.Refresh()
	}
	n.checkListening(&c)
	if !hasMoved && !c.HasLostAddress() {
		n.emitPaths(&c)
		return
	}
	n.paths.noteMoves(&c, time.Now())
	n.evidence.forget()
	n.transports.utp.ForgetPaths()
	n.paths.mirrors.closeIf(func(local, remote netip.Addr) bool { return c.IsLost(local, remote) })
	n.mirrors.CloseIdleConnections()
	n.budget.dials.forgive()
	n.paths.broadcast()
	for _, t := range n.running() {
		if r := t.run.Load(); r != nil {
			r.swarm.NetworkChanged(c.IsLost)
		}
	}
	for family, v6 := range []bool{false, true} {
		if n.dht == nil || !c.HasMoved(v6) {
			continue
		}
		var ours netip.Addr
		if n.cfg.Outbound.Proxy == "" { // others see the address of the proxy
			ours = c.After.Internet[family].Prefix.Addr()
		}
		n.dht.NetworkChanged(v6, ours)
		n.announcer.Renew(v6)
		n.keeper.Retry()
	}
	if n.mapper != nil {
		n.mapper.Renew()
	}
	n.emitPaths(&c)
}

// emitPaths reports the families whose path to the internet has changed.
func (n *Node) emitPaths(c *netx.Change) {
	for family, v6 := range []bool{false, true} {
		before, after := c.Before.Internet[family], c.After.Internet[family]
		if c.HasMoved(v6) || c.HasEnded(v6) {
			n.Emit(Event{Kind: NetworkChanged, Network: NetworkEvent{IPv6: v6, Addr: after.Prefix.Addr(), Interface: after.Interface,
				Before: before.Prefix.Addr(), Suspended: c.Slept}})
		}
	}
}

// noteMoves records the families that have moved.
func (p *paths) noteMoves(c *netx.Change, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for family, v6 := range []bool{false, true} {
		if c.HasMoved(v6) {
			p.moved[family] = now
		}
	}
}

// NetworkMoved returns when the node last noticed that packets of a family reach the internet by another
// path, or again after an interruption; the zero Time if never.
func (n *Node) NetworkMoved(v6 bool) time.Time {
	n.paths.mu.Lock()
	defer n.paths.mu.Unlock()
	if v6 {
		return n.paths.moved[1]
	}
	return n.paths.moved[0]
}

// checkListening reports listening addresses that this machine no longer has, and those that it
// has again. Their sockets need nothing: they work again with the address.
func (n *Node) checkListening(c *netx.Change) {
	p := &n.paths
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []netip.AddrPort
	for _, a := range n.net.Addrs() {
		if ip := a.Addr(); c.HasLost(ip) || slices.Contains(p.missing, a) && !c.After.Has(ip) {
			missing = append(missing, a)
		}
	}
	for _, a := range missing {
		if !slices.Contains(p.missing, a) {
			n.Emit(Event{Kind: Warning, Err: NetworkFault(&netx.Error{Addr: a.String(), Reason: "is not an address of this machine any more",
				Hint: fmt.Sprintf("seedbed waits until it is again; to listen on every address, use --listen :%d", a.Port())})})
		}
	}
	for _, a := range p.missing {
		if !slices.Contains(missing, a) {
			n.Emit(Event{Kind: Listening, Addr: a.String()})
		}
	}
	p.missing = missing
}

// next returns a channel that is closed at the next change.
func (p *paths) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

func (p *paths) broadcast() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// errMoved is the cause of a dial that a change of the network ended.
var errMoved = errors.New("the network has changed")

// sleep waits for d, or less if the network changes, which it reports.
func (p *paths) sleep(ctx context.Context, d time.Duration) (hasChanged bool, err error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-p.next():
		return true, nil
	case <-t.C:
		return false, nil
	}
}

// retry calls do, and again each time that the network changes before do returns. An attempt over a path
// that is gone would only wait for its timeout.
func retry[T any](ctx context.Context, p *paths, do func(context.Context) (T, error)) (T, error) {
	for {
		changed := p.next()
		attempt, cancel := context.WithCancelCause(ctx)
		ended := make(chan struct{})
		go func() {
			select {
			case <-changed:
				cancel(errMoved)
			case <-ended:
			}
		}()
		result, err := do(attempt)
		close(ended)
		hasMoved := context.Cause(attempt) == errMoved
		cancel(nil)
		if err == nil || !hasMoved || ctx.Err() != nil {
			return result, err
		}
	}
}
