package metainfo

import (
	"cmp"
	"slices"
)

const (
	// minSolos is how many assemblies of single senders may be filled in parallel in a
	// group; more are allowed while they fit into soloBytes. That is enough for an honest
	// sender not to be delayed long by liars that stall, and few enough that not every
	// peer sends a large metadata completely.
	minSolos  = 4
	soloBytes = 4 << 20
)

// seat allows the assembly that s works on to store data, and reserves its whole size. If
// memory is short, assemblies that cannot make progress lose their seats first, then
// larger ones in favour of a smaller one. So a claim of 64 MiB, which no real torrent
// makes, excludes nobody.
func (a *Assembler) seat(s *sender) bool {
	g := s.group
	y := &g.shared
	if g.solo {
		y = &s.own
	}
	if y.seated {
		return true
	}
	victims, ok := a.makeRoom(g)
	if !ok {
		return false
	}
	for _, v := range victims {
		a.unseat(v.group, v.assembly)
		a.prune(v.group)
	}
	a.reserved += g.size
	y.seated, y.blocks = true, make([][]byte, g.blocks())
	if !g.solo {
		g.from, g.askers = make([]*sender, g.blocks()), make([]uint8, g.blocks())
		for _, m := range g.members {
			for p := range m.marks {
				if m.marks[p]&asked != 0 {
					g.askers[p]++
				}
			}
		}
	}
	return true
}

// makeRoom returns the assemblies that must lose their seats for another one of g. It
// returns false if that one has to wait.
func (a *Assembler) makeRoom(g *group) (victims []seat, ok bool) {
	need := a.reserved + g.size - MaxInfo
	if need <= 0 && !g.solo {
		return nil, true
	}
	seats := a.seats()
	if g.solo {
		crowd := slices.DeleteFunc(slices.Clone(seats), func(o seat) bool { return o.group != g })
		if len(crowd) >= max(minSolos, int(soloBytes/g.size)) {
			k := slices.IndexFunc(crowd, seat.stuck)
			if k < 0 {
				return nil, false
			}
			victims = append(victims, crowd[k])
			need -= g.size
		}
	}
	// Stuck ones go first, then the largest.
	slices.SortStableFunc(seats, func(x, y seat) int { return cmp.Compare(y.group.size, x.group.size) })
	for _, pass := range []func(seat) bool{seat.stuck, func(o seat) bool { return o.group.size > g.size }} {
		for _, o := range seats {
			if need > 0 && !slices.Contains(victims, o) && pass(o) {
				victims = append(victims, o)
				need -= o.group.size
			}
		}
	}
	return victims, need <= 0
}

// unseat drops an assembly's data and its reservation.
func (a *Assembler) unseat(g *group, y *assembly) {
	if !y.seated {
		return
	}
	*y = assembly{}
	a.reserved -= g.size
	if y == &g.shared {
		g.from, g.askers = nil, nil
		if !g.solo {
			for _, m := range g.members {
				for p := range m.marks {
					m.marks[p] &^= gave
				}
			}
		}
	}
}

// prune removes a group without members and data.
func (a *Assembler) prune(g *group) {
	if len(g.members) == 0 && g.shared.count == 0 {
		a.unseat(g, &g.shared)
		a.groups = slices.DeleteFunc(a.groups, func(o *group) bool { return o == g })
	}
}

// seat is a seated assembly; sender is nil for a shared one.
type seat struct {
	group    *group
	sender   *sender
	assembly *assembly
}

func (a *Assembler) seats() (out []seat) {
	for _, g := range a.groups {
		if g.shared.seated {
			out = append(out, seat{g, nil, &g.shared})
		}
		for _, s := range g.members {
			if s.own.seated {
				out = append(out, seat{g, s, &s.own})
			}
		}
	}
	return out
}

// stuck reports whether the assembly cannot make progress: no sender has been or may be
// asked for a missing block.
func (t seat) stuck() bool {
	open := func(s *sender) bool {
		if s.out > 0 || s.marks == nil {
			return true
		}
		for p, m := range s.marks {
			if t.assembly.blocks[p] == nil && m&refused == 0 {
				return true
			}
		}
		return false
	}
	if t.sender != nil {
		return !open(t.sender)
	}
	return !slices.ContainsFunc(t.group.members, open)
}
