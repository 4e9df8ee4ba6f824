package transmission

import (
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
)

const (
	// recentWindow is how long a torrent counts as recently active. Clients poll more often.
	recentWindow = time.Minute
	// markEvery is the time between two marks.
	markEvery = time.Second
)

// recent finds the torrents that have changed within the recentWindow. Events are in the change log
// of the node; recent remembers its position at intervals. The traffic of a torrent is not an event,
// so each request of torrents looks for it.
type recent struct {
	mu    sync.Mutex
	marks []mark                      // oldest first; only the last one before the window is kept
	busy  map[*node.Torrent]time.Time // when a torrent last had traffic
}

// mark is the position of the change log at a time.
type mark struct {
	at     time.Time
	cursor node.Cursor
}

// start makes recent ignore everything that happened before.
func (r *recent) start(n *node.Node) {
	r.marks = []mark{{cursor: n.Cursor()}}
	r.busy = map[*node.Torrent]time.Time{}
}

// look records which torrents have traffic now.
func (r *recent) look(n *node.Node, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.marks[len(r.marks)-1].at) < markEvery {
		return
	}
	r.marks = append(r.marks, mark{now, n.Cursor()})
	for len(r.marks) > 1 && now.Sub(r.marks[1].at) >= recentWindow {
		r.marks = r.marks[1:]
	}
	for _, t := range n.Active() {
		if s := t.Snapshot(); s.Connected > 0 || s.DownRate > 0 || s.UpRate > 0 || s.ToCheck > 0 {
			r.busy[t] = now
		}
	}
	for t, last := range r.busy {
		if now.Sub(last) >= recentWindow {
			delete(r.busy, t)
		}
	}
}

// since returns the torrents that have changed or had traffic within the window, in no order, and
// the infohashes of those that were removed.
func (r *recent) since(n *node.Node) (changed []*node.Torrent, removed []id.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := n.Changes(r.marks[0].cursor)
	for _, hash := range c.Changed {
		if t := n.Torrent(hash); t != nil {
			if _, isBusy := r.busy[t]; !isBusy {
				changed = append(changed, t)
			}
		}
	}
	for t := range r.busy {
		if n.Torrent(t.InfoHash()) == t {
			changed = append(changed, t)
		}
	}
	return changed, c.Removed
}
