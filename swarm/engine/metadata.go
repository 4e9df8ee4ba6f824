package engine

import (
	"errors"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

const (
	// maxMetaPeers is how many peers metadata is requested from at once. With several, a slow
	// or malicious peer delays nothing.
	maxMetaPeers = 8
	// maxMetaAsked is how many blocks may be requested from one peer at once.
	maxMetaAsked = 8
	// A peer that sends no block for metaTimeout is not asked for metaPause, which
	// doubles each time up to metaPause<<metaPauses. A peer that has never sent a block
	// has only metaFirst. That time shrinks as more peers time out, down to
	// metaFirst>>metaHurry. Late blocks are still accepted.
	metaTimeout = 8 * time.Second
	metaFirst   = time.Second
	metaHurry   = 3
	metaPause   = 20 * time.Second
	metaPauses  = 4
	// rejectedPause is how long a peer is not asked after a reject, which means that it
	// has no metadata yet or was asked for too much.
	rejectedPause = 5 * time.Second
	// metaGrace is how long a peer that cannot send metadata stays connected while we
	// have none.
	metaGrace = 2 * time.Minute
)

// metadataPhase fetches the info dictionary from several peers at once (BEP 9). It
// decides which block to request from which peer, and how long to wait. The assembler
// verifies what arrives.
type metadataPhase struct {
	asm      *metainfo.Assembler
	done     bool        // the dictionary is complete, or came from elsewhere
	peers    []*metaPeer // in order of arrival
	offers   int         // connections that have offered metadata
	timeouts int         // timeouts since a block arrived
	due      mono.Time   // when the next peer times out
}

// metaPeer is the metadata phase's state of a peer.
type metaPeer struct {
	conn     Conn
	since    mono.Time   // when it connected
	size     int64       // of the metadata, as announced by the peer and accepted by the assembler; 0 if it has none
	asked    []int       // requested blocks
	at       mono.Time   // time of its last request or answer
	pause    mono.Time   // nothing is requested until then
	hasSent  bool        // it has sent a block
	timeouts uint8       // timeouts since it sent a block
	serve    rate.Bucket // blocks that we may send it
}

// metaSink sends the requests of the metadata phase.
type metaSink interface {
	requestMetadata(conn Conn, block int)
}

func newMetadataPhase(asm *metainfo.Assembler) metadataPhase {
	return metadataPhase{asm: asm, due: mono.Never}
}

// id identifies the peer in the assembler.
func (p *metaPeer) id() uint32 { return uint32(p.conn) }

// isUsable reports whether p can send us metadata.
func (p *metaPeer) isUsable() bool { return p.size > 0 }

// needs reports whether the metadata is missing and p can send it.
func (m *metadataPhase) needs(p *metaPeer) bool { return !m.done && p.isUsable() }

// join adds a peer.
func (m *metadataPhase) join(now mono.Time, conn Conn, p *metaPeer) {
	*p = metaPeer{conn: conn, since: now}
	if !m.done {
		m.peers = append(m.peers, p)
	}
}

// leave removes a peer, and frees its blocks for others. A peer that never joined is
// ignored.
func (m *metadataPhase) leave(p *metaPeer) {
	if i := slices.Index(m.peers, p); i >= 0 {
		m.peers = slices.Delete(m.peers, i, i+1)
	}
	if m.needs(p) {
		m.asm.Remove(p.id())
	}
	p.asked, p.size = nil, 0
}

// end ends the phase because the metadata is known.
func (m *metadataPhase) end() { m.done, m.peers = true, nil }

// offer records the size of the metadata that p has, as its extension handshake says. A
// wrong size costs the peer its connection, but does not stop the download.
func (m *metadataPhase) offer(p *metaPeer, size int64) error {
	if m.done || size == 0 || p.size == size {
		return nil
	}
	if err := m.asm.Size(p.id(), size); err != nil {
		return err
	}
	if p.size == 0 {
		m.offers++
	}
	p.size = size
	return nil
}

// ask requests blocks of the info dictionary from several peers.
func (m *metadataPhase) ask(now mono.Time, sink metaSink) {
	if m.done {
		return
	}
	m.expireRequests(now)
	busy := 0
	for _, p := range m.peers {
		if len(p.asked) > 0 {
			busy++
		}
	}
	// Peers that timed out come after those that did not.
	busy = m.askSome(now, busy, false, sink)
	m.askSome(now, busy, true, sink)
}

// askSome requests blocks from the peers that timed out (silent) or from the others. busy
// is the number of peers with requests; askSome returns the new number.
func (m *metadataPhase) askSome(now mono.Time, busy int, silent bool, sink metaSink) int {
	for _, p := range m.peers {
		if !p.isUsable() || (p.timeouts > 0) != silent || now < p.pause || (len(p.asked) == 0 && busy >= maxMetaPeers) {
			continue
		}
		for len(p.asked) < maxMetaAsked {
			block, ok := m.asm.Next(p.id())
			if !ok {
				break
			}
			if len(p.asked) == 0 {
				busy++
				p.at = now
			}
			p.asked = append(p.asked, block)
			sink.requestMetadata(p.conn, block)
		}
		if len(p.asked) > 0 {
			m.due = min(m.due, p.at.Add(m.timeoutOf(p)))
		}
	}
	return busy
}

// timeoutOf returns how long p may leave a request unanswered.
func (m *metadataPhase) timeoutOf(p *metaPeer) time.Duration {
	if p.hasSent {
		return metaTimeout
	}
	return metaFirst >> min(m.timeouts/maxMetaPeers, metaHurry)
}

// expireRequests frees the blocks of peers that have timed out.
func (m *metadataPhase) expireRequests(now mono.Time) {
	if now < m.due {
		return
	}
	m.due = mono.Never
	for _, p := range m.peers {
		if len(p.asked) == 0 {
			continue
		}
		if at := p.at.Add(m.timeoutOf(p)); now < at {
			m.due = min(m.due, at)
			continue
		}
		for _, block := range p.asked {
			m.asm.Reject(p.id(), block)
		}
		p.asked = p.asked[:0]
		p.pause = now.Add(metaPause << min(p.timeouts, metaPauses))
		p.timeouts = min(p.timeouts+1, metaPauses)
		m.timeouts++
	}
}

// noteAnswer removes a block from the requests of p, and reports whether it was among them
// while the phase lasts.
func (m *metadataPhase) noteAnswer(now mono.Time, p *metaPeer, block int) bool {
	i := slices.Index(p.asked, block)
	if i < 0 {
		return false
	}
	p.asked = slices.Delete(p.asked, i, i+1)
	p.at = now
	return !m.done
}

// noteReject handles a reject from p, and reports whether p had been asked for the block.
func (m *metadataPhase) noteReject(now mono.Time, p *metaPeer, block int) bool {
	if !m.noteAnswer(now, p, block) {
		return false
	}
	m.asm.Reject(p.id(), block)
	p.pause = now.Add(rejectedPause)
	return true
}

// metaResult is the result of receiving a block of metadata.
type metaResult struct {
	wasAsked bool
	info     *metainfo.Info // the metadata, if complete and verified
	liars    []Conn         // peers that sent wrong blocks
	broken   error          // the metadata matches the infohash but is invalid
	err      error          // a protocol violation of the sender
}

// received handles a block that p sent.
func (m *metadataPhase) received(now mono.Time, p *metaPeer, block int, data []byte) (r metaResult) {
	if m.done {
		return r // the metadata is already complete
	}
	r.wasAsked = m.noteAnswer(now, p, block)
	info, liars, err := m.asm.Block(p.id(), block, data)
	if errors.Is(err, metainfo.ErrUnrequested) {
		return r
	}
	m.noteAlive(now, p)
	for _, l := range liars {
		r.liars = append(r.liars, Conn(l))
	}
	var broken *metainfo.Error
	switch {
	case errors.As(err, &broken):
		r.broken = err
		m.end()
	case err != nil:
		r.err = err
	case info != nil:
		r.info = info
		m.end()
	}
	return r
}

// noteAlive records that p answers requests, even if late.
func (m *metadataPhase) noteAlive(now mono.Time, p *metaPeer) {
	p.hasSent = true
	m.timeouts = 0
	if p.timeouts > 0 {
		p.timeouts, p.pause = 0, now // upkeep ends its pause
	}
}

// upkeep runs once per second for each peer while there is no metadata. It ends pauses,
// and returns the fault of a peer to close: when connections are nearly used up
// (nearlyFull), one that cannot send metadata is closed.
func (m *metadataPhase) upkeep(now mono.Time, p *metaPeer, nearlyFull bool) Fault {
	if m.done {
		return FaultNone
	}
	if p.pause != 0 && now >= p.pause {
		p.pause = 0
		// Announcing its size again clears the rejections.
		if err := m.asm.Size(p.id(), p.size); err != nil {
			return FaultProtocol
		}
	}
	if nearlyFull && !p.isUsable() && now.Sub(p.since) > metaGrace {
		return FaultUseless
	}
	return FaultNone
}

// answer answers a peer's request for a block of raw, the info dictionary, which is empty
// while we do not have it. A peer may fetch all of it twice, then more at a limited rate.
func (p *metaPeer) answer(now mono.Time, raw []byte, block int) wire.MetadataMsg {
	blocks := (len(raw) + wire.MetadataBlock - 1) / wire.MetadataBlock
	if p.serve.Rate == 0 && blocks > 0 {
		burst := float64(2*blocks + 8)
		p.serve = rate.NewBucket(now, burst/60, burst)
	}
	if block >= blocks || !p.serve.Take(now, 1) {
		return wire.MetadataMsg{Type: wire.MetadataReject, Piece: block}
	}
	begin := block * wire.MetadataBlock
	return wire.MetadataMsg{Type: wire.MetadataData, Piece: block, TotalSize: int64(len(raw)),
		Data: raw[begin:min(begin+wire.MetadataBlock, len(raw))]}
}
