package lsd

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

const (
	// interval is the time between two announces of one torrent (BEP 14: "every 5 minutes").
	interval = 5 * time.Minute
	// minInterval is the least time between two announces of one torrent. The second announce
	// follows the first after this time, because wireless networks lose many multicast packets.
	minInterval = time.Minute
	// messageInterval is the average least time between two messages, and messageBurst how many
	// may follow each other at once. BEP 14 asks for no more than one announce a minute, to avoid
	// storms. Like libtorrent, we apply that to each torrent and not to all of them, so that a
	// new torrent is announced at once. In total we send at most 140 bytes a second.
	messageInterval = 10 * time.Second
	messageBurst    = 5
)

// schedule decides which torrents are announced when.
type schedule struct {
	torrents map[id.ID]*planned
	order    []*planned // those that are announced
	round    uint32     // of set
	messages rate.Bucket
	rng      *rand.Rand
}

// planned is the state of one torrent.
type planned struct {
	hash      id.ID
	due, last mono.Time
	times     int // how often it was announced
	round     uint32
}

func newSchedule(now mono.Time, rng *rand.Rand) *schedule {
	return &schedule{
		torrents: make(map[id.ID]*planned), rng: rng,
		messages: rate.NewBucket(now, 1/messageInterval.Seconds(), messageBurst),
	}
}

// set sets the torrents that are announced from now on. New ones are due at once.
func (s *schedule) set(now mono.Time, hashes []id.ID) {
	s.round++
	clear(s.order) // for the garbage collector
	s.order = s.order[:0]
	for _, h := range hashes {
		p := s.torrents[h]
		if p == nil {
			p = &planned{hash: h, due: now, round: s.round - 1}
			s.torrents[h] = p
		}
		if p.round != s.round { // otherwise it is listed twice
			p.round = s.round
			s.order = append(s.order, p)
		}
	}
	for h, p := range s.torrents {
		// One that was announced just now may come back.
		if p.round != s.round && (p.times == 0 || now.Sub(p.last) >= minInterval) {
			delete(s.torrents, h)
		}
	}
}

// hasten makes all torrents due as soon as allowed, because there is a network that has not
// received them.
func (s *schedule) hasten(now mono.Time) {
	for _, p := range s.order {
		if p.times > 0 {
			p.due = min(p.due, max(now, p.last.Add(minInterval)))
		}
	}
}

// wait returns how long no message may be sent.
func (s *schedule) wait(now mono.Time) time.Duration { return s.messages.Wait(now, 1) }

// restart makes all torrents due, as if none had been announced, because we are in another
// network.
func (s *schedule) restart(now mono.Time) {
	for _, p := range s.order {
		p.times, p.due = 0, now
	}
}

// next returns the torrents to announce now in one message, or nil.
//
// A message has only as many as needed to announce all torrents in time, because older clients
// (Transmission 3, aria2) read only the first infohash of a message. For the same reason their
// order is random. If there are more torrents than can be announced in time, the others follow
// later.
func (s *schedule) next(now mono.Time) (hashes []id.ID) {
	if s.wait(now) > 0 {
		return nil
	}
	var due []*planned
	for _, p := range s.order {
		if p.due <= now {
			due = append(due, p)
		}
	}
	if len(due) == 0 || !s.messages.Take(now, 1) {
		return nil
	}
	const inTime = int(interval / messageInterval) // messages
	n := min(max((len(s.order)+inTime-1)/inTime, 1), MaxHashes, len(due))
	slices.SortStableFunc(due, compare)
	for _, p := range due[:n] {
		p.times++
		p.last, p.due = now, now.Add(interval)
		if p.times == 1 {
			p.due = now.Add(minInterval)
		}
		hashes = append(hashes, p.hash)
	}
	s.rng.Shuffle(n, func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
	return hashes
}

// compare returns a negative number if p is announced before q, of two that are due: torrents that
// were never announced come first, and of these the ones that were added last. With very many
// torrents a round takes hours, and a new torrent does not wait for it.
func compare(p, q *planned) int {
	switch {
	case p.times == 0 && q.times == 0:
		return cmp.Compare(q.due, p.due)
	case p.times == 0:
		return -1
	case q.times == 0:
		return 1
	}
	return cmp.Compare(p.due, q.due)
}

// deadline returns when next may return something, or mono.Never.
func (s *schedule) deadline(now mono.Time) mono.Time {
	first := mono.Never
	for _, p := range s.order {
		first = min(first, p.due)
	}
	if first == mono.Never {
		return first
	}
	return max(first, now.Add(s.wait(now)))
}
