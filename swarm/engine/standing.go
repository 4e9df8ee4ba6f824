package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// standing rates a peer as a source of blocks. It knows what the peer delivered and when,
// and nothing else.
//
// A peer that accepts requests and delivers nothing blocks the memory reserved for them,
// at no cost to itself. So the number of outstanding requests of a peer depends on what
// it has delivered. A peer is weak if it
//
//   - has delivered nothing yet,
//   - is snubbed: its requests are outstanding for longer than its own pace explains,
//   - has strikes: requests were taken away from it, and it has delivered no block since,
//   - chokes us, or
//   - crawls: others deliver many times as fast.
//
// Weak peers get requests in a few chunks only (see mayUseChunk), so that they cannot occupy
// all memory. Overdue requests are moved to a peer that delivers (see takeOver). A peer
// with strikes gets one request at a time, after a pause that doubles. One delivered
// block clears the strikes.
type standing struct {
	rate      rate.Meter
	snubbed   bool          // its requests have been outstanding for too long
	crawls    bool          // others are many times as fast
	strikes   int           // consecutive pauses
	retry     mono.Time     // end of the last pause
	probes    int           // consecutive probes
	probeAt   mono.Time     // earliest time of the next probe
	gap       time.Duration // longest time it took for a block, decaying
	lastBlock mono.Time
	answered  mono.Time // when the newest of the delivered blocks was requested
}

const (
	// A peer is snubbed if it has sent nothing for patienceGaps times the time that it
	// recently took for one block, within these limits.
	patienceGaps = 4
	minPatience  = 2 * time.Second
	maxPatience  = 10 * time.Second
	// weakAfter is the age at which a request to a weak peer may be moved.
	weakAfter = time.Second
	// hiccup is that age for a peer that has delivered but has been silent since, for at
	// least as long and for hiccupGaps times its time per block.
	hiccup     = weakAfter / 2
	hiccupGaps = 8
	// slowAfter is that age for a peer that is slower by slowFactor than the one that
	// takes over. It is twice the intended duration of its queue.
	slowAfter  = 6 * time.Second
	slowFactor = 8
	// overtakenAfter is that age for a block whose peer answers later requests.
	overtakenAfter = 2 * time.Second
	// crawlFactor is how many times slower than the fastest peer a crawling peer is.
	crawlFactor = 16
	// maxStrikes bounds the pauses, to 64 s.
	maxStrikes = 6
)

// hasDelivered reports whether the peer has delivered a requested block.
func (s *standing) hasDelivered() bool { return s.rate.Total() > 0 }

// isDoubtful reports whether the peer is snubbed or has strikes, so that it gets one
// request at a time.
func (s *standing) isDoubtful() bool { return s.snubbed || s.strikes > 0 }

// isFirm reports whether the peer is not weak, apart from a choke.
func (s *standing) isFirm() bool { return s.hasDelivered() && !s.isDoubtful() && !s.crawls }

// strike records that the peer failed to deliver a block requested at time asked, if it
// had the request for a while. If gaveUp is set and the peer never delivered a block, the
// time does not matter.
func (s *standing) strike(now, asked mono.Time, gaveUp bool) {
	if now < s.retry || (now.Sub(max(asked, s.lastBlock)) < hiccup && (!gaveUp || s.hasDelivered())) {
		return
	}
	s.strikes = min(s.strikes+1, maxStrikes)
	s.retry = now.Add(time.Second << s.strikes)
}

// noteBlock records that a block requested at time asked has arrived.
func (s *standing) noteBlock(now, asked mono.Time) {
	s.gap = max(now.Sub(max(asked, s.lastBlock)), s.gap-s.gap/8)
	s.answered = max(s.answered, asked)
	s.lastBlock = now
	s.snubbed, s.strikes, s.retry, s.probes, s.probeAt = false, 0, 0, 0, 0
}

// noteProbe records a probe. The next one follows after a pause that doubles.
func (s *standing) noteProbe(now mono.Time) {
	s.probeAt = now.Add(time.Second << min(s.probes, maxStrikes))
	s.probes++
}

// mayProbe reports whether the peer still has to prove itself and may be probed now.
func (s *standing) mayProbe(now mono.Time) bool {
	return (!s.hasDelivered() || s.isDoubtful()) && now >= s.probeAt
}

// snubTimeout returns how long the peer may send nothing before it is snubbed. It depends on
// the peer's own pace and on bestGap, the time per block of the fastest peer (0 means
// unknown).
func (s *standing) snubTimeout(bestGap time.Duration) time.Duration {
	others := patienceGaps * bestGap
	return min(max(patienceGaps*s.gap, minPatience, others), max(maxPatience, others))
}

// isSlower reports whether the peer is far slower than another.
func (s *standing) isSlower(now mono.Time, than *standing) bool {
	return s.rate.Rate(now)*slowFactor < than.rate.Rate(now)
}

// overdue returns a time: taker may take over blocks that were requested from this peer
// before it. idle says that taker has nothing else to do. A block is never overdue within
// twice the time that taker takes for one, because the peer may well deliver it by then.
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
