package pins

import (
	"time"

	"seedbed/internal/id"
	"seedbed/magnet"
)

// State says what a pin does.
type State string

const (
	Searching State = "searching"  // for the item, or for peers with the metadata
	Fetching  State = "fetching"   // the newest version
	Held      State = "held"       // the newest version that is known is complete and seeded
	OverQuota State = "over_quota" // the newest version exceeds a quota; an earlier one may be held
	Elsewhere State = "elsewhere"  // this node publishes, follows or seeds it without the pin
	Failed    State = "failed"     // it cannot be followed or added now; it is tried again
)

// Status describes a pin.
type Status struct {
	ID     id.ID // the target of the item in the DHT, or the infohash
	Link   *magnet.Link
	Name   string
	Dir    string
	Quota  int64 // bytes; 0 means none of its own
	Own    bool  // pinned by the user
	Lists  []id.ID
	Added  time.Time
	State  State
	Reason string // of OverQuota, Elsewhere and Failed

	Size     int64  // bytes that count towards the quotas
	Seq      int64  // of the version that is held; 0 if there is none
	Newest   int64  // the highest number that is known; 0 if there is none
	InfoHash string // of what is held or being fetched; "" if that is not known
}

// Pins returns all pins, the oldest first.
func (m *Manager) Pins() []Status {
	m.mu.Lock()
	all := m.sorted()
	m.mu.Unlock()
	list := make([]Status, len(all))
	for i, p := range all {
		list[i] = m.status(p)
	}
	return list
}

// Has reports whether a link with that id is pinned or subscribed to.
func (m *Manager) Has(of id.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pins[of] != nil || m.listOf(of) != nil
}

// status returns the Status of a pin.
func (m *Manager) status(p *pin) Status {
	m.mu.Lock()
	f, t := p.follower, p.torrent
	s := Status{ID: p.id, Link: p.link, Name: p.Name, Dir: p.Dir, Quota: p.Quota, Own: p.Own, Added: p.Added, Size: p.Charge.total(), State: Searching}
	for _, l := range m.lists {
		if l.wants[p.id] {
			s.Lists = append(s.Lists, l.id)
		}
	}
	refused, failed := p.refused, p.failed
	m.mu.Unlock()
	switch {
	case f != nil:
		d := f.Describe()
		s.Seq, s.Newest, s.InfoHash = d.Seq, d.Newest, d.InfoHash
		if seq, next := f.Next(); next != nil {
			s.State, s.Newest = Fetching, seq
			if s.InfoHash == "" {
				s.InfoHash = next.InfoHash().String()
			}
		} else if d.Seq > 0 {
			s.State = Held
		}
	case t != nil:
		s.InfoHash = t.InfoHash().String()
		if t.IsComplete() {
			s.State = Held
		} else if t.Info() != nil {
			s.State = Fetching
		}
	}
	switch {
	case failed != nil:
		s.State, s.Reason = Failed, failed.Error()
		if _, is := failed.(elsewhere); is {
			s.State = Elsewhere
		}
	case refused != nil:
		s.State, s.Reason = OverQuota, refused.Error()
	}
	return s
}
