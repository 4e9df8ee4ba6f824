package dht

import (
	"net/netip"

	"seedbed/dht/table"
)

// votes finds our address from what others say it is (BEP 42). One voter, and
// one /24 or /64, has one vote; the latest 32 votes count.
type votes struct {
	cast []vote
	next int
}

type vote struct {
	net  netip.Prefix // of the voter
	ours netip.Addr
}

const (
	maxVotes = 32
	quorum   = 4 // votes that it takes to be believed
)

// add counts a vote and returns the address that has the quorum and more than
// half of all votes, if any has.
func (v *votes) add(voter, ours netip.Addr) (settled netip.Addr, ok bool) {
	n := vote{table.Subnet(voter), ours}
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

func (v *votes) winner() (netip.Addr, bool) {
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
