package announce

import (
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Counts are counters since the start.
type Counts struct {
	Sent      uint64 // packets: get_peers and announce_peer queries
	Answered  uint64 // of these, answered
	Failed    uint64 // and unanswered or refused
	Visits    uint64 // infohashes visited
	Fruitless uint64 // of these, announced to nobody
}

// Stats is a snapshot of a scheduler.
type Stats struct {
	Infohashes int
	Unheard    int           // not announced yet
	Visiting   int           // being announced right now
	Urgent     int           // to be announced out of turn: new, or failed before
	Late       int           // announced longer ago than Config.Interval
	Cost       float64       // packets of an announce, lately
	Rate       float64       // packets a second at most, now
	Interval   time.Duration // in which all come round
	Overloaded bool          // Interval is longer than Config.Interval
	Offline    bool          // nobody answers
	Window     int           // live nodes in the window
	Counts
}

// Stats is the state now.
func (s *Scheduler) Stats(now mono.Time) Stats {
	st := Stats{
		Infohashes: s.all.n, Unheard: s.all.n - s.announced,
		Visiting: len(s.active), Urgent: s.fresh.n,
		Cost: s.cost, Rate: s.pace(now), Interval: s.cycle(),
		Overloaded: s.cycle() > s.cfg.Interval,
		Offline:    s.Offline(),
		Window:     len(s.book.nodes),
		Counts:     s.count,
	}
	s.Late(now, func(id.ID) bool { st.Late++; return true })
	return st
}
