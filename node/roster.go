package node

import (
	"iter"
	"slices"
)

// A roster is the set of a node's torrents, in the order in which they were added. Adding
// and removing a torrent takes constant time on average.
type roster struct {
	slots []*Torrent // nil where a torrent was removed; Torrent.slot is its index
	count int

	archives int // torrents of Archives in slots
}

// rosterSlack is the number of empty slots that is always allowed. Beyond it, the slots are
// compacted when more than half are empty.
const rosterSlack = 64

// add adds a torrent that is not in the roster.
func (r *roster) add(t *Torrent) {
	t.slot = len(r.slots)
	r.slots = append(r.slots, t)
	r.count++
	if t.isArchive() {
		r.archives++
	}
}

// remove removes a torrent. It does nothing if the torrent is not in the roster.
func (r *roster) remove(t *Torrent) {
	if t.slot >= len(r.slots) || r.slots[t.slot] != t {
		return
	}
	r.slots[t.slot] = nil
	r.count--
	if t.isArchive() {
		r.archives--
	}
	if len(r.slots) > 2*r.count+rosterSlack {
		r.slots = r.list()
		for i, t := range r.slots {
			t.slot = i
		}
	}
}

// listed returns the number of torrents that are not those of Archives.
func (r *roster) listed() int { return r.count - r.archives }

// all returns the torrents in order.
func (r *roster) all() iter.Seq[*Torrent] {
	return func(yield func(*Torrent) bool) {
		for _, t := range r.slots {
			if t != nil && !yield(t) {
				return
			}
		}
	}
}

// list returns the torrents in a new slice.
func (r *roster) list() []*Torrent {
	return slices.AppendSeq(make([]*Torrent, 0, r.count), r.all())
}
