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

// activate allows the assembly that s works on to store data, and reserves its whole size.
// It reports whether that succeeded. If memory is short, it deactivates assemblies that
// cannot make progress, then larger ones in favour of a smaller one. So a claim of 64 MiB,
// which no real torrent makes, excludes no other sender.
func (a *Assembler) activate(s *sender) bool {
	g := s.group
	y := &g.shared
	if g.solo {
		y = &s.own
	}
	if y.active {
		return true
	}
	evicted, ok := a.selectEvicted(g)
	if !ok {
		return false
	}
	for _, v := range evicted {
		a.deactivate(v.group, v.assembly)
		a.prune(v.group)
	}
	a.reserved += g.size
	y.active, y.blocks = true, make([][]byte, g.blocks())
	if !g.solo {
		g.from, g.pending = make([]*sender, g.blocks()), make([]uint8, g.blocks())
		for _, m := range g.members {
			for p := range m.marks {
				if m.marks[p]&requested != 0 {
					g.pending[p]++
				}
			}
		}
	}
	return true
}

// selectEvicted returns the assemblies to deactivate so that another one of g fits. It
// returns false if that one has to wait.
func (a *Assembler) selectEvicted(g *group) (evicted []activeAssembly, ok bool) {
	need := a.reserved + g.size - MaxInfo
	if need <= 0 && !g.solo {
		return nil, true
	}
	actives := a.activeAssemblies()
	if g.solo {
		ownGroup := slices.DeleteFunc(slices.Clone(actives), func(o activeAssembly) bool { return o.group != g })
		if len(ownGroup) >= max(minSolos, int(soloBytes/g.size)) {
			k := slices.IndexFunc(ownGroup, activeAssembly.isStuck)
			if k < 0 {
				return nil, false
			}
			evicted = append(evicted, ownGroup[k])
			need -= g.size
		}
	}
	// Stuck ones go first, then the largest.
	slices.SortStableFunc(actives, func(x, y activeAssembly) int { return cmp.Compare(y.group.size, x.group.size) })
	for _, pass := range []func(activeAssembly) bool{activeAssembly.isStuck, func(o activeAssembly) bool { return o.group.size > g.size }} {
		for _, o := range actives {
			if need > 0 && !slices.Contains(evicted, o) && pass(o) {
				evicted = append(evicted, o)
				need -= o.group.size
			}
		}
	}
	return evicted, need <= 0
}

// deactivate drops an assembly's data and its reservation.
func (a *Assembler) deactivate(g *group, y *assembly) {
	if !y.active {
		return
	}
	*y = assembly{}
	a.reserved -= g.size
	if y == &g.shared {
		g.from, g.pending = nil, nil
		if !g.solo {
			for _, m := range g.members {
				for p := range m.marks {
					m.marks[p] &^= delivered
				}
			}
		}
	}
}

// prune removes a group without members and data.
func (a *Assembler) prune(g *group) {
	if len(g.members) == 0 && g.shared.count == 0 {
		a.deactivate(g, &g.shared)
		a.groups = slices.DeleteFunc(a.groups, func(o *group) bool { return o == g })
	}
}

// activeAssembly is an assembly that may store data; sender is nil for a shared one.
type activeAssembly struct {
	group    *group
	sender   *sender
	assembly *assembly
}

func (a *Assembler) activeAssemblies() (out []activeAssembly) {
	for _, g := range a.groups {
		if g.shared.active {
			out = append(out, activeAssembly{g, nil, &g.shared})
		}
		for _, s := range g.members {
			if s.own.active {
				out = append(out, activeAssembly{g, s, &s.own})
			}
		}
	}
	return out
}

// isStuck reports whether the assembly cannot make progress: no sender has been or may be
// asked for a missing block.
func (t activeAssembly) isStuck() bool {
	open := func(s *sender) bool {
		if s.outstanding > 0 || s.marks == nil {
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
