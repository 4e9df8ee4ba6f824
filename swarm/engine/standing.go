package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// A standing is what is thought of a peer as a source of blocks. It knows what the
// peer delivered and when, and nothing else.
//
// A peer that takes requests and delivers nothing holds up whatever was asked of
// it, and it costs the peer nothing. So how much a peer may have on order follows
// what it delivered. A peer is weak while it
//
//   - has delivered nothing yet,
//   - is snubbed: it owes blocks for longer than its own pace explains,
//   - has strikes: it lost blocks that it was asked for, and delivered none since,
//   - chokes us, or
//   - crawls: others deliver many times as fast.
//
// Weak peers hold blocks in a few chunks only (see admits), so that they cannot
// hold up all memory. What is on order at one for long is taken over by a peer
// that delivers (see takeOver). A peer with strikes is asked for one block at a
// time, after a pause that doubles. One block that arrives makes up for all that.
type standing struct {
	rate      rate.Meter
	snubbed   bool          // it owes blocks for too long
	crawls    bool          // others are many times as fast
	strikes   int           // pauses in a row that it earned
	retry     mono.Time     // when the last of them ends
	probes    int           // in a row
	probeAt   mono.Time     // when the next may be made
	gap       time.Duration // how long it took for a block: the longest, forgotten with time
	lastBlock mono.Time
	answered  mono.Time // when the latest was asked for of the blocks that came
}

const (
	// A peer is snubbed when it owes blocks for patienceGaps times as long as it
	// recently took for one, within these limits.
	patienceGaps = 4
	minPatience  = 2 * time.Second
	maxPatience  = 10 * time.Second
	// weakAfter is the age at which what a weak peer has on order may be taken over.
	weakAfter = time.Second
	// hiccup is the same for a peer that has delivered and is quiet for so long, and
	// for hiccupGaps times as long as it took for a block.
	hiccup     = weakAfter / 2
	hiccupGaps = 8
	// slowAfter is the same for a peer that is slower by slowFactor than the one
	// that takes over: twice as long as its queue is meant to be.
	slowAfter  = 6 * time.Second
	slowFactor = 8
	// overtakenAfter is the same for a block while later requests are answered.
	overtakenAfter = 2 * time.Second
	// crawlFactor: a peer crawls that is slower than the fastest one by this.
	crawlFactor = 16
	// maxStrikes bounds the pauses: 64 s.
	maxStrikes = 6
)

// hasDelivered reports whether a block came that we asked for.
func (s *standing) hasDelivered() bool { return s.rate.Total() > 0 }

// isDoubtful reports whether the peer owes us or failed us, so that it is asked for
// one block at a time.
func (s *standing) isDoubtful() bool { return s.snubbed || s.strikes > 0 }

// isFirm reports whether the peer is not weak, but for a choke.
func (s *standing) isFirm() bool { return s.hasDelivered() && !s.isDoubtful() && !s.crawls }

// strike notes that the peer lost a block that it was asked for at that time and
// had for a while; or for any time, if it gave the block up itself and never
// delivered one.
func (s *standing) strike(now, asked mono.Time, gaveUp bool) {
	if now < s.retry || (now.Sub(max(asked, s.lastBlock)) < hiccup && (!gaveUp || s.hasDelivered())) {
		return
	}
	s.strikes = min(s.strikes+1, maxStrikes)
	s.retry = now.Add(time.Second << s.strikes)
}

// noteBlock notes that a block arrived that was asked for at that time.
func (s *standing) noteBlock(now, asked mono.Time) {
	s.gap = max(now.Sub(max(asked, s.lastBlock)), s.gap-s.gap/8)
	s.answered = max(s.answered, asked)
	s.lastBlock = now
	s.snubbed, s.strikes, s.retry, s.probes, s.probeAt = false, 0, 0, 0, 0
}

// noteProbe notes a probe: the next is made after a pause that doubles.
func (s *standing) noteProbe(now mono.Time) {
	s.probeAt = now.Add(time.Second << min(s.probes, maxStrikes))
	s.probes++
}

// mayProbe reports whether the peer has still to show what it can do, and may now.
func (s *standing) mayProbe(now mono.Time) bool {
	return (!s.hasDelivered() || s.isDoubtful()) && now >= s.probeAt
}

// patience is how long the peer may owe blocks before it is snubbed: by its own
// pace, and by that of the best, which takes bestGap for a block; 0 is unknown.
func (s *standing) patience(bestGap time.Duration) time.Duration {
	others := patienceGaps * bestGap
	return min(max(patienceGaps*s.gap, minPatience, others), max(maxPatience, others))
}

// isSlower reports whether the peer is far slower than another.
func (s *standing) isSlower(now mono.Time, than *standing) bool {
	return s.rate.Rate(now)*slowFactor < than.rate.Rate(now)
}

// overdue is the time before which the peer must have been asked for a block, for
// taker to take it over; idle says that taker has nothing else to do. In twice the
// time that taker itself takes for one, the peer may well deliver.
func (s *standing) overdue(now mono.Time, taker *standing, idle bool) mono.Time {
	least := 2 * taker.gap
	switch {
	case !s.hasDelivered(), s.isDoubtful():
		return now.Add(-max(weakAfter, least))
	case s.isSlower(now, taker):
		return now.Add(-max(slowAfter, least))
	}
	hiccup := max(hiccup, hiccupGaps*s.gap, least)
	if idle && now.Sub(s.lastBlock) > hiccup {
		return now.Add(-hiccup)
	}
	return s.answered.Add(-max(overtakenAfter, least))
}
