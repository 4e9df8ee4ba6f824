package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// Messages about hashes (BEP 52): layers that the layer phase lacks, what peers
// ask of us, and the leaves of a piece that came out wrong.

const (
	// What a peer is served: hashBurst hashes and twice the piece layers at once, and
	// so many more in hashRefill, but hashRate a second at least. Of those that have to
	// be computed maxLeaves requests at once.
	hashBurst  = 16 << 10
	hashRefill = 10 * time.Minute
	hashRate   = 128
	maxLeaves  = 2
)

// hashPeer is a peer's side.
type hashPeer struct {
	serve  rate.Bucket
	leaves int       // requests that the shell works on
	piece  uint32    // whose leaves it was asked for
	wanted bool      // and has not answered
	pause  mono.Time // not asked for leaves until then
}

// layerRequests is the engine as its layer phase sees it.
type layerRequests struct{ e *Engine }

func (s layerRequests) requestHashes(conn Conn, q metainfo.HashRequest) {
	s.e.sendHash(s.e.conns[conn], wire.HashRequest, q, nil)
}

// needLayers begins the layer phase, or reports that there is nothing to wait for.
func (e *Engine) needLayers(info *metainfo.Info) bool {
	if !info.LacksLayers() {
		return false
	}
	// Without a v1 side the infohash that we go by is the v2 one, also where it was
	// given cut short and nobody knew (BEP 46).
	e.v2alone = true
	e.layer.begin(info)
	for _, p := range e.peers {
		p.v2 = true
		if !p.closing {
			e.layer.join(p.conn, &p.layer)
		}
	}
	return true
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
	r := e.layer.received(e.now, &p.layer, q, t == wire.HashReject, hashes)
	e.hadUse = r.wasAsked
	if r.isWrong {
		e.punish(p)
	}
	if r.info != nil {
		e.cmd(Command{Kind: CmdMetadata, Info: r.info})
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
			e.hadUse = true
			e.sendHash(p, wire.Hashes, q, hashes)
			return
		}
		if piece, ok := c.info.LeavesOf(q); ok && c.have.Has(piece) && s.leaves < maxLeaves && !e.paused {
			e.hadUse = true
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
		if !p.closing && p.v2 && !p.hash.wanted && e.now >= max(p.layer.pause, p.hash.pause) && p.down.has.Has(int(index)) {
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
	e.hadUse = true
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
	e.req.endParole(h.piece)
}
