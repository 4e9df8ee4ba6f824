package engine

import (
	"cmp"
	"slices"
	"time"

	"seedbed/swarm/wire"
)

const (
	rechokeEvery    = 10 * time.Second // BEP 3: the choker runs every ten seconds
	optimisticEvery = 30 * time.Second // BEP 3: the optimistic unchoke rotates every 30 s
	newcomerFor     = time.Minute      // and new connections are three times as likely
	// A seed gives a peer a turn of at least so long and so much before another
	// that waits gets its place.
	turnTime  = 30 * time.Second
	turnBytes = 4 << 20
)

// answerInterest answers a peer's interest: at once if there is a free slot, for
// ten seconds are long in a small swarm.
func (e *Engine) answerInterest(p *peer) {
	if !p.up.choking {
		return
	}
	if e.content != nil && e.now >= p.up.retry && e.hasSlot() {
		e.unchoke(p)
		return
	}
	e.allowFast(p)
}

// hasSlot reports whether there is a free slot; one that a peer holds which is not
// interested is taken from it.
func (e *Engine) hasSlot() bool {
	if e.unchoked() < e.uploadSlots() {
		return true
	}
	for _, p := range e.peers {
		if !p.closing && !p.up.choking && !p.up.interested {
			e.choke(p)
			return true
		}
	}
	return false
}

// uploadSlots are the regular ones and the optimistic one.
func (e *Engine) uploadSlots() int { return e.cfg.Uploads + 1 }

// unchoked is how many slots are held. A peer that is not interested any more holds
// its slot too, as it may request at any time, until another wants it.
func (e *Engine) unchoked() (n int) {
	for _, p := range e.peers {
		if !p.closing && !p.up.choking {
			n++
		}
	}
	return n
}

func (e *Engine) unchoke(p *peer) {
	if p.up.choking {
		p.up.choking = false
		p.up.since, p.up.sent = e.now, 0
		e.send(p, wire.Msg{Type: wire.Unchoke})
	}
}

func (e *Engine) choke(p *peer) {
	if p.up.choking {
		return
	}
	p.up.choking, p.up.optimistic = true, false
	if e.content != nil {
		e.content.super.choked(&p.super)
	}
	e.send(p, wire.Msg{Type: wire.Choke})
	for p.up.queue.Len() > 0 {
		e.reject(p, p.up.queue.Pop()) // BEP 6: what is pending is rejected
	}
	// Behind a slow uplink the window is many seconds long.
	if p.up.handed > 0 {
		e.cmd(Command{Kind: CmdWithdraw, Conn: p.conn})
	}
}

// rechokeSoon has the choker run with the next batch: the rules have changed.
func (e *Engine) rechokeSoon() { e.rechokeAt = min(e.rechokeAt, e.now) }

// fillUnchokes gives free slots to those who have waited longest.
func (e *Engine) fillUnchokes() {
	e.freeUnchoke = false
	if e.content == nil {
		return
	}
	for range e.peers {
		var best *peer
		for _, p := range e.peers {
			if !p.closing && p.up.choking && p.up.interested && e.now >= p.up.retry && (best == nil || p.up.since < best.up.since) {
				best = p
			}
		}
		if best == nil || !e.hasSlot() {
			return
		}
		e.unchoke(best)
	}
}

// rechoke is the choker's round: tit for tat while we download, turns when we
// only give.
func (e *Engine) rechoke() {
	e.rechokeAt = e.now.Add(rechokeEvery)
	c := e.content
	if c == nil {
		return
	}
	list := e.ranking[:0]
	for _, p := range e.peers {
		if !p.closing && p.up.interested {
			list = append(list, p)
		}
	}
	e.ranking = list
	slots := e.uploadSlots()
	spare := slots - len(list) // for those that are not interested
	for _, p := range e.peers {
		if p.closing || p.up.choking || p.up.interested {
			continue
		}
		if spare--; spare < 0 {
			e.choke(p)
		}
	}
	if len(list) > slots {
		if c.complete {
			slices.SortStableFunc(list, e.byTurn)
			e.reserveTrialSlot(list, slots)
		} else {
			slices.SortStableFunc(list, e.byMerit)
			e.optimism(list, slots)
		}
	}
	// Chokes go first, so that the slots are never overdrawn.
	for _, p := range list[min(slots, len(list)):] {
		e.choke(p)
		e.allowFast(p)
	}
	for _, p := range list[:min(slots, len(list))] {
		e.unchoke(p)
	}
	clear(e.ranking)
}

