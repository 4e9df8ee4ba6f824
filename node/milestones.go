package node

import (
	"sync"
	"sync/atomic"
)

// A milestone is a state that a torrent reaches once and does not leave.
type milestone uint8

const (
	isNamed     milestone = iota // the metadata is known
	isDone                       // it has been complete
	isAnnounced                  // a DHT node has accepted an announce
	isStopping                   // it is leaving the node
	hasEnded                     // it has left the node and everything is saved
	isOutdated                   // its files may have changed; see Outdate
	isArchive                    // it is that of an Archive

	numMilestones
)

// milestones records which milestones a torrent has reached. A channel is made only when a
// caller waits for a milestone: five channels take 480 bytes, and most torrents of a large
// session have no caller that waits.
type milestones struct {
	reached atomic.Uint32 // bit 1<<x for milestone x; changed with mu held
	mu      sync.Mutex
	waits   *[numMilestones]chan struct{} // nil until a caller waits
}

// has reports whether the milestone is reached.
func (m *milestones) has(x milestone) bool { return m.reached.Load()&(1<<x) != 0 }

// reach records that the milestone is reached, and reports whether it is new.
func (m *milestones) reach(x milestone) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has(x) {
		return false
	}
	m.reached.Store(m.reached.Load() | 1<<x)
	if m.waits != nil && m.waits[x] != nil {
		close(m.waits[x])
	}
	return true
}

// wait returns a channel that is closed when the milestone is reached. All calls before
// that return the same channel.
func (m *milestones) wait(x milestone) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has(x) {
		return closedChannel
	}
	if m.waits == nil {
		m.waits = new([numMilestones]chan struct{})
	}
	if m.waits[x] == nil {
		m.waits[x] = make(chan struct{})
	}
	return m.waits[x]
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
