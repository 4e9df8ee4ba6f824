package report

import (
	"io"
	"iter"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/lifecycle"
	objects "seedbed/node/view"
)

// JSON prints one object per line. Package node/view defines the objects.
type JSON struct {
	mu        sync.Mutex
	w         *objects.Writer
	lines     *batcher // what w writes to
	nodes     int      // last DHT printed
	late      int      // last Announcing printed
	stretched bool
	peers     map[id.ID]objects.Peers // last printed
	progress  map[id.ID]objects.Progress
	parked    map[id.ID]struct{} // printed since they were parked, and not in peers and progress
}

// NewJSON returns a reporter that prints JSON lines to w.
func NewJSON(w io.Writer) *JSON {
	lines := &batcher{w: w}
	return &JSON{w: objects.NewWriter(EscapeJSON(lines)), lines: lines, nodes: -1, peers: map[id.ID]objects.Peers{}, progress: map[id.ID]objects.Progress{}, parked: map[id.ID]struct{}{}}
}

// Put prints an object.
func (r *JSON) Put(o objects.Object) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.Write(o, time.Now())
}

// put is like Put but ignores errors: the signal handling of the command notices when the
// reader is gone.
func (r *JSON) put(o objects.Object) { _ = r.Put(o) }

// Hold implements Holder.
func (r *JSON) Hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines.isHeld = true
	return r.release
}

func (r *JSON) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines.isHeld = false
	_ = r.lines.flush() // see put
}

// Event prints an event.
func (r *JSON) Event(e Event) {
	if gone, ok := e.Object.(*objects.Removed); ok {
		if torrent, err := id.ParseHex(gone.InfoHash); err == nil {
			r.forget(torrent)
		}
	}
	if e.Object != nil { // node.Changed has none
		r.put(e.Object)
	}
}

// forget drops what was printed about a torrent.
func (r *JSON) forget(torrent id.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, torrent)
	delete(r.progress, torrent)
	delete(r.parked, torrent)
}

// Every implements Reporter.
func (*JSON) Every() time.Duration { return time.Second }

// Tick prints what has changed since the last tick.
func (r *JSON) Tick(n Node, ts iter.Seq[Torrent]) {
	if nodes := n.DHTNodes(); nodes != r.nodes && !(r.nodes < 0 && nodes == 0) {
		r.nodes = nodes
		r.put(&objects.DHT{Nodes: nodes})
	}
	if a := n.Announcing(); a.Torrents > 0 && (a.Late != r.late || a.Stretched != r.stretched) {
		r.late, r.stretched = a.Late, a.Stretched
		r.put(&objects.Announcing{Torrents: a.Torrents, Late: a.Late, Interval: a.Interval.Seconds()})
	}
	for t := range ts {
		r.torrent(t)
	}
}

// torrent prints what has changed in a torrent.
func (r *JSON) torrent(t Torrent) {
	ih := t.InfoHash()
	isParked := t.Phase() == lifecycle.Parked
	if _, printed := r.parked[ih]; printed && isParked {
		return // there can be 100,000 of them
	}
	s := t.Snapshot()
	r.changes(ih, &s)
	delete(r.parked, ih)
	if isParked && t.Phase() == lifecycle.Parked {
		r.forget(ih)
		r.parked[ih] = struct{}{}
	}
}

// changes prints what a snapshot has that was not printed before.
func (r *JSON) changes(ih id.ID, s *node.Snapshot) {
	head := objects.NewHead(ih, time.Now())
	if p := objects.PeersOf(s); p != r.peers[ih] {
		r.peers[ih] = p
		p.Head = head
		r.put(&p)
	}
	if !s.Metadata {
		return
	}
	p := objects.ProgressOf(s)
	if s.State == lifecycle.Seeding && p == r.progress[ih] {
		return // print nothing for idle seeds, which can be thousands
	}
	r.progress[ih] = p
	p.Head = head
	r.put(&p)
}

// Ready implements Reporter.
func (r *JSON) Ready(int) { r.put(&objects.Ready{}) }

// Streaming implements Reporter.
func (r *JSON) Streaming(t Torrent, files []Stream) {
	for _, f := range files {
		r.put(&objects.Streaming{Head: objects.NewHead(t.InfoHash(), time.Now()), File: f.Number, Path: f.Path, Size: f.Size, URL: f.URL})
	}
}

// Fail implements Reporter.
func (r *JSON) Fail(err error) {
	r.put(&objects.Error{Fault: objects.FaultOf(err, Hint)})
}

// Close implements Reporter.
func (r *JSON) Close() {}
