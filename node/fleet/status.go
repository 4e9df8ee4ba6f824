package fleet

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
)

// Status is what a node knows of its fleet.
type Status struct {
	Name    string // of this node
	Members []Member
	// Settling says that a change of the members has not taken effect yet.
	Settling bool
	// Unreachable says why none of Config.Members could be reached, or is "".
	Unreachable string
}

// Member is a node of the fleet.
type Member struct {
	Name string
	Addr netip.AddrPort // for the other members
	// Peers has the addresses at which peers find it, the best one first.
	Peers []netip.AddrPort
	// Self is this node.
	Self bool
	// Live says that it is a member now; otherwise it was a short time ago.
	Live bool
	// OtherStore says that it has another object store, and so owns nothing.
	OtherStore bool
	// SameName is the address of another node with the same name; the zero AddrPort: there is none.
	SameName netip.AddrPort

	// SameAddr is the name of another live member that tells the others the same address, or "".
	SameAddr string

	// Age is the age of Numbers, or negative if the member has sent none.
	Age   time.Duration
	Since time.Time // its start
	Numbers
}

// Status returns what is known now.
func (f *Fleet) Status() Status {
	own := f.measure()
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Name: f.cfg.Name, Settling: f.settling.first != 0}
	if f.joined.err != nil {
		s.Unreachable = f.joined.err.Error()
	}
	sharing := f.members.sharing()
	for name, c := range f.members.live {
		m := Member{Name: name, Addr: c.addr, Peers: c.about.Addrs, Live: true, Self: name == f.cfg.Name, OtherStore: c.about.Store != f.store, SameAddr: sharing[name], Age: -1}
		if other, ok := f.members.conflicts[name]; ok {
			m.SameName = other.addr
		}
		if m.Self {
			m.take(&own, 0)
		} else if r, ok := f.members.reports[name]; ok {
			m.take(&r.report, now.Sub(r.at))
		}
		s.Members = append(s.Members, m)
	}
	for _, name := range f.settling.current {
		if _, isLive := f.members.live[name]; !isLive {
			s.Members = append(s.Members, Member{Name: name, Age: -1})
		}
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// take takes over the numbers of a report.
func (m *Member) take(r *report, age time.Duration) {
	m.Age, m.Since, m.Numbers = age, time.UnixMilli(r.Start), r.Numbers
}

// Owners returns the names of the members that own an infohash, the first one first. There are none until the first members
// have settled.
func (f *Fleet) Owners(infohash id.ID) []string {
	f.mu.Lock()
	owners := f.owners
	f.mu.Unlock()
	return owners.Owners(infohash, copies)
}
