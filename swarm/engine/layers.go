package engine

import (
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

const (
	// maxLayersAsked requests for hashes are on order at one peer.
	maxLayersAsked = 4
	// hashTimeout without an answer, a peer is passed over for hashPause.
	hashTimeout = 8 * time.Second
	hashPause   = 10 * time.Second
	// What a peer is served: hashBurst hashes and twice the piece layers at once, and
	// so many more in hashRefill, but hashRate a second at least. Of those that have to
	// be computed maxLeaves requests at once.
	hashBurst  = 16 << 10
	hashRefill = 10 * time.Minute
	hashRate   = 128
	maxLeaves  = 2
)

// layerPhase collects the piece layers of a torrent that is v2 alone (BEP 52):
// without them no piece can be proven, so the metadata is not complete before.
type layerPhase struct {
	info   *metainfo.Info
	layers *metainfo.Layers // nil: nothing is lacking
	by     []Conn           // whom each request is on order at
	next   int              // before it, all are on order or answered
}

// hashPeer is a peer's side.
type hashPeer struct {
	asked  []int // requests for layers on order, as numbers of layerPhase.by
	at     mono.Time
	pause  mono.Time // not asked until then
	serve  rate.Bucket
	leaves int    // requests that the shell works on
	piece  uint32 // whose leaves it was asked for
	wanted bool   // and has not answered
}

// needLayers begins the phase, or reports that there is nothing to wait for.
func (e *Engine) needLayers(info *metainfo.Info) bool {
	if !info.LacksLayers() {
		return false
	}
	// Without a v1 side the infohash that we go by is the v2 one, also where it was
	// given cut short and nobody knew (BEP 46).
	e.v2alone = true
	for _, p := range e.peers {
		p.v2 = true
	}
	e.layer = layerPhase{info: info, layers: metainfo.NewLayers(info)}
	e.layer.by = make([]Conn, len(e.layer.layers.Asks()))
	return true
}

// askLayers keeps the peers busy with requests for layers.
func (e *Engine) askLayers() {
	y := &e.layer
	if y.layers == nil || e.stopped {
		return
	}
	for _, p := range e.peers {
		h := &p.hash
		for !p.closing && p.v2 && len(h.asked) < maxLayersAsked && e.now >= h.pause && y.next < len(y.by) {
			k := y.next
			y.next++
			if y.by[k] != 0 || y.layers.Got(k) {
				continue
			}
			y.by[k] = p.conn
			if len(h.asked) == 0 {
				h.at = e.now
			}
			h.asked = append(h.asked, k)
			e.sendHash(p, wire.HashRequest, y.layers.Asks()[k], nil)
		}
	}
}

func (e *Engine) sendHash(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) {
	b := wire.AppendHash(nil, wire.HashMsg{Root: q.Root, Base: q.Base, Index: q.Index, Length: q.Length, ProofLayers: q.ProofLayers, Hashes: hashes})
	e.send(p, wire.Msg{Type: t, Payload: b})
}

// onHash handles the three messages about hashes.
func (e *Engine) onHash(p *peer, m *wire.Msg) {
	h, err := wire.ParseHash(m)
	if err != nil || !p.v2 { // BEP 52: only over a connection by the v2 infohash
		e.close(p, FaultProtocol)
		return
	}
	q := metainfo.HashRequest{Root: h.Root, Base: h.Base, Index: h.Index, Length: h.Length, ProofLayers: h.ProofLayers}
	if m.Type == wire.HashRequest {
		e.serveHashes(p, q)
		return
	}
	if q.Base == 0 && p.hash.wanted {
		e.onLeafHashes(p, m.Type, q, h.Hashes)
		return
	}
	e.onLayerHashes(p, m.Type, q, h.Hashes)
}

// onLayerHashes takes the answer to a request for a layer.
func (e *Engine) onLayerHashes(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) {
	y := &e.layer
	k := -1
	for _, i := range p.hash.asked {
		if y.layers.Asks()[i] == q {
			k = i
		}
	}
	if k < 0 {
		return // it came too late
	}
	e.sense = true
	y.by[k] = 0
	p.hash.asked = slices.DeleteFunc(p.hash.asked, func(i int) bool { return i == k })
	p.hash.at = e.now
	switch {
	case t == wire.HashReject:
		p.hash.pause = e.now.Add(hashPause)
		y.next = min(y.next, k)
	case !y.layers.Take(k, hashes):
		y.next = min(y.next, k)
		e.punish(p)
	case y.layers.Finish():
		info := y.info
		e.layer = layerPhase{}
		e.cmd(Command{Kind: CmdMetadata, Info: info})
	}
}

// layersGone gives back what p was asked for.
func (e *Engine) layersGone(p *peer) {
	y := &e.layer
	for _, k := range p.hash.asked {
		y.by[k] = 0
		y.next = min(y.next, k)
	}
	p.hash.asked = nil
}

// layerUpkeep is done once a second: the silent are passed over.
func (e *Engine) layerUpkeep() {
	if e.layer.layers == nil {
		return
	}
	for _, p := range e.peers {
		if h := &p.hash; !p.closing && len(h.asked) > 0 && e.now.Sub(h.at) > hashTimeout {
			e.layersGone(p)
			h.pause = e.now.Add(hashPause)
		}
	}
}

// serveHashes answers a request. The leaves of a piece have to be computed, which
// the shell does.
func (e *Engine) serveHashes(p *peer, q metainfo.HashRequest) {
	s := &p.hash
	c := e.content
	if c != nil && s.serve.Burst == 0 {
		burst := float64(hashBurst + 2*c.info.NumPieces())
		s.serve = rate.NewBucket(e.now, max(hashRate, burst/hashRefill.Seconds()), burst)
	}
	// A request of 53 bytes draws 32 for each hash: it is charged for what it draws.
	if c != nil && c.info.HasV2() && s.serve.Take(e.now, float64(q.Length)+float64(q.ProofLayers)+1) {
		if hashes, ok := c.info.Hashes(nil, q); ok {
			e.sense = true
			e.sendHash(p, wire.Hashes, q, hashes)
			return
		}
		if piece, ok := c.info.LeavesOf(q); ok && c.have.Has(piece) && s.leaves < maxLeaves && !e.paused {
			e.sense = true
			s.leaves++
			e.cmd(Command{Kind: CmdLeaves, Conn: p.conn, Block: Block{Piece: uint32(piece)}, Hash: q})
			return
		}
	}
	e.sendHash(p, wire.HashReject, q, nil)
}

// onLeaves handles EvLeaves.
func (e *Engine) onLeaves(p *peer, ev *EvLeaves) {
	p.hash.leaves--
	if hashes, ok := e.content.info.LeafHashes(nil, ev.Hash, ev.Leaves); ok && ev.OK {
		e.sendHash(p, wire.Hashes, ev.Hash, hashes)
		return
	}
	e.sendHash(p, wire.HashReject, ev.Hash, nil)
}

// askLeaves asks a peer for the leaves of a piece that came out wrong: they tell
// which blocks are bad, and so who lied, before a good copy has come.
func (e *Engine) askLeaves(index uint32) {
	q, ok := e.content.info.LeafRequest(int(index))
	if !ok {
		return
	}
	for _, p := range e.peers {
		if !p.closing && p.v2 && !p.hash.wanted && e.now >= p.hash.pause && p.has.Has(int(index)) {
			p.hash.piece, p.hash.wanted = index, true
			e.sendHash(p, wire.HashRequest, q, nil)
			return
		}
	}
}

// onLeafHashes judges a suspect piece by its leaves.
func (e *Engine) onLeafHashes(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) {
	h := &p.hash
	c := e.content
	if want, _ := c.info.LeafRequest(int(h.piece)); want != q {
		return
	}
	h.wanted = false
	e.sense = true
	if t == wire.HashReject {
		h.pause = e.now.Add(hashPause)
		return
	}
	leaves, ok := c.info.CheckLeaves(int(h.piece), hashes)
	if !ok {
		e.punish(p)
		return
	}
	if !e.blame.testify(h.piece, leaves, blamed{e}) {
		return
	}
	if pc := c.open[h.piece]; pc != nil {
		pc.parole, pc.only = false, 0
		e.freed = true
	}
}
