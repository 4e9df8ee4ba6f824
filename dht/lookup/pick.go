package lookup

import (
	"net/netip"

	"seedbed/internal/mono"
)

// Which node is asked next.

// Next returns the node to ask now, if there is one. The caller sends the query, and calls
// Reply or Fail with its address.
func (l *Lookup) Next(now mono.Time) (Node, bool) {
	l.expire(now)
	slots := l.cfg.Alpha
	if !l.cfg.Sparing {
		slots *= alphaFactor
		if l.stats.Answered == 0 {
			slots += maxAtOnce // start addresses are asked in addition
		}
	}
	if l.done || l.slots >= slots || l.stats.Asked >= l.cfg.MaxQueries {
		return Node{}, false
	}
	c := l.pick()
	if c == nil {
		return Node{}, false
	}
	if c.ID.IsZero() {
		l.seedsAsked++
	}
	c.state, c.sent = asked, now
	if distance(l.target, c.ID) < l.cfg.Zone {
		l.zoneAsked++
	}
	l.flight[c.Addr] = c
	l.slots++
	l.stats.Asked++
	return c.Node, true
}

// pick returns the candidate to ask next: the closest fresh one within the first k,
// otherwise a start address whose id is unknown.
func (l *Lookup) pick() *candidate {
	if l.stats.Answered == 0 || l.cfg.Sparing {
		// Until a node has answered, all start addresses are asked at once, in addition to
		// known nodes, so that none waits for the timeout of another. The start addresses
		// of a sparing lookup were the closest nodes at the last announce.
		if l.seedsAsked < maxAtOnce {
			if c := l.nextSeed(); c != nil {
				return c
			}
		}
	}
	window, closer, most := 0, 0, l.cfg.K
	if !l.cfg.Sparing {
		most += extraAsked
	}
	var doubtful *candidate
	for _, c := range l.list {
		zone := l.inZone(c)
		switch {
		case c.state == fresh:
			if l.flight[c.Addr] != nil || l.isSubnetUsed(c) || zone && l.zoneAsked >= inForged*l.cfg.K {
				continue
			}
			if !l.isDoubtful(c) {
				return c
			}
			if doubtful == nil {
				doubtful = c
			}
		case zone:
		case c.state == answered:
			if l.counts(c) {
				window++
			}
		case c.state == asked:
			window++
			closer++
		}
		if window == most || closer == l.cfg.Alpha {
			return l.nextBeside()
		}
	}
	if c := l.nextBeside(); c != nil {
		return c
	}
	if c := l.nextSeed(); c != nil {
		return c
	}
	return doubtful
}

// isDoubtful reports whether c was named by a node whose other nodes have not answered, or
// not yet.
func (l *Lookup) isDoubtful(c *candidate) bool {
	if !l.cfg.Sparing || c.source < 0 {
		return false
	}
	s := &l.sources[c.source]
	return s.alive == 0 && s.dead+s.late >= maxLateNamed
}

// counts reports whether the answer of c is one of the k that the lookup needs.
func (l *Lookup) counts(c *candidate) bool { return !l.cfg.Sparing || len(c.Token) > 0 }

// nextBeside returns the next node beside a forged neighbourhood.
func (l *Lookup) nextBeside() *candidate {
	for _, c := range l.list {
		if c.beside && c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// nextSeed returns the next start address that has not been asked.
func (l *Lookup) nextSeed() *candidate {
	for _, c := range l.seeds {
		if c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// isSubnetUsed reports whether another node of the candidate's /24 or /64 is being asked or
// has answered.
func (l *Lookup) isSubnetUsed(c *candidate) bool {
	if l.cfg.Relaxed {
		return false
	}
	net := subnet(c.Addr.Addr())
	for _, o := range l.list {
		if o != c && (o.state == asked || o.state == answered) && subnet(o.Addr.Addr()) == net {
			return true
		}
	}
	return false
}

func subnet(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}
