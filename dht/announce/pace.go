package announce

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/dht/lookup"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	maxVisits = 256 // maximum number of visits at a time
	// headroom is the factor by which the pace exceeds what the walk needs. It is large
	// enough to catch up, and too small for a peak in the rate.
	headroom = 1.08
	slack    = 50 * time.Millisecond // a late caller may send the packets of this time at once
	maxDebt  = 2 * time.Second       // the walk makes up for visits missed within this time

	offlineAfter = 6               // visits in a row without any answer after which we are offline
	probeEvery   = 3 * time.Second // time between visits while we are offline
)

// aim returns the time in which the walk visits all infohashes if the rate allows it. It is
// short enough that a failed visit can be repeated within the interval.
func (s *Scheduler) aim() time.Duration { return s.cfg.Interval / 4 * 3 }

// cycle returns the time in which the walk visits all infohashes at the current rate.
func (s *Scheduler) cycle() time.Duration {
	return max(s.aim(), time.Duration(float64(s.all.n)*s.cost/s.cfg.Rate*float64(time.Second)))
}

// pace returns the maximum number of packets a second right now.
func (s *Scheduler) pace(now mono.Time) float64 {
	if s.oldest(now) > s.cfg.Interval {
		return s.cfg.Rate
	}
	walk := float64(s.all.n) * s.cost / s.aim().Seconds() * headroom
	// With few infohashes, a visit must still be quick. First announces may cause a peak in
	// the rate if the walk needs little of it.
	floor := 0.1
	if s.fresh.n+s.extra > 0 {
		floor = 0.6
	}
	return min(s.cfg.Rate, max(walk, floor*s.cfg.Rate))
}

// spend counts a packet sent now against the pace.
func (s *Scheduler) spend(now mono.Time) {
	gap := time.Duration(float64(time.Second) / s.pace(now))
	s.tick = max(s.tick, now.Add(-slack)).Add(gap)
}

// oldest returns the time since the least recent visit.
func (s *Scheduler) oldest(now mono.Time) time.Duration {
	if s.ages.head == none {
		return 0
	}
	return now.Sub(s.items.at(s.ages.head).visited)
}

// begin starts the next visit if it is due.
func (s *Scheduler) begin(now mono.Time) *visit {
	if len(s.active) >= maxVisits || s.all.n == 0 {
		return nil
	}
	if s.Offline() {
		if now < s.probe {
			return nil
		}
		s.probe = now.Add(probeEvery)
	}
	overdue := s.oldest(now) >= s.cycle()
	if s.fresh.n > 0 && !(overdue && s.walkNext) {
		s.walkNext = true
		i := s.fresh.after(s.sweep)
		s.sweep = s.items.at(i).key
		return s.visit(now, i)
	}
	s.walkNext = false
	for range 8 {
		behind := s.oldest(now) - s.cycle()
		if now < s.slot && s.fresh.n == 0 && !s.Offline() && behind <= s.cycle()/20 {
			return nil
		}
		i := s.all.after(s.cursor)
		if s.fresh.n > 0 || behind > s.cycle()/7 {
			// The walk has waited for new infohashes, or is late. It continues with the
			// infohash whose last visit is the oldest.
			i = s.ages.head
		}
		r := s.items.at(i)
		s.cursor = r.key
		s.slot = max(s.slot, now.Add(-maxDebt)).Add(s.aim() / time.Duration(s.all.n))
		if r.state != visiting && (r.state != idle || now.Sub(r.visited) > s.cycle()/16) {
			return s.visit(now, i)
		}
	}
	return nil
}

// beginAt returns when the next visit is due.
func (s *Scheduler) beginAt() mono.Time {
	switch {
	case len(s.active) >= maxVisits || s.all.n == 0:
		return mono.Never
	case s.Offline():
		return s.probe
	case s.fresh.n > 0:
		return 0
	}
	at := s.slot
	if s.ages.head != none {
		at = min(at, s.items.at(s.ages.head).visited.Add(s.cycle()+s.cycle()/20+1))
	}
	return at
}

