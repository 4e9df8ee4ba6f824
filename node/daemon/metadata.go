package daemon

import (
	"container/list"
	"time"
)

// A magnet link that waits for its turn has neither a name nor a size, so the queue lets it fetch its
// metadata: fetchedAtOnce of them at the same time, beside the downloads that run. As a new one is
// likely to have peers, it comes before those that have tried. One that finds nothing passes its place
// on, as soon as another one waits for it, and tries again after all others.
const (
	// fetchedAtOnce is small because a torrent without metadata asks many DHT nodes and dials peers,
	// which the downloads want to do too. Metadata takes seconds where there are peers at all.
	fetchedAtOnce = 8
	// fetchTurn is how long a torrent without a connected peer keeps its place, and fetchLimit how
	// long any other does.
	fetchTurn  = time.Minute
	fetchLimit = 5 * time.Minute
)

// fetches decides which torrents fetch their metadata. Each change costs a constant time.
type fetches struct {
	running list.List // of *queued, the one that began first at the front
	fresh   list.List // have not tried
	retries list.List // have tried
}

// fetching is the part of a queued torrent that fetches uses.
type fetching struct {
	in    *list.List // nil: it has its metadata, or does not wait
	at    *list.Element
	began time.Time // of its turn
	tried bool
}

// moveTo moves x to the end of a list; nil means none.
func (f *fetches) moveTo(x *queued, to *list.List) {
	m := &x.fetching
	if m.in != nil {
		m.in.Remove(m.at)
	}
	if m.in, m.at = to, nil; to != nil {
		m.at = to.PushBack(x)
	}
}

// want records whether a torrent waits for its turn without metadata. set starts and stops fetching.
func (f *fetches) want(x *queued, is bool, set func(x *queued, on bool)) {
	m := &x.fetching
	switch {
	case is == (m.in != nil):
	case !is:
		if m.in == &f.running {
			set(x, false)
		}
		f.moveTo(x, nil)
	case m.tried:
		f.moveTo(x, &f.retries)
	default:
		f.moveTo(x, &f.fresh)
	}
}

// next returns the torrent that begins next, or nil.
func (f *fetches) next() *queued {
	for _, l := range []*list.List{&f.fresh, &f.retries} {
		if e := l.Front(); e != nil {
			return e.Value.(*queued)
		}
	}
	return nil
}

// balance starts torrents while places are free, and passes on the places of those whose turn has
// ended. hasPeers reports whether a torrent has a connected peer.
func (f *fetches) balance(now time.Time, hasPeers func(*queued) bool, set func(x *queued, on bool)) {
	for {
		x := f.next()
		if x == nil {
			return
		}
		if f.running.Len() >= fetchedAtOnce && !f.passOn(x, now, hasPeers, set) {
			return
		}
		x.fetching.began, x.fetching.tried = now, true
		f.moveTo(x, &f.running)
		set(x, true)
	}
}

// passOn stops a torrent whose turn has ended in favour of x, if there is one.
func (f *fetches) passOn(x *queued, now time.Time, hasPeers func(*queued) bool, set func(x *queued, on bool)) bool {
	for e := f.running.Front(); e != nil; e = e.Next() {
		y := e.Value.(*queued)
		spent := now.Sub(y.fetching.began)
		if spent < fetchTurn {
			return false
		}
		if spent >= fetchLimit || !hasPeers(y) {
			set(y, false)
			f.moveTo(y, &f.retries)
			return true
		}
	}
	return false
}
