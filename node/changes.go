package node

import (
	"cmp"
	"slices"
	"time"

	"seedbed/internal/id"
)

// A Cursor is a position in the change log. Zero is the beginning. A cursor from an earlier
// run of the program gets a Resync.
type Cursor int64

// Changes lists the torrents that changed after a Cursor.
type Changes struct {
	Next Cursor // the cursor for the next call
	// Resync is set if the cursor is too old or from another run. Changed then lists every
	// torrent, and the caller drops all torrents that are not in it.
	Resync  bool
	Changed []id.ID // torrents that were added or had an event, in the order of their last event
	Removed []id.ID // torrents that have left the node
}

// Changes returns which torrents had events after a cursor, and which were removed. Changes of
// rates and progress are not events: see Torrent.Snapshot.
func (n *Node) Changes(since Cursor) Changes {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	return n.events.log.since(since)
}

// Cursor returns the current position in the change log. A caller that then lists the torrents
// and asks for the changes since misses none.
func (n *Node) Cursor() Cursor {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	return n.events.log.last
}

// maxRemoved is the minimum number of removals that the log remembers; it remembers up to
// twice as many. A cursor from before the oldest of them gets a Resync.
const maxRemoved = 4096

// A changeLog lists the events of torrents by position. Only the last event of each torrent
// counts. Noting an event takes constant time, and reading takes time proportional to the
// number of events after the cursor.
type changeLog struct {
	floor   Cursor // older cursors get a Resync
	last    Cursor
	latest  map[id.ID]Cursor // the last event of each torrent of the node
	events  []logEntry       // oldest first; an event that is not in latest is outdated
	removed []logEntry       // the last removals, oldest first
}

// logEntry is an event or the removal of a torrent.
type logEntry struct {
	torrent id.ID
	at      Cursor
}

// outdatedSlack is the number of outdated events that the log may keep, in addition to one
// for every four torrents.
const outdatedSlack = 256

// start sets the first position to the time in microseconds. It is therefore later than
// every cursor of an earlier run that had fewer than a million events a second.
func (l *changeLog) start(now time.Time) {
	l.floor = Cursor(now.UnixMicro())
	l.last = l.floor
	l.latest = map[id.ID]Cursor{}
}

// has reports whether the torrent was added and not removed.
func (l *changeLog) has(torrent id.ID) bool {
	_, ok := l.latest[torrent]
	return ok
}

// note records an event of a torrent.
func (l *changeLog) note(torrent id.ID, removed bool) {
	l.last++
	now := logEntry{torrent, l.last}
	if removed {
		delete(l.latest, torrent)
		l.noteRemoval(now)
	} else {
		l.latest[torrent] = now.at
		l.dropRecent(torrent)
		l.events = append(l.events, now)
	}
	if len(l.events) > len(l.latest)+len(l.latest)/4+outdatedSlack {
		l.events = slices.DeleteFunc(l.events, l.isOutdated)
	}
}

// dropRecent removes an event of the torrent if it is among the last few. A torrent that is added or restored has
// several at once, and removing them later needs a lookup in latest for each event.
func (l *changeLog) dropRecent(torrent id.ID) {
	const few = 8
	for i := len(l.events) - 1; i >= max(0, len(l.events)-few); i-- {
		if l.events[i].torrent == torrent {
			l.events = slices.Delete(l.events, i, i+1)
			return
		}
	}
}

func (l *changeLog) noteRemoval(r logEntry) {
	if len(l.removed) == 2*maxRemoved {
		l.floor = l.removed[maxRemoved-1].at
		l.removed = slices.Clone(l.removed[maxRemoved:])
	}
	l.removed = append(l.removed, r)
}

// isOutdated reports whether the torrent of an event has had a later one or was removed.
func (l *changeLog) isOutdated(e logEntry) bool { return l.latest[e.torrent] != e.at }

// after returns the part of a list that is later than a cursor.
func after(list []logEntry, c Cursor) []logEntry {
	i, _ := slices.BinarySearchFunc(list, c+1, func(e logEntry, at Cursor) int { return cmp.Compare(e.at, at) })
	return list[i:]
}

func (l *changeLog) since(c Cursor) Changes {
	r := Changes{Next: l.last, Resync: c < l.floor || c > l.last}
	if r.Resync {
		c = 0
		r.Changed = make([]id.ID, 0, len(l.latest))
	}
	for _, e := range after(l.events, c) {
		if !l.isOutdated(e) {
			r.Changed = append(r.Changed, e.torrent)
		}
	}
	if r.Resync {
		return r
	}
	removed := after(l.removed, c)
	seen := make(map[id.ID]struct{}, len(removed))
	for _, x := range slices.Backward(removed) {
		_, isBack := l.latest[x.torrent] // the torrent was added again
		if _, isSeen := seen[x.torrent]; !isBack && !isSeen {
			seen[x.torrent] = struct{}{}
			r.Removed = append(r.Removed, x.torrent)
		}
	}
	return r
}
