package engine

import (
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

const (
	// maxLayersAsked requests for hashes are on order at one peer.
	maxLayersAsked = 4
	// hashTimeout without an answer, a peer is passed over for hashPause.
	hashTimeout = 8 * time.Second
	hashPause   = 10 * time.Second
)

// layerPhase collects the piece layers of a torrent that is v2 alone (BEP 52):
// without them no piece can be proven, so the metadata is not complete before.
type layerPhase struct {
	info   *metainfo.Info
	layers *metainfo.Layers // nil: nothing is lacking
	peers  []*layerPeer     // in the order they came
	by     []Conn           // at whom each request is on order
	next   int              // before it, all are on order or answered
}

// layerPeer is what the layer phase knows of a peer.
type layerPeer struct {
	conn  Conn
	asked []int     // requests on order, as numbers of layerPhase.by
	at    mono.Time // when it was asked or answered last
	pause mono.Time // not asked until then
}

// layerSink sends the requests of the layer phase.
type layerSink interface {
	requestHashes(Conn, metainfo.HashRequest)
}

// begin begins the phase for a torrent that lacks layers.
func (y *layerPhase) begin(info *metainfo.Info) {
	*y = layerPhase{info: info, layers: metainfo.NewLayers(info)}
	y.by = make([]Conn, len(y.layers.Asks()))
}

// isOpen reports whether layers are lacking.
func (y *layerPhase) isOpen() bool { return y.layers != nil }

// join adds a peer, if layers are lacking.
func (y *layerPhase) join(conn Conn, p *layerPeer) {
	if y.isOpen() {
		*p = layerPeer{conn: conn}
		y.peers = append(y.peers, p)
	}
}

// leave forgets a peer that is gone. One that never joined is passed over.
func (y *layerPhase) leave(p *layerPeer) {
	if i := slices.Index(y.peers, p); i >= 0 {
		y.peers = slices.Delete(y.peers, i, i+1)
	}
	y.free(p)
}

// free frees what p was asked for.
func (y *layerPhase) free(p *layerPeer) {
	for _, k := range p.asked {
		y.by[k] = 0
		y.next = min(y.next, k)
	}
	p.asked = nil
}

// ask keeps the peers busy with requests for layers.
func (y *layerPhase) ask(now mono.Time, sink layerSink) {
	for _, p := range y.peers {
		for len(p.asked) < maxLayersAsked && now >= p.pause && y.next < len(y.by) {
			k := y.next
			y.next++
			if y.by[k] != 0 || y.layers.Got(k) {
				continue
			}
			y.by[k] = p.conn
			if len(p.asked) == 0 {
				p.at = now
			}
			p.asked = append(p.asked, k)
			sink.requestHashes(p.conn, y.layers.Asks()[k])
		}
	}
}

// A layerResult is what became of an answer of a peer.
type layerResult struct {
	wasAsked bool
	isWrong  bool           // the hashes do not agree with the root
	info     *metainfo.Info // the metadata, if no layer is lacking any more
}

// received takes a peer's answer to q: hashes, or its refusal.
func (y *layerPhase) received(now mono.Time, p *layerPeer, q metainfo.HashRequest, rejects bool, hashes []byte) (r layerResult) {
	i := slices.IndexFunc(p.asked, func(k int) bool { return y.layers.Asks()[k] == q })
	if i < 0 {
		return r // it came too late
	}
	k := p.asked[i]
	r.wasAsked = true
	y.by[k] = 0
	p.asked = slices.Delete(p.asked, i, i+1)
	p.at = now
	switch {
	case rejects:
		p.pause = now.Add(hashPause)
		y.next = min(y.next, k)
	case !y.layers.Take(k, hashes):
		r.isWrong = true
		y.next = min(y.next, k)
	case y.layers.Finish():
		r.info = y.info
		for _, p := range y.peers {
			p.asked = nil
		}
		*y = layerPhase{}
	}
	return r
}

// upkeep is done once a second: peers that are silent are passed over.
func (y *layerPhase) upkeep(now mono.Time) {
	for _, p := range y.peers {
		if len(p.asked) > 0 && now.Sub(p.at) > hashTimeout {
			y.free(p)
			p.pause = now.Add(hashPause)
		}
	}
}
