package node

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

// naiveLog remembers every event and removal, and looks through all of them.
type naiveLog struct{ all []naiveChange }

type naiveChange struct {
	logEntry
	removed bool
}

// since returns what the last event or removal of each torrent after c was, the latest last.
func (l *naiveLog) since(c Cursor) (changed, removed []id.ID) {
	last := map[id.ID]naiveChange{}
	for _, x := range l.all {
		last[x.torrent] = x
	}
	list := slices.SortedFunc(func(yield func(naiveChange) bool) {
		for _, x := range last {
			if x.at > c && !yield(x) {
				return
			}
		}
	}, func(a, b naiveChange) int { return cmp.Compare(a.at, b.at) })
	for _, x := range list {
		if x.removed {
			removed = append([]id.ID{x.torrent}, removed...) // the latest first
		} else {
			changed = append(changed, x.torrent)
		}
	}
	return changed, removed
}

// The change log returns what a log that forgets nothing returns, from every cursor, and reads
// no more events than there were after it.
func TestTheChangeLogAgreesWithItsTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l changeLog
		var twin naiveLog
		l.start(time.Now())
		begin := l.last
		present := map[int]bool{}
		for range rapid.IntRange(0, 2000).Draw(rt, "events") {
			i := rapid.IntRange(0, 30).Draw(rt, "torrent")
			removed := present[i] && rapid.IntRange(0, 3).Draw(rt, "removed") == 0
			present[i] = !removed
			l.note(torrentNumber(i), removed)
			twin.all = append(twin.all, naiveChange{logEntry{torrentNumber(i), l.last}, removed})
			if len(l.events) > 31+31/4+outdatedSlack {
				rt.Fatalf("%d events are kept of 31 torrents", len(l.events))
			}
		}
		c := begin + Cursor(rapid.IntRange(0, int(l.last-begin)).Draw(rt, "cursor"))
		got := l.since(c)
		changed, removed := twin.since(c)
		if got.Resync || got.Next != l.last || !slices.Equal(got.Changed, changed) || !slices.Equal(got.Removed, removed) {
			rt.Fatalf("from %d: %+v, not %v and %v", c, got, changed, removed)
		}
		if read := len(after(l.events, c)) + len(after(l.removed, c)); read > int(l.last-c) {
			rt.Fatalf("%d events were read, there were %d", read, l.last-c)
		}
		if all := l.since(0); !all.Resync || len(all.Changed) != len(l.latest) {
			rt.Fatalf("a resync names %d of %d", len(all.Changed), len(l.latest))
		}
	})
}

// The events of torrents that are added at the same time leave nothing behind that has to be removed later.
func TestEventsOfAnAddTakeOnePlace(t *testing.T) {
	var l changeLog
	l.start(time.Now())
	const atOnce, each = 4, 5
	for i := range 100 {
		for range each {
			for j := range atOnce {
				l.note(torrentNumber(atOnce*i+j), false)
			}
		}
	}
	if len(l.events) != len(l.latest) || len(l.latest) != 100*atOnce {
		t.Errorf("%d torrents have %d entries", len(l.latest), len(l.events))
	}
}

// Asking for changes when there are none allocates nothing, however many torrents there are.
func TestNoChangesCostNothing(t *testing.T) {
	n := bareNode()
	for i := range 10_000 {
		n.Emit(Event{Kind: Added, InfoHash: torrentNumber(i)})
	}
	now := n.Changes(0).Next
	if got := testing.AllocsPerRun(10, func() {
		if c := n.Changes(now); c.Resync || c.Changed != nil || c.Removed != nil || c.Next != now {
			t.Errorf("%+v", c)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if read := len(after(n.events.log.events, now)); read != 0 {
		t.Errorf("%d events were read", read)
	}
}
