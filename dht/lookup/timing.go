package lookup

import (
	"slices"
	"time"

	"seedbed/internal/mono"
)

// soft returns the soft timeout. A node that takes longer to answer loses its slot.
func (l *Lookup) soft() time.Duration {
	d, ok := l.rtt.p90()
	if !ok {
		return l.cfg.Soft
	}
	return min(max(d+d/16, minSoft), l.cfg.Hard)
}

// grace returns how long the end of the lookup waits for one of the closest nodes. It is a
// little longer than the soft timeout, so that most of the slowest tenth are still found.
func (l *Lookup) grace() time.Duration {
	d := l.soft()
	return min(d+d/16, l.cfg.Hard)
}

// Tick applies the timeouts. A caller that cannot send now calls it instead of Next.
func (l *Lookup) Tick(now mono.Time) { l.expire(now) }

// expire applies the timeouts.
func (l *Lookup) expire(now mono.Time) {
	soft := l.soft()
	each := func(c *candidate) {
		if c.state == asked && now.Sub(c.sent) >= soft {
			c.state = late
			l.slots--
			l.stats.Late++
			if c.source >= 0 {
				l.sources[c.source].late++
			}
		}
		if c.state == late && now.Sub(c.sent) >= l.cfg.Hard {
			l.fail(c)
		}
	}
	for _, c := range l.list {
		each(c)
	}
	for _, c := range l.seeds {
		each(c)
	}
	l.settle(now)
}

// settle decides whether the lookup is over: no closer node is left to ask or to wait for.
func (l *Lookup) settle(now mono.Time) {
	l.now = max(l.now, now)
	if l.done {
		return
	}
	if l.slots == 0 && l.stats.Asked >= l.cfg.MaxQueries {
		l.done = true
		return
	}
	if answers, ready := l.closestAnswered(); ready && (answers >= l.cfg.K || now >= l.lateUntil(answers)) {
		l.done = true
	}
}

// closestAnswered counts the answers of the k closest nodes and, if the neighbourhood is
// forged, of those beside it. It reports whether none of these is left to ask or to wait for.
func (l *Lookup) closestAnswered() (answers int, ready bool) {
	grace, doubtful := l.grace(), false
	for _, c := range l.list {
		if l.inZone(c) || answers >= l.cfg.K && !c.beside {
			continue
		}
		switch c.state {
		case answered:
			if l.counts(c) {
				answers++
			}
		case asked:
			return answers, false
		case late:
			if l.now < c.sent.Add(grace) {
				return answers, false
			}
		case fresh:
			if l.flight[c.Addr] != nil || l.isSubnetUsed(c) {
				continue
			}
			if l.isDoubtful(c) {
				doubtful = true // it is asked if the others do not suffice
				continue
			}
			return answers, false
		}
		if answers == l.cfg.K && !l.forged {
			return answers, true
		}
	}
	for _, c := range l.seeds {
		if c.state == fresh || c.state == asked {
			return answers, false
		}
	}
	return answers, !doubtful || answers >= l.cfg.K
}

// lateUntil returns the time until which the lookup waits for late nodes when fewer than k
// nodes have answered and no other is left to ask, as in a small or broken network. If no
// node has answered at all, the lookup waits for their hard timeouts.
func (l *Lookup) lateUntil(answers int) mono.Time {
	last := mono.Time(-1 << 62)
	for _, c := range slices.Concat(l.list, l.seeds) {
		if c.state == late {
			last = max(last, c.sent)
		}
	}
	if answers == 0 {
		return last.Add(l.cfg.Hard)
	}
	return last.Add(min(4*l.soft(), l.cfg.Hard))
}

// Deadline returns when Next must be called again although no reply has come.
func (l *Lookup) Deadline() mono.Time {
	if l.done {
		return mono.Never
	}
	at, soft, grace := mono.Never, l.soft(), l.grace()
	waiting := false
	for _, c := range slices.Concat(l.list, l.seeds) {
		switch c.state {
		case asked:
			at = min(at, c.sent.Add(soft))
		case late:
			if g := c.sent.Add(grace); g > l.now {
				at = min(at, g)
			}
			at = min(at, c.sent.Add(l.cfg.Hard))
			waiting = true
		}
	}
	if waiting && l.slots == 0 {
		if answers, ready := l.closestAnswered(); ready {
			at = min(at, l.lateUntil(answers))
		}
	}
	return at
}
