package fleet

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/netx"
)

// sources are the addresses from which this node sends to those of Config.Members.
type sources struct {
	list []netip.Addr
	// isComplete says that all of Config.Members were resolved.
	isComplete bool
}

// sourcesOf returns the addresses from which this machine sends to others. sourceOf looks one up, as netx.Outbound.SourceOf does.
func (r *resolved) sourcesOf(sourceOf func(netip.AddrPort) netip.Addr) sources {
	s := sources{isComplete: r.err == nil}
	// The machine's own name often resolves to 127.0.1.1 (Debian), and no other machine can send to that. Loopback addresses are
	// only good if all members are on this machine.
	isLocal := s.isComplete && !slices.ContainsFunc(r.list, func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() })
	for _, a := range r.list {
		if ip := sourceOf(a); ip.IsValid() && !ip.IsLinkLocalUnicast() && (isLocal || !ip.IsLoopback()) {
			s.list = append(s.list, ip)
		}
	}
	return s
}

// chooseAddress returns the IP address that a node tells the others if it listens on all of its addresses. It keeps the current one as
// long as others can send to it, and changes nothing while the network or the name server is away.
func chooseAddress(current netip.Addr, s sources, paths netx.Paths) netip.Addr {
	isHere := slices.ContainsFunc(paths.Locals, func(l netx.Local) bool { return l.Prefix.Addr() == current })
	switch {
	case slices.Contains(s.list, current), isHere && (len(s.list) == 0 || !s.isComplete):
		return current
	case len(s.list) > 0:
		return s.list[0]
	}
	for _, l := range paths.Internet {
		if ip := l.Prefix.Addr(); ip.IsValid() {
			return ip
		}
	}
	if current.IsValid() {
		return current
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}) // until there is a network
}

// findAddress returns the address at which the other members reach this node. current is what it was before. named
// resolves Config.Members.
func (f *Fleet) findAddress(current netip.AddrPort, named func() resolved) netip.AddrPort {
	port := f.port.net.Port()
	if f.cfg.Advertise != "" {
		list, err := f.resolve(f.cfg.Advertise)
		switch {
		case slices.Contains(list, current), err != nil && current.IsValid():
			return current
		case len(list) > 0:
			return list[0]
		}
	}
	for _, a := range f.port.net.Addrs() {
		if !a.Addr().IsUnspecified() {
			return netip.AddrPortFrom(a.Addr(), port)
		}
	}
	out := f.cfg.Node.Outbound()
	paths, err := out.Paths()
	if err != nil {
		paths = netx.Paths{}
	}
	members := named()
	return netip.AddrPortFrom(chooseAddress(current.Addr(), members.sourcesOf(out.SourceOf), paths), port)
}

// address returns the address that the other members are told.
func (f *Fleet) address() netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr
}

// isSelf reports whether an address is one of this node.
func (f *Fleet) isSelf(a netip.AddrPort) bool {
	if a == f.address() {
		return true
	}
	for _, own := range f.port.net.Addrs() {
		switch {
		case own.Port() != a.Port():
		case own.Addr() == a.Addr():
			return true
		case own.Addr().IsUnspecified() && own.Addr().Is4() == a.Addr().Is4():
			if a.Addr().IsLoopback() {
				return true
			}
			paths, err := f.cfg.Node.Outbound().Paths()
			return err == nil && slices.ContainsFunc(paths.Locals, func(l netx.Local) bool { return l.Prefix.Addr() == a.Addr() })
		}
	}
	return false
}

// updateAddress tells the others another address if that of this node has changed. memberlist never changes the address of a live
// member, so this node leaves the fleet and joins it again. That takes less time than settleLoss, so that no torrent moves.
func (f *Fleet) updateAddress(named func() resolved) {
	current := f.address()
	addr := f.findAddress(current, named)
	if addr == current {
		return
	}
	f.log.Info("the address of this node for the fleet changed", "from", current, "to", addr)
	f.updateAddressTo(addr)
}

// updateAddressTo leaves the fleet and makes a new membership with another address.
func (f *Fleet) updateAddressTo(addr netip.AddrPort) {
	f.replacing.Lock()
	defer f.replacing.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	f.leave()
	f.mu.Lock()
	f.addr = addr
	f.members.init(f.members.generation + 1)
	f.mu.Unlock()
	if err := f.create(); err != nil {
		panic(err) // it worked with the same configuration
	}
}

// create makes f.list, in which this node is alone. replacing is held, or nobody else has f.
func (f *Fleet) create() error {
	list, err := memberlist.Create(f.memberlist())
	if err != nil {
		return err
	}
	f.list.Store(list)
	return nil
}

// leave tells the others that this node leaves, and ends f.list. replacing is held, or nobody else has f.
func (f *Fleet) leave() {
	list := f.list.Load()
	if err := list.Leave(leaveWithin); err != nil {
		f.log.Debug("fleet: the others were not told that this node leaves", "err", err)
	}
	_ = list.Shutdown() // it never fails
}
