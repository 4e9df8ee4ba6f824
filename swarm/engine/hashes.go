package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// This file handles messages about hashes (BEP 52): missing layers, requests of peers,
// and the leaves of a piece that failed verification.

const (
	// A peer may fetch hashBurst hashes plus twice the piece layers and the leaves at once,
	// and as many again per hashRefill, but at least hashRate per second. Of the requests
	// whose hashes must be computed, at most maxLeaves are processed at once.
	hashBurst  = 16 << 10
	hashRefill = 10 * time.Minute
	hashRate   = 128
	maxLeaves  = compareWindow
)

// hashPeer is the state of a peer for hash messages.
type hashPeer struct {
	serve  rate.Bucket
	leaves int       // requests that the shell is processing
	piece  uint32    // piece whose leaves were requested from the peer
	wanted bool      // the peer has not answered that request
	pause  mono.Time // no leaves are requested until then
}

// layerAdapter implements layerSink.
type layerAdapter struct{ e *Engine }

func (s layerAdapter) requestHashes(conn Conn, q metainfo.HashRequest) {
	s.e.sendHash(s.e.conns[conn], wire.HashRequest, q, nil)
}

// needLayers begins the layer phase if the torrent needs it, and reports whether it does.
func (e *Engine) needLayers(info *metainfo.Info) bool {
	if !info.LacksLayers() {
		return false
	}
	// A torrent without v1 hashes has only a v2 infohash, so ours is that one. If
	// the link contained only its truncated form, that was not known before (BEP 46).
	e.v2Only = true
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

// onHash handles the three types of hash messages.
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
	if q.Base == 0 && e.content != nil && e.onBlockHashes(p, m.Type, q, h.Hashes) {
		return
	}
	if q.Base == 0 && p.hash.wanted {
		e.onLeafHashes(p, m.Type, q, h.Hashes)
		return
	}
	e.onLayerHashes(p, m.Type, q, h.Hashes)
}

// onLayerHashes handles the answer to a request for a layer.
func (e *Engine) onLayerHashes(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) {
	r := e.layer.received(e.now, &p.layer, q, t == wire.HashReject, hashes)
	e.wasUseful = r.wasAsked
	if r.isWrong {
		e.punish(p)
	}
	if r.info != nil {
		e.cmd(Command{Kind: CmdMetadata, Info: r.info})
	}
}

// serveHashes answers a hash request. The leaves of a piece have to be computed, which
// the shell does.
func (e *Engine) serveHashes(p *peer, q metainfo.HashRequest) {
	s := &p.hash
	c := e.content
	if c != nil && s.serve.Burst == 0 {
		burst := float64(hashBurst + 2*c.info.NumPieces() + int(2*(c.info.Length/blockSize)))
		s.serve = rate.NewBucket(e.now, max(hashRate, burst/hashRefill.Seconds()), burst)
	}
	// A request of 53 bytes yields 32 bytes for each hash, so it is charged by the number
	// of hashes.
	if c != nil && c.info.HasV2() && s.serve.Take(e.now, float64(q.Length)+float64(q.ProofLayers)+1) {
		if hashes, ok := c.info.Hashes(nil, q); ok {
			e.wasUseful = true
			e.sendHash(p, wire.Hashes, q, hashes)
			return
		}
		if piece, ok := c.info.LeavesOf(q); ok && c.have.Has(piece) && s.leaves < maxLeaves && !e.paused {
			e.wasUseful = true
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

// askLeaves requests the leaves of a piece that failed verification. They show which
// blocks are bad, and so who sent them, before a good copy has arrived.
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

// onLeafHashes identifies the bad blocks of a suspect piece by its leaves.
func (e *Engine) onLeafHashes(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) {
	h := &p.hash
	c := e.content
	if want, _ := c.info.LeafRequest(int(h.piece)); want != q {
		return
	}
	h.wanted = false
	e.wasUseful = true
	if t == wire.HashReject {
		h.pause = e.now.Add(hashPause)
		return
	}
	leaves, ok := c.info.CheckLeaves(int(h.piece), hashes)
	if !ok {
		e.punish(p)
		return
	}
	if !e.blame.resolveByLeaves(h.piece, leaves, blameAdapter{e}) {
		return
	}
	e.req.endParole(h.piece)
}
