package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/internal/await"
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
	watch := n.cfg.WatchNetwork
	if watch == nil {
		if n.cfg.Network != nil {
			return
		}
		watch = func(ctx context.Context, changed func(netx.Change)) { n.cfg.Outbound.Watch(ctx, n.log, changed) }
	}
	n.wg.Go(func() { watch(n.ctx, n.networkChanged) })
}

// networkChanged makes everything that depends on the network start anew after a change.
func (n *Node) networkChanged(c netx.Change) {
	hasMoved := c.HasMoved(false) || c.HasMoved(true)
	n.log.Debug("the network changed", "moved", hasMoved, "before", c.Before, "after", c.After, "interrupted", c.Interrupted, "slept", c.Slept)
	if n.lsd != nil {
		n.lsd.Refresh()
	}
	n.checkListening(&c)
	if hasMoved {
		n.forgetPaths()
	}
	// An address may be lost that does not lead to the internet, for example when containers end.
	if hasMoved || c.HasLostAddress() {
		n.replaceConnections(&c)
	}
	for family, v6 := range []bool{false, true} {
		if c.HasMoved(v6) {
			n.familyMoved(v6, c.After.Internet[family].Prefix.Addr())
		}
	}
	if hasMoved && n.mapper != nil {
		n.mapper.Renew()
	}
	n.emitPaths(&c)
}

// forgetPaths forgets what was learned about the ways to others, and ends attempts over a path
// that is gone.
func (n *Node) forgetPaths() {
	n.transports.utp.ForgetPaths()
	n.budget.dials.forgive()
	n.paths.broadcast()
}

// replaceConnections replaces connections over a path that is gone, which would wait for minutes.
func (n *Node) replaceConnections(c *netx.Change) {
	n.paths.mirrors.closeIf(c.IsLost)
	n.mirrors.CloseIdleConnections()
	if p, ok := n.net.(*netx.ProxyHost); ok {
		p.NetworkChanged(c.IsLost)
	}
	for _, t := range n.running() {
		if r := t.run.Load(); r != nil {
			r.swarm.NetworkChanged(c.IsLost)
		}
	}
}

// familyMoved makes the node learn its address in a family anew, and whether others can connect to
// it there. ours is the address from which packets to the internet are sent now.
func (n *Node) familyMoved(v6 bool, ours netip.Addr) {
	n.paths.noteMove(v6, time.Now())
	n.evidence.moved(v6)
	if n.dht == nil {
		return
	}
	if n.cfg.Outbound.Proxy != "" { // others see the address of the proxy
		ours = netip.Addr{}
	}
	n.dht.NetworkChanged(v6, ours)
	n.announcer.Renew(v6)
	n.keeper.Retry()
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

// noteMove records that a family has moved.
func (p *paths) noteMove(v6 bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved[familyIndex(v6)] = now
}

// NetworkMoved returns when the node last noticed that packets of a family reach the internet by another
// path, or again after an interruption; the zero Time if never.
func (n *Node) NetworkMoved(v6 bool) time.Time {
	n.paths.mu.Lock()
	defer n.paths.mu.Unlock()
	return n.paths.moved[familyIndex(v6)]
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

// NextMove returns a channel that is closed when packets reach other machines by another path, or again: after a
// change of the network, or when the machine was suspended.
func (n *Node) NextMove() <-chan struct{} { return n.paths.next() }

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

// sleep waits for d, or less if the network changes, which it reports, but not less than least.
func (p *paths) sleep(ctx context.Context, least, d time.Duration) (hasChanged bool, err error) {
	changed := p.next()
	if err := await.Sleep(ctx, least); err != nil {
		return false, err
	}
	t := time.NewTimer(d - least)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-changed:
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
