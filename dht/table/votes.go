package table

import "net/netip"

// Votes finds our address from what other nodes say (BEP 42). One voter, and one /24 or
// /64, has one vote. The latest 32 votes count.
type Votes struct {
	cast []vote
	next int
}

type vote struct {
	net  netip.Prefix // of the voter
	ours netip.Addr
}

const (
	maxVotes = 32
	quorum   = 4 // votes that an address needs
)

// Add counts a vote. It returns the address that has the quorum and more than half of all
// votes, if there is one.
func (v *Votes) Add(voter, ours netip.Addr) (settled netip.Addr, ok bool) {
	n := vote{Subnet(voter), ours}
	for i := range v.cast {
		if v.cast[i].net == n.net {
			v.cast[i] = n
			return v.winner()
		}
	}
	if len(v.cast) < maxVotes {
		v.cast = append(v.cast, n)
	} else {
		v.cast[v.next] = n
		v.next = (v.next + 1) % maxVotes
	}
	return v.winner()
}

func (v *Votes) winner() (netip.Addr, bool) {
	for _, c := range v.cast {
		n := 0
		for _, o := range v.cast {
			if o.ours == c.ours {
				n++
			}
		}
		if n >= quorum && 2*n > len(v.cast) {
			return c.ours, true
		}
	}
	return netip.Addr{}, false
}