// visit begins a visit of the infohash with that number.
func (s *Scheduler) visit(now mono.Time, i uint32) *visit {
	r := s.items.at(i)
	extra := r.state == urgent
	if extra {
		s.fresh.remove(r.key)
		s.extra++
	}
	r.state, r.visited = visiting, now
	s.ages.remove(i)
	s.ages.push(i)
	v := newVisit(now, i, r, &s.cfg, s.start(now, r))
	v.extra = extra
	s.active[i] = v
	s.visits = append(s.visits, v)
	return v
}

// start returns the nodes that a visit starts at. The nodes of the window come before those
// of the table, because they answered a moment ago.
func (s *Scheduler) start(now mono.Time, r *record) (start []lookup.Node) {
	add := func(n Node) { start = append(start, lookup.Node{ID: n.ID, Addr: n.Addr}) }
	var near [startNodes]Node
	for _, n := range s.window.closest(near[:0], r.key, startNodes) {
		add(n)
	}
	for _, n := range s.cfg.Start(r.key) {
		if !s.window.isSuspended(now, n.Addr) {
			add(n)
		}
	}
	var former [maxSeeds]netip.AddrPort
	for _, a := range r.seeds.addrs(former[:0]) {
		if node, known := s.window.id(a); known || !s.window.isSuspended(now, a) {
			add(Node{node, a})
		}
	}
	return start
}

// finish ends a visit and schedules a retry if no node accepted the announce.
func (s *Scheduler) finish(now mono.Time, v *visit) {
	r := s.items.at(v.item)
	did := v.lookup.Stats()
	if did.Asked > 0 {
		s.cost += (float64(did.Asked+v.announceSent) - s.cost) / 64
	}
	s.count.Visits++
	switch {
	case did.Asked == 0:
		s.unanswered = max(s.unanswered, offlineAfter) // no node is known
	case did.Answered == 0:
		if s.unanswered++; s.unanswered == offlineAfter {
			s.window.clearFailures() // our network is down, not the nodes
		}
	}
	r.state = idle
	if v.accepted > 0 {
		if !r.announced {
			r.announced = true
			s.announced++
		}
		r.since, r.fails = now, 0
		v.remember(&r.seeds)
	} else {
		s.count.Fruitless++
		r.state = waiting
		r.fails = min(r.fails+1, maxBackoff)
		s.retry.add(now.Add(retryAfter<<(r.fails-1)), v.item, r.visited)
	}
	infohash, accepted := v.key, v.accepted
	s.release(v)
	s.cfg.Done(infohash, accepted)
}

// release ends a visit. Later answers to its queries are ignored.
func (s *Scheduler) release(v *visit) {
	if r := s.items.at(v.item); r.state == visiting {
		r.state = idle
	}
	if v.extra {
		s.extra--
	}
	delete(s.active, v.item)
	s.visits = slices.DeleteFunc(s.visits, func(o *visit) bool { return o == v })
	v.gone, v.due = true, mono.Never
}

// Offline reports whether no node answers, or no node is known.
func (s *Scheduler) Offline() bool { return s.unanswered >= offlineAfter }

// Wake ends the offline state and repeats failed visits at once. Call it when the network
// is available again.
func (s *Scheduler) Wake() {
	s.unanswered = 0
	for {
		i, ok := s.retry.due(mono.Never, &s.items)
		if !ok {
			return
		}
		s.urgent(i)
	}
}

// Renew announces every infohash again as soon as the rate allows, because our address has
// changed. It also ends the offline state.
func (s *Scheduler) Renew() {
	s.unanswered = 0
	s.window.clearFailures()
	for _, v := range slices.Clone(s.visits) {
		s.release(v)
	}
	for _, c := range s.all.chunks {
		for _, i := range c {
			s.urgent(i)
		}
	}
}

// Late yields the infohashes whose last announce is older than the interval. An infohash
// that was never announced counts from the time it was added.
func (s *Scheduler) Late(now mono.Time, yield func(id.ID) bool) {
	for _, c := range s.all.chunks {
		for _, i := range c {
			if r := s.items.at(i); now.Sub(r.since) > s.cfg.Interval && !yield(r.key) {
				return
			}
		}
	}
}
