package fleet

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/mono"
	"seedbed/node"
)

// A conflict means that another node uses the name of a member. It may be the same node, which was killed and has another
// address now. Then it is a member some seconds later, and the conflict ends.
type conflict struct {
	addr netip.AddrPort // of the other node
	trouble
}

// NotifyConflict implements memberlist.ConflictDelegate: other has the name of a member, at another address.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	f := (*Fleet)(d)
	ip, ok := netip.AddrFromSlice(other.Addr)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.members.conflicts
	c := all[existing.Name]
	if c == nil {
		if len(all) >= maxMembers {
			return
		}
		c = &conflict{}
		all[existing.Name] = c
	}
	c.addr = netip.AddrPortFrom(ip.Unmap(), other.Port)
	c.see(f.now())
}

// dueConflicts returns an error for each conflict that has to be reported now. mu is held.
func (f *Fleet) dueConflicts(now mono.Time) (errs []error) {
	for name, c := range f.members.conflicts {
		switch {
		case c.isOver(now):
			delete(f.members.conflicts, name)
		case c.isDue():
			errs = append(errs, node.NewFault(node.FaultConflict, fmt.Errorf("two nodes of the fleet have the name %s: one is at %s", name, c.addr),
				"give one of them another --fleet-name"))
		}
	}
	return errs
}
