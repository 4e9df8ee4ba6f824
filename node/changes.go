package node

import (
	"slices"
	"time"

	"seedbed/internal/id"
)

// A Cursor is a position in the change log. Zero is the beginning. A cursor from an earlier
// run of the program gets a Resync.
type Cursor int64

// Changes lists what happened after a Cursor.
type Changes struct {
	Next Cursor // the cursor for the next call
	// Resync is set if the cursor is too old or from another run. Changed then lists every
	// torrent, and the caller drops all torrents that are not in it.
	Resync  bool
	Changed []id.ID // torrents that were added or had an event, the latest last
	Removed []id.ID // torrents that have left the node
}

// Changes returns which torrents had events after a cursor, and which were removed. Changes of
// rates and progress are not events: see Torrent.Snapshot.
func (n *Node) Changes(since Cursor) Changes {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	return n.events.log.since(since)
}

// maxRemoved is how many removed torrents the log keeps at least; it keeps up to twice as many.
// A cursor from before the oldest of them gets a Resync.
const maxRemoved = 4096

// A changeLog holds the position of the last event of each torrent. The zero value is ready to use.
type changeLog struct {
	floor   Cursor // older cursors get a Resync
	last    Cursor
	changed map[id.ID]Cursor
	removed []removal // oldest first
}

type removal struct {
	torrent id.ID
	at      Cursor
}

// start sets the first position to the time. It is therefore later than every cursor of an
// earlier run, as long as that run had less than a million events a second.
func (l *changeLog) start(now time.Time) {
	l.floor = Cursor(now.UnixMicro())
	l.last = l.floor
	l.changed = map[id.ID]Cursor{}
}

// note records an event of a torrent.
func (l *changeLog) note(torrent id.ID, removed bool) {
	l.last++
	if !removed {
		l.changed[torrent] = l.last
		return
	}
	delete(l.changed, torrent)
	if len(l.removed) == 2*maxRemoved {
		l.floor = l.removed[maxRemoved-1].at
		l.removed = slices.Clone(l.removed[maxRemoved:])
	}
	l.removed = append(l.removed, removal{torrent, l.last})
}

func (l *changeLog) since(c Cursor) Changes {
	r := Changes{Next: l.last, Resync: c < l.floor || c > l.last}
	for t, at := range l.changed {
		if r.Resync || at > c {
			r.Changed = append(r.Changed, t)
		}
	}
	slices.SortFunc(r.Changed, func(a, b id.ID) int { return int(l.changed[a] - l.changed[b]) })
	if r.Resync {
		return r
	}
	named := map[id.ID]struct{}{}
	for _, x := range slices.Backward(l.removed) {
		if x.at <= c {
			break
		}
		_, again := l.changed[x.torrent] // the torrent was added again
		if _, twice := named[x.torrent]; !again && !twice {
			named[x.torrent] = struct{}{}
			r.Removed = append(r.Removed, x.torrent)
		}
	}
	return r
}
