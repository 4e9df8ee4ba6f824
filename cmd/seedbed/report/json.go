package report

import (
	"io"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	objects "seedbed/node/view"
)

// JSON prints one object per line. Package node/view defines the objects.
type JSON struct {
	mu        sync.Mutex
	w         *objects.Writer
	nodes     int // last DHT printed
	late      int // last Announcing printed
	stretched bool
	peers     map[id.ID]objects.Peers // last printed
	progress  map[id.ID]objects.Progress
}

// NewJSON returns a reporter that prints JSON lines to w.
func NewJSON(w io.Writer) *JSON {
	return &JSON{w: objects.NewWriter(EscapeJSON(w)), nodes: -1, peers: map[id.ID]objects.Peers{}, progress: map[id.ID]objects.Progress{}}
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

// Event prints an event.
func (r *JSON) Event(e node.Event) {
	if e.Kind == node.Removed {
		r.forget(e.InfoHash)
	}
	r.put(objects.Event(&e, Hint))
}

// forget drops what was printed about a torrent.
func (r *JSON) forget(torrent id.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, torrent)
	delete(r.progress, torrent)
}

// Every implements Reporter.
func (*JSON) Every() time.Duration { return time.Second }

// Tick prints what has changed since the last tick.
func (r *JSON) Tick(n *node.Node, ts []*node.Torrent) {
	if nodes := n.DHTNodes(); nodes != r.nodes && !(r.nodes < 0 && nodes == 0) {
		r.nodes = nodes
		r.put(&objects.DHT{Nodes: nodes})
	}
	if a := n.Announcing(); a.Torrents > 0 && (a.Late != r.late || a.Stretched != r.stretched) {
		r.late, r.stretched = a.Late, a.Stretched
		r.put(&objects.Announcing{Torrents: a.Torrents, Late: a.Late, Interval: a.Interval.Seconds()})
	}
	for _, t := range ts {
		r.torrent(t)
	}
}

// torrent prints what has changed in a torrent.
func (r *JSON) torrent(t *node.Torrent) {
	ih, s := t.InfoHash(), t.Snapshot()
	head := objects.NewHead(ih, time.Now())
	if p := objects.PeersOf(&s); p != r.peers[ih] {
		r.peers[ih] = p
		p.Head = head
		r.put(&p)
	}
	if !s.Metadata {
		return
	}
	p := objects.ProgressOf(&s)
	if s.State == node.SeedingState && p == r.progress[ih] {
		return // print nothing for idle seeds, which can be thousands
	}
	r.progress[ih] = p
	p.Head = head
	r.put(&p)
}

// Ready implements Reporter.
func (r *JSON) Ready([]*node.Torrent) { r.put(&objects.Ready{}) }

// Streaming implements Reporter.
func (r *JSON) Streaming(t *node.Torrent, files []Stream) {
	for _, f := range files {
		r.put(&objects.Streaming{Head: objects.NewHead(t.InfoHash(), time.Now()), File: f.Number, Path: f.Path, Size: f.Size, URL: f.URL})
	}
}

// Fail implements Reporter.
func (r *JSON) Fail(err error) {
	r.put(&objects.Error{Fault: objects.Fault{Error: err.Error(), Hint: Hint(err)}})
}

// Close implements Reporter.
func (r *JSON) Close() {}
