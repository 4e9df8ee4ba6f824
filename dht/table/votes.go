package table

import "net/netip"

// Votes determines our external address from the addresses that other nodes report in "ip"
// (BEP 42). All voters in one /24 or /64 have one vote together. Only the latest 32 votes
// count.
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
	quorum   = 4 // votes that an address needs to win
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

// Tally returns how many votes each address has, in no particular order.
func (v *Votes) Tally() map[netip.Addr]int {
	tally := map[netip.Addr]int{}
	for _, c := range v.cast {
		tally[c.ours]++
	}
	return tally
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
