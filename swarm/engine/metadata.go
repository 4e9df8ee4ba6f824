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

// metadataPhase fetches the info dictionary from several peers at once (BEP 9). It
// decides whom to ask for which block, and for how long to wait; the assembler
// checks what comes.
type metadataPhase struct {
	asm    *metainfo.Assembler
	done   bool        // the dictionary is assembled, or came from elsewhere
	peers  []*metaPeer // in the order they came
	silent int         // peers that were passed over since a block came
	due    mono.Time   // when the next is passed over
}

// metaPeer is what the metadata phase knows of a peer.
type metaPeer struct {
	conn   Conn
	since  mono.Time   // when it was connected
	size   int64       // of the metadata, as it told and the assembler took; 0 if it has none to give
	asked  []int       // blocks on order
	at     mono.Time   // when it was asked or answered last
	pause  mono.Time   // not asked until then
	gave   bool        // it has sent a block
	silent uint8       // how often it was passed over since
	serve  rate.Bucket // blocks that it may have of us
}

// metaSink sends the requests of the metadata phase.
type metaSink interface {
	requestMetadata(conn Conn, block int)
}

func newMetadataPhase(asm *metainfo.Assembler) metadataPhase {
	return metadataPhase{asm: asm, due: mono.Never}
}

// id returns the name of a peer in the assembler.
func (p *metaPeer) id() uint32 { return uint32(p.conn) }

// isUsable reports whether p may give us metadata.
func (p *metaPeer) isUsable() bool { return p.size > 0 }

// needs reports whether there is no metadata yet, and p may give us some.
func (m *metadataPhase) needs(p *metaPeer) bool { return !m.done && p.isUsable() }

// join adds a peer.
func (m *metadataPhase) join(now mono.Time, conn Conn, p *metaPeer) {
	*p = metaPeer{conn: conn, since: now}
	if !m.done {
		m.peers = append(m.peers, p)
	}
}

// leave forgets a peer that is gone, and frees its blocks for others. One that never
// joined is passed over.
func (m *metadataPhase) leave(p *metaPeer) {
	if i := slices.Index(m.peers, p); i >= 0 {
		m.peers = slices.Delete(m.peers, i, i+1)
	}
	if m.needs(p) {
		m.asm.Gone(p.id())
	}
	p.asked, p.size = nil, 0
}

// end ends the phase: the metadata is known.
func (m *metadataPhase) end() { m.done, m.peers = true, nil }

// offer notes the size of the metadata that p has, as its extension handshake says. A
// wrong size is an error that costs the peer that told it, never the magnet.
func (m *metadataPhase) offer(p *metaPeer, size int64) error {
	if m.done || size == 0 || p.size == size {
		return nil
	}
	if err := m.asm.Size(p.id(), size); err != nil {
		return err
	}
	p.size = size
	return nil
}

// ask keeps several peers busy with blocks of the info dictionary.
func (m *metadataPhase) ask(now mono.Time, sink metaSink) {
	if m.done {
		return
	}
	m.passOver(now)
	busy := 0
	for _, p := range m.peers {
		if len(p.asked) > 0 {
			busy++
		}
	}
	// Peers that were silent come after those that were not asked yet.
	busy = m.askSome(now, busy, false, sink)
	m.askSome(now, busy, true, sink)
}

// askSome asks the peers that were silent, or the others. busy is how many peers are
// asked already; it returns how many are then.
func (m *metadataPhase) askSome(now mono.Time, busy int, silent bool, sink metaSink) int {
	for _, p := range m.peers {
		if !p.isUsable() || (p.silent > 0) != silent || now < p.pause || (len(p.asked) == 0 && busy >= maxMetaPeers) {
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
			m.due = min(m.due, p.at.Add(m.patience(p)))
		}
	}
	return busy
}

// patience returns how long a peer that was asked may be silent.
func (m *metadataPhase) patience(p *metaPeer) time.Duration {
	if p.gave {
		return metaTimeout
	}
	return metaFirst >> min(m.silent/maxMetaPeers, metaHurry)
}

// passOver frees the blocks that silent peers have on order.
func (m *metadataPhase) passOver(now mono.Time) {
	if now < m.due {
		return
	}
	m.due = mono.Never
	for _, p := range m.peers {
		if len(p.asked) == 0 {
			continue
		}
		if at := p.at.Add(m.patience(p)); now < at {
			m.due = min(m.due, at)
			continue
		}
		for _, block := range p.asked {
			m.asm.Reject(p.id(), block)
		}
		p.asked = p.asked[:0]
		p.pause = now.Add(metaPause << min(p.silent, metaPauses))
		p.silent = min(p.silent+1, metaPauses)
		m.silent++
	}
}

// answered takes a block off p's order and reports whether it was there.
func (m *metadataPhase) answered(now mono.Time, p *metaPeer, block int) bool {
	i := slices.Index(p.asked, block)
	if i < 0 {
		return false
	}
	p.asked = slices.Delete(p.asked, i, i+1)
	p.at = now
	return !m.done
}

// rejected notes that p rejected a request, and reports whether it was asked.
func (m *metadataPhase) rejected(now mono.Time, p *metaPeer, block int) bool {
	if !m.answered(now, p, block) {
		return false
	}
	m.asm.Reject(p.id(), block)
	p.pause = now.Add(rejectedPause)
	return true
}

// A metaResult is what became of a block of metadata.
type metaResult struct {
	wasAsked bool
	info     *metainfo.Info // the metadata, if it is whole and right
	liars    []Conn         // peers that sent wrong blocks
	broken   error          // what the infohash stands for is known, and cannot be opened
	err      error          // what its sender did wrong
}

// received takes a block that p sent.
func (m *metadataPhase) received(now mono.Time, p *metaPeer, block int, data []byte) (r metaResult) {
	if m.done {
		return r // another was faster
	}
	r.wasAsked = m.answered(now, p, block)
	info, liars, err := m.asm.Block(p.id(), block, data)
	if errors.Is(err, metainfo.ErrUnasked) {
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

// noteAlive notes that p sends what it is asked for, even if late.
func (m *metadataPhase) noteAlive(now mono.Time, p *metaPeer) {
	p.gave = true
	m.silent = 0
	if p.silent > 0 {
		p.silent, p.pause = 0, now // upkeep ends its pause
	}
}

// upkeep is done once a second for each peer while there is no metadata. It ends
// pauses and returns the fault of a peer that is to be closed: where places are
// short (crowded), one that cannot give metadata goes.
func (m *metadataPhase) upkeep(now mono.Time, p *metaPeer, crowded bool) Fault {
	if m.done {
		return FaultNone
	}
	if p.pause != 0 && now >= p.pause {
		p.pause = 0
		// To tell its size again forgives the rejections.
		if err := m.asm.Size(p.id(), p.size); err != nil {
			return FaultProtocol
		}
	}
	if crowded && !p.isUsable() && now.Sub(p.since) > metaGrace {
		return FaultUseless
	}
	return FaultNone
}

// answer answers a peer's request for a block of raw, the info dictionary, which is
// empty while we do not know it. A peer may have it all twice, and then again at a
// pace.
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
