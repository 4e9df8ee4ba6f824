package engine

import (
	"errors"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

const (
	// maxMetaPeers are asked for metadata at once: several, so that a slow or
	// lying one delays nothing.
	maxMetaPeers = 8
	// maxMetaAsked blocks are on order at one peer.
	maxMetaAsked = 8
	// metaTimeout without a block, a peer is passed over for metaPause.
	metaTimeout = 8 * time.Second
	metaPause   = 20 * time.Second
	// rejectedPause is how long a peer that rejected, for it has no metadata
	// yet or was asked too much, is left alone.
	rejectedPause = 5 * time.Second
	// metaGrace is how long a peer that cannot give metadata keeps its place
	// while we have none.
	metaGrace = 2 * time.Minute
)

// metaPhase is the engine's side of BEP 9 before the info dictionary is known.
type metaPhase struct {
	asm   *metainfo.Assembler
	done  bool // assembled, or not needed
	early int  // bytes of all peers' early fields
}

// metaPeer is a peer's side.
type metaPeer struct {
	size  int64 // as it told, and the assembler took
	asked []int // blocks on order
	at    mono.Time
	pause mono.Time // not asked until then
	serve rate.Bucket
}

// usable reports whether p may give us metadata.
func (m *metaPeer) usable() bool { return m.size > 0 }

// metaOffer looks at a peer's extension handshake for metadata to be had.
func (e *Engine) metaOffer(p *peer) {
	if e.meta.done || p.ext.UtMetadata == 0 || p.ext.MetadataSize == 0 || p.meta.size == p.ext.MetadataSize {
		return
	}
	// A wrong size costs the peer that told it, never the magnet.
	if err := e.meta.asm.Size(uint32(p.conn), p.ext.MetadataSize); err != nil {
		e.close(p, FaultProtocol)
		return
	}
	p.meta.size = p.ext.MetadataSize
}

// askMetadata keeps several peers busy with blocks of the info dictionary.
func (e *Engine) askMetadata() {
	if e.meta.done || e.stopped {
		return
	}
	busy := 0
	for _, p := range e.peers {
		if len(p.meta.asked) > 0 && !p.closing {
			busy++
		}
	}
	for _, p := range e.peers {
		m := &p.meta
		if p.closing || !m.usable() || e.now < m.pause || (len(m.asked) == 0 && busy >= maxMetaPeers) {
			continue
		}
		for len(m.asked) < maxMetaAsked {
			piece, ok := e.meta.asm.Next(uint32(p.conn))
			if !ok {
				break
			}
			if len(m.asked) == 0 {
				busy++
				m.at = e.now
			}
			m.asked = append(m.asked, piece)
			e.scratch = wire.AppendMetadata(e.scratch[:0], wire.MetadataMsg{Type: wire.MetadataRequest, Piece: piece})
			e.sendExt(p, p.ext.UtMetadata, e.scratch)
		}
	}
}

// onMetadata handles a message of ut_metadata.
func (e *Engine) onMetadata(p *peer, payload []byte) error {
	m, err := wire.ParseMetadata(payload)
	if err != nil {
		return err
	}
	switch m.Type {
	case wire.MetadataRequest:
		e.serveMetadata(p, m.Piece)
	case wire.MetadataData:
		return e.onMetadataBlock(p, &m)
	case wire.MetadataReject:
		if e.metaAnswered(p, m.Piece) {
			e.sense = true
			e.meta.asm.Reject(uint32(p.conn), m.Piece)
			p.meta.pause = e.now.Add(rejectedPause)
		}
	}
	return nil
}

// metaAnswered strikes a block off p's order and reports whether it was there.
func (e *Engine) metaAnswered(p *peer, piece int) bool {
	m := &p.meta
	for i, a := range m.asked {
		if a == piece {
			m.asked = append(m.asked[:i], m.asked[i+1:]...)
			m.at = e.now
			return !e.meta.done
		}
	}
	return false
}

func (e *Engine) onMetadataBlock(p *peer, m *wire.MetadataMsg) error {
	if !e.metaAnswered(p, m.Piece) {
		return nil // it came too late, or another was faster
	}
	e.sense = true
	info, liars, err := e.meta.asm.Block(uint32(p.conn), m.Piece, m.Data)
	for _, l := range liars {
		if q := e.conns[Conn(l)]; q != nil {
			e.punish(q)
		}
	}
	var broken *metainfo.Error
	switch {
	case errors.As(err, &broken):
		// What the infohash stands for is known, and cannot be opened.
		e.meta.done = true
		e.broken = err
		e.cmd(Command{Kind: CmdBroken, Err: err})
		return nil
	case err != nil:
		return err
	case info != nil:
		e.meta.done = true
		if !e.needLayers(info) {
			e.cmd(Command{Kind: CmdMetadata, Info: info})
		}
		if info.Private {
			e.goPrivate() // what is there may take long to check
		}
	}
	return nil
}

// serveMetadata answers a request for a block of the info dictionary. A peer
// may have it all twice, and then again at a pace.
func (e *Engine) serveMetadata(p *peer, piece int) {
	if p.ext.UtMetadata == 0 {
		return
	}
	out := wire.MetadataMsg{Type: wire.MetadataReject, Piece: piece}
	if c := e.content; c != nil {
		raw := c.info.Raw
		blocks := (len(raw) + wire.MetadataBlock - 1) / wire.MetadataBlock
		if p.meta.serve.Rate == 0 {
			burst := float64(2*blocks + 8)
			p.meta.serve = rate.NewBucket(e.now, burst/60, burst)
		}
		if piece < blocks && p.meta.serve.Take(e.now, 1) {
			begin := piece * wire.MetadataBlock
			e.sense = true
			out.Type, out.TotalSize = wire.MetadataData, int64(len(raw))
			out.Data = raw[begin:min(begin+wire.MetadataBlock, len(raw))]
		}
	}
	e.scratch = wire.AppendMetadata(e.scratch[:0], out)
	e.sendExt(p, p.ext.UtMetadata, e.scratch)
}

// metaUpkeep is done once a second while there is no metadata: the silent are
// passed over, and so are, where room is short, those that cannot give any.
func (e *Engine) metaUpkeep() {
	if e.meta.done {
		return
	}
	crowded := e.open >= e.cfg.MaxConns*3/4
	for _, p := range e.peers {
		m := &p.meta
		if p.closing {
			continue
		}
		if len(m.asked) > 0 && e.now.Sub(m.at) > metaTimeout {
			for _, piece := range m.asked {
				e.meta.asm.Reject(uint32(p.conn), piece)
			}
			m.asked = m.asked[:0]
			m.pause = e.now.Add(metaPause)
		}
		if m.pause != 0 && e.now >= m.pause {
			m.pause = 0
			// To tell its size again forgives the rejections.
			if err := e.meta.asm.Size(uint32(p.conn), m.size); err != nil {
				e.close(p, FaultProtocol)
			}
		}
		if crowded && !m.usable() && e.now.Sub(p.since) > metaGrace {
			e.close(p, FaultUseless)
		}
	}
}

// metaGone forgets p's part in the metadata.
func (e *Engine) metaGone(p *peer) {
	p.meta.asked = nil
	if !e.meta.done && p.meta.size > 0 {
		e.meta.asm.Gone(uint32(p.conn))
	}
	p.meta.size = 0
}
