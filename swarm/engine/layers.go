package engine

import (
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

const (
	// maxLayersAsked is how many requests for hashes may be outstanding at one peer.
	maxLayersAsked = 4
	// A peer that does not answer within hashTimeout is not asked for hashPause.
	hashTimeout = 8 * time.Second
	hashPause   = 10 * time.Second
)

// layerPhase collects the piece layers of a v2-only torrent (BEP 52). Without them no
// piece can be verified, so the metadata is incomplete until then.
type layerPhase struct {
	info    *metainfo.Info
	layers  *metainfo.Layers // nil if no layer is missing
	peers   []*layerPeer     // in order of arrival
	askedOf []Conn           // the peer that each request was sent to; 0 if none
	next    int              // all requests before this one are outstanding or answered
}

// layerPeer is the layer phase's state of a peer.
type layerPeer struct {
	conn  Conn
	asked []int     // outstanding requests, as indexes into layerPhase.askedOf
	at    mono.Time // time of its last request or answer
	pause mono.Time // nothing is requested until then
}

// layerSink sends the requests of the layer phase.
type layerSink interface {
	requestHashes(Conn, metainfo.HashRequest)
}

// begin starts the phase for a torrent without layers.
func (y *layerPhase) begin(info *metainfo.Info) {
	*y = layerPhase{info: info, layers: metainfo.NewLayers(info)}
	y.askedOf = make([]Conn, len(y.layers.Requests()))
}

// isOpen reports whether layers are missing.
func (y *layerPhase) isOpen() bool { return y.layers != nil }

// join adds a peer, if layers are missing.
func (y *layerPhase) join(conn Conn, p *layerPeer) {
	if y.isOpen() {
		*p = layerPeer{conn: conn}
		y.peers = append(y.peers, p)
	}
}

// leave removes a peer. A peer that never joined is ignored.
func (y *layerPhase) leave(p *layerPeer) {
	if i := slices.Index(y.peers, p); i >= 0 {
		y.peers = slices.Delete(y.peers, i, i+1)
	}
	y.freeRequests(p)
}

// freeRequests returns the requests of p, so that other peers can be asked.
func (y *layerPhase) freeRequests(p *layerPeer) {
	for _, k := range p.asked {
		y.askedOf[k] = 0
		y.next = min(y.next, k)
	}
	p.asked = nil
}

// ask requests layers from the peers.
func (y *layerPhase) ask(now mono.Time, sink layerSink) {
	for _, p := range y.peers {
		for len(p.asked) < maxLayersAsked && now >= p.pause && y.next < len(y.askedOf) {
			k := y.next
			y.next++
			if y.askedOf[k] != 0 || y.layers.Answered(k) {
				continue
			}
			y.askedOf[k] = p.conn
			if len(p.asked) == 0 {
				p.at = now
			}
			p.asked = append(p.asked, k)
			sink.requestHashes(p.conn, y.layers.Requests()[k])
		}
	}
}

// layerResult is the result of a peer's answer.
type layerResult struct {
	wasAsked bool
	isWrong  bool           // the hashes do not agree with the root
	info     *metainfo.Info // the metadata, if no layer is missing any more
}

// received handles a peer's answer to q: hashes or a reject.
func (y *layerPhase) received(now mono.Time, p *layerPeer, q metainfo.HashRequest, rejects bool, hashes []byte) (r layerResult) {
	i := slices.IndexFunc(p.asked, func(k int) bool { return y.layers.Requests()[k] == q })
	if i < 0 {
		return r // too late
	}
	k := p.asked[i]
	r.wasAsked = true
	y.askedOf[k] = 0
	p.asked = slices.Delete(p.asked, i, i+1)
	p.at = now
	switch {
	case rejects:
		p.pause = now.Add(hashPause)
		y.next = min(y.next, k)
	case !y.layers.Add(k, hashes):
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

// upkeep handles timeouts; it is called once per second.
func (y *layerPhase) upkeep(now mono.Time) {
	for _, p := range y.peers {
		if len(p.asked) > 0 && now.Sub(p.at) > hashTimeout {
			y.freeRequests(p)
			p.pause = now.Add(hashPause)
		}
	}
}
