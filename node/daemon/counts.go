package daemon

import "time"

// Counts is what a daemon has besides torrents.
type Counts struct {
	Publications, Follows int
	// Opened says that the publications and follows on record are open. Until then, not all of them
	// are counted.
	Opened bool
}

// Counts returns the current numbers. Unlike Publications and Follows, it waits for nothing.
func (d *Daemon) Counts() Counts {
	p := &d.publications
	if p.publisher == nil {
		return Counts{Opened: true}
	}
	c := Counts{Publications: p.publisher.Len()}
	select {
	case <-p.restored:
		c.Opened = true
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Follows = len(p.follows)
	return c
}

// LastSpace returns the space in the download folder as it was measured last, and when that was. ok is false before
// the first measurement. It never waits for the disk: it starts the next measurement, whose result a later
// call returns.
func (d *Daemon) LastSpace() (space Space, at time.Time, ok bool) {
	s := &d.spaces
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.measure(d.Dir(), d.allowed())
	return m.last, m.at, !m.at.IsZero() && m.err == nil
}
