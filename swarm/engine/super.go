package engine

import (
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// Super-seeding (BEP 16): a seed that is alone with many leechers lets each of them
// see a few pieces, others than the rest see, and more when what it gave has been
// passed on. So nearly every byte that it sends is new to the swarm, and the swarm
// has everything after little more than one copy. Once all pieces are elsewhere, or
// another seed is there, everybody is told everything.
//
// BEP 16 has one piece at a time. Here it is as many as keep the peer busy for
// revealAhead, so that a fast one is not slowed down.

const (
	// superPeers is how many others must be known, connected or not, for a peer not to
	// be told everything.
	superPeers = 3
	// A peer is told of as many pieces as keep it busy for revealAhead, as many as
	// revealBytes has room for at least, and revealMax at most.
	revealAhead = 4 * time.Second
	revealBytes = 1 << 20
	revealMin   = 2
	revealMax   = 256
	// starvedAfter without anything to ask for a peer is told of another piece,
	// whatever became of the last ones: it may be connected to nobody else.
	starvedAfter = 10 * time.Second
	// unveilAtOnce bounds the haves of a turn when a peer is told of everything.
	unveilAtOnce = 1024
	// revealScan bounds the pieces that are looked at for one to tell of.
	revealScan = 4096
)

// veil is what a peer sees of a seed that does not show it everything.
type veil struct {
	shown bitset.Set
	open  []uint32  // shown, and not passed on yet, as far as is seen
	lacks int       // of these, those that it has not got itself
	busy  mono.Time // when it last had something to ask for
	lift  int       // the pieces before were all shown; -1 while the veil stays
}

// superSeed is what the torrent knows of it.
type superSeed struct {
	veiled int      // peers with a veil
	shown  []uint16 // to how many peers each piece is shown; nil while there is none
	cursor int
}

// veils reports whether a fresh peer is to see a part only.
func (e *Engine) veils(p *peer) bool {
	c := e.content
	if !c.complete || c.nHave < c.n || c.n <= 2*revealMin || c.seeds > 0 || e.cfg.NoSuperSeed {
		return false
	}
	return e.others(p)+e.book.unheard() >= superPeers && e.scarce()
}

// others counts the leechers that are connected besides p.
func (e *Engine) others(p *peer) (n int) {
	for _, q := range e.peers {
		if q != p && !q.closing && q.told && !q.counted {
			n++
		}
	}
	return n
}

// unheard counts the addresses that may be peers and are not connected.
func (b *book) unheard() (n int) {
	for i := range b.list {
		if c := &b.list[i]; !c.refused && (c.state == candIdle || c.state == candDialing) {
			n++
		}
	}
	return n
}

// scarce reports whether there is a piece that no peer has.
func (e *Engine) scarce() bool {
	for _, n := range e.content.pick.avail {
		if n == 0 {
			return true
		}
	}
	return false
}

// veil has a fresh peer told that we have nothing, and soon of a few pieces.
func (e *Engine) veil(p *peer) {
	c := e.content
	if e.super.shown == nil {
		e.super.shown = make([]uint16, c.n)
	}
	e.super.veiled++
	p.veil = &veil{shown: bitset.New(c.n), busy: e.now, lift: -1}
	if p.reserved.Fast() {
		e.send(p, wire.Msg{Type: wire.HaveNone})
	}
}

// unveiled forgets what a peer was shown.
func (e *Engine) unveiled(p *peer) {
	if p.veil == nil {
		return
	}
	for _, i := range p.veil.open {
		e.super.shown[i]--
	}
	p.veil = nil
	if e.super.veiled--; e.super.veiled == 0 {
		e.super.shown = nil
	}
}

// reveal tells veiled peers of more pieces, where it is time.
func (e *Engine) reveal() {
	if e.super.veiled == 0 {
		return
	}
	alone := e.others(nil) == 1 // to whom could it pass anything on
	for _, p := range e.peers {
		if p.veil == nil || p.closing || !p.told {
			continue
		}
		if p.veil.lift >= 0 {
			e.lift(p)
			continue
		}
		e.review(p)
		for {
			wants, starved := e.wantsMore(p, alone)
			if !wants {
				break
			}
			i, ok := e.choosePiece(p, starved)
			if !ok {
				break
			}
			p.veil.shown.Add(int(i))
			p.veil.open = append(p.veil.open, i)
			p.veil.lacks++
			e.super.shown[i]++
			e.send(p, wire.Msg{Type: wire.Have, Index: i})
		}
	}
}

// review drops from what is open to a peer what others have as well, or have without it.
func (e *Engine) review(p *peer) {
	v, avail := p.veil, e.content.pick.avail
	kept := v.open[:0]
	v.lacks = 0
	for _, i := range v.open {
		has := p.has.Has(int(i))
		if !has {
			v.busy = e.now
			v.lacks++
		}
		if has && avail[i] > 1 {
			e.super.shown[i]--
			continue
		}
		kept = append(kept, i)
	}
	v.open = kept
}

// wantsMore reports whether a peer should be told of another piece, and whether it has
// had nothing to ask for so long that any will do.
func (e *Engine) wantsMore(p *peer, alone bool) (wants, starved bool) {
	v, length := p.veil, float64(e.content.info.PieceLength)
	if e.now.Sub(v.busy) >= starvedAfter && len(v.open) < 2*revealMax {
		return true, true
	}
	open := len(v.open)
	if alone {
		open = v.lacks
	}
	ahead := max(p.up.rate.Rate(e.now)*revealAhead.Seconds(), revealBytes) / length
	return open < min(max(int(ahead), revealMin), revealMax), false
}

// choosePiece is the piece to tell a peer of: one that nobody has and that is shown to
// nobody. Only a starved peer may have, for want of such, the one that comes closest.
func (e *Engine) choosePiece(p *peer, starved bool) (best uint32, ok bool) {
	c, s := e.content, &e.super
	least := ^uint32(0)
	for range min(c.n, revealScan) {
		i := s.cursor
		if s.cursor++; s.cursor == c.n {
			s.cursor = 0
		}
		if p.veil.shown.Has(i) || p.has.Has(i) {
			continue
		}
		n := uint32(c.pick.avail[i]) + uint32(s.shown[i])
		if n == 0 {
			best, ok = uint32(i), true
			break
		}
		if starved && n < least {
			best, least, ok = uint32(i), n, true
		}
	}
	if ok {
		p.veil.busy = e.now
	}
	return best, ok
}

// liftVeils begins to tell everybody everything, once the swarm can do without us.
func (e *Engine) liftVeils() {
	c := e.content
	if e.super.veiled == 0 || c.complete && c.nHave == c.n && c.seeds == 0 && e.scarce() {
		return
	}
	for _, p := range e.peers {
		if p.veil != nil && p.veil.lift < 0 {
			p.veil.lift = 0
		}
	}
}

// lift tells a peer of all that it was not told of, some at a time.
func (e *Engine) lift(p *peer) {
	v, c := p.veil, e.content
	for told := 0; v.lift < c.n; v.lift++ {
		i := v.lift
		if v.shown.Has(i) || !c.have.Has(i) {
			continue
		}
		if told++; told > unveilAtOnce {
			return // the next turn goes on
		}
		e.send(p, wire.Msg{Type: wire.Have, Index: uint32(i)})
	}
	e.unveiled(p)
	if c.complete {
		e.sendUploadOnly(p) // which was kept back
	}
}
