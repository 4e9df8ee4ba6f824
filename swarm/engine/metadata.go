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
	// metaTimeout without a block, a peer is passed over for metaPause, and twice as
	// long each time up to metaPause<<metaPauses. A peer that has sent none yet has
	// metaFirst only, and the less the more peers were passed over in vain, down to
	// metaFirst>>metaHurry. What comes late is taken all the same.
	metaTimeout = 8 * time.Second
	metaFirst   = time.Second
	metaHurry   = 3
	metaPause   = 20 * time.Second
	metaPauses  = 4
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

	silent int       // peers that were passed over since a block came
	due    mono.Time // when the next is passed over
}

// metaPeer is a peer's side.
type metaPeer struct {
	size   int64     // as it told, and the assembler took
	asked  []int     // blocks on order
	at     mono.Time // when it was asked or answered last
	pause  mono.Time // not asked until then
	gave   bool      // it has sent a block
	silent uint8     // how often it was passed over since
	serve  rate.Bucket
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
	e.passOver()
	busy := 0
	for _, p := range e.peers {
		if len(p.meta.asked) > 0 && !p.closing {
			busy++
		}
	}
	// Peers that were silent come after those that were not asked yet.
	busy = e.askMetadataOf(busy, false)
	e.askMetadataOf(busy, true)
}

// askMetadataOf asks the peers that were silent, or the others; busy is how many are
// asked already.
func (e *Engine) askMetadataOf(busy int, silent bool) int {
	for _, p := range e.peers {
		m := &p.meta
		if p.closing || !m.usable() || (m.silent > 0) != silent || e.now < m.pause || (len(m.asked) == 0 && busy >= maxMetaPeers) {
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
		if len(m.asked) > 0 {
			e.meta.due = min(e.meta.due, m.at.Add(e.metaPatience(m)))
		}
	}
	return busy
}

// metaPatience returns how long a peer that was asked may be silent.
func (e *Engine) metaPatience(m *metaPeer) time.Duration {
	if m.gave {
		return metaTimeout
	}
	return metaFirst >> min(e.meta.silent/maxMetaPeers, metaHurry)
}

// passOver frees the blocks that silent peers have on order.
func (e *Engine) passOver() {
	if e.now < e.meta.due {
		return
	}
	e.meta.due = mono.Never
	for _, p := range e.peers {
		m := &p.meta
		if p.closing || len(m.asked) == 0 {
			continue
		}
		if at := m.at.Add(e.metaPatience(m)); e.now < at {
			e.meta.due = min(e.meta.due, at)
			continue
		}
		for _, piece := range m.asked {
			e.meta.asm.Reject(uint32(p.conn), piece)
		}
		m.asked = m.asked[:0]
		m.pause = e.now.Add(metaPause << min(m.silent, metaPauses))
		m.silent = min(m.silent+1, metaPauses)
		e.meta.silent++
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
	if e.meta.done {
		return nil // another was faster
	}
	e.sense = e.metaAnswered(p, m.Piece)
	info, liars, err := e.meta.asm.Block(uint32(p.conn), m.Piece, m.Data)
	if errors.Is(err, metainfo.ErrUnasked) {
		return nil
	}
	e.heardMetadata(p)
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

// heardMetadata notes that p sends what it is asked for, even if late.
func (e *Engine) heardMetadata(p *peer) {
	m := &p.meta
	m.gave = true
	e.meta.silent = 0
	if m.silent > 0 {
		m.silent, m.pause = 0, e.now // to be asked anew with the next upkeep
	}
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

// metaUpkeep is done once a second while there is no metadata: pauses end, and where
// room is short peers go that cannot give any.
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
