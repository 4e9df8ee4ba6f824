package fleet

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/mono"
	"seedbed/node"
)

// A rival is a node with the name of a member. It may be the same node, which was killed and has another address now; then it
// is a member some seconds later.
type rival struct {
	addr        netip.AddrPort
	first, last mono.Time // when it was noticed
	isReported  bool
}

const (
	// rivalAfter is how long a rival is noticed before it is reported.
	rivalAfter = 45 * time.Second
	// rivalFor is how long one is remembered that is not noticed again.
	rivalFor = time.Minute
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
	r := f.rivals[existing.Name]
	if r == nil {
		if len(f.rivals) >= MaxMembers {
			return
		}
		r = &rival{first: f.now()}
		f.rivals[existing.Name] = r
	}
	r.addr, r.last = netip.AddrPortFrom(ip.Unmap(), other.Port), f.now()
}

// clashes returns an error for each rival that has to be reported now. mu is held.
func (f *Fleet) clashes(now mono.Time) (errs []error) {
	for name, r := range f.rivals {
		switch {
		case now.Sub(r.last) > rivalFor:
			delete(f.rivals, name)
		case !r.isReported && r.last.Sub(r.first) >= rivalAfter:
			r.isReported = true
			errs = append(errs, node.NewFault(node.FaultConflict, fmt.Errorf("two nodes of the fleet have the name %s: one is at %s", name, r.addr),
				"give one of them another --fleet-name"))
		}
	}
	return errs
}
