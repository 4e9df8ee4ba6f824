package fleet

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/mono"
	"seedbed/node"
)

// A conflict means that another node uses the name of a member. It may be the same node, which was killed and has another
// address now. Then it is a member some seconds later, and the conflict ends.
type conflict struct {
	addr        netip.AddrPort // of the other node
	first, last mono.Time      // when memberlist reported it
	isReported  bool           // to the user
}

const (
	// conflictAfter is how long a conflict must last before it is reported.
	conflictAfter = 45 * time.Second
	// conflictFor is how long a conflict is remembered that memberlist does not report again.
	conflictFor = time.Minute
)

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
		c = &conflict{first: f.now()}
		all[existing.Name] = c
	}
	c.addr, c.last = netip.AddrPortFrom(ip.Unmap(), other.Port), f.now()
}

// dueConflicts returns an error for each conflict that has to be reported now. mu is held.
func (f *Fleet) dueConflicts(now mono.Time) (errs []error) {
	for name, c := range f.members.conflicts {
		switch {
		case now.Sub(c.last) > conflictFor:
			delete(f.members.conflicts, name)
		case !c.isReported && c.last.Sub(c.first) >= conflictAfter:
			c.isReported = true
			errs = append(errs, node.NewFault(node.FaultConflict, fmt.Errorf("two nodes of the fleet have the name %s: one is at %s", name, c.addr),
				"give one of them another --fleet-name"))
		}
	}
	return errs
}