// reserveTrialSlot gives the last slot to the first of those who have not proven
// themselves: without it nobody new ever could.
func (e *Engine) reserveTrialSlot(list []*peer, slots int) {
	if !e.stalled.on || e.turn(list[slots-1]) >= 3 {
		return
	}
	if k := slices.IndexFunc(list[slots:], func(p *peer) bool { return e.turn(p) == 3 }); k >= 0 {
		list[slots-1], list[slots+k] = list[slots+k], list[slots-1]
	}
}

// byMerit puts those first who give us most. A peer that snubs us has none
// (BEP 3: anti-snubbing).
func (e *Engine) byMerit(x, y *peer) int {
	if out := e.now < x.up.retry; out != (e.now < y.up.retry) {
		if out {
			return 1
		}
		return -1
	}
	if x.down.snubbed != y.down.snubbed {
		if x.down.snubbed {
			return 1
		}
		return -1
	}
	return cmp.Compare(y.down.rate.Rate(e.now), x.down.rate.Rate(e.now))
}

// byTurn puts those first whose turn is not over, the fastest before the
// others, then those who wait, the longest first, then those who had their turn;
// where many are stalled those who have not proven themselves come after these, and last
// those who took nothing.
func (e *Engine) byTurn(x, y *peer) int {
	if k := cmp.Compare(e.turn(x), e.turn(y)); k != 0 {
		return k
	}
	switch e.turn(x) {
	case 0:
		return cmp.Compare(y.up.rate.Rate(e.now), x.up.rate.Rate(e.now))
	case 3: // the newest is the one that is least likely to have been there to harm
		return cmp.Compare(y.since, x.since)
	}
	return cmp.Compare(x.up.since, y.up.since)
}

func (e *Engine) turn(p *peer) int {
	switch {
	case e.now < p.up.retry:
		return 4
	case e.stalled.on && !p.up.proven():
		return 3
	case p.up.choking:
		return 1
	case p.up.sent >= turnBytes && e.now.Sub(p.up.since) >= turnTime:
		return 2
	case e.now.Sub(p.up.since) >= 4*turnTime: // however little it took
		return 2
	}
	return 0
}

// optimism puts the optimistic unchoke, which needs no merit, at the last
// place that is served.
func (e *Engine) optimism(list []*peer, slots int) {
	rest := list[slots-1:]
	chosen := -1
	if e.now < e.optimisticAt {
		chosen = slices.IndexFunc(rest, func(p *peer) bool { return p.up.optimistic })
	}
	if chosen < 0 {
		e.optimisticAt = e.now.Add(optimisticEvery)
		total := 0
		for _, p := range rest {
			total += e.chance(p)
		}
		if total == 0 {
			return
		}
		at := e.rng.IntN(total)
		for i, p := range rest {
			if at -= e.chance(p); at < 0 {
				chosen = i
				break
			}
		}
	}
	for _, p := range list {
		p.up.optimistic = false
	}
	rest[chosen].up.optimistic = true
	rest[0], rest[chosen] = rest[chosen], rest[0]
}

// chance is a peer's weight in the draw for the optimistic unchoke.
func (e *Engine) chance(p *peer) int {
	switch {
	case p.up.optimistic, e.now < p.up.retry:
		return 0 // it had its chance
	case e.now.Sub(p.since) < newcomerFor:
		return 3
	}
	return 1
}
