package engine

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// idleFor is how long a connection that neither side needs is kept when a new one
	// wants its place.
	idleFor = time.Minute
	// unusedFor is how long every connection keeps its place without being useful.
	unusedFor = 20 * time.Second
	// forgetUseAfter is how long after its last block a connection's earlier blocks still
	// count: one block does not secure its place forever.
	forgetUseAfter = 2 * time.Minute
	// maxReplacing is how many dials may be in progress to replace peers that are not
	// useful.
	maxReplacing = 4
)

// usefulness is what determines whether a new connection may replace this one.
type usefulness struct {
	since    mono.Time // when it was established
	used     mono.Time // when the last block was sent or received; 0 means never
	lacking  bool      // we lack metadata or pieces
	wantsUs  bool      // it is interested in us
	isWanted bool      // we want pieces or metadata from it
	isSilent bool      // it did not answer requests for metadata
	hasMeta  bool      // we need metadata, and it may have it
	stalled  bool      // it was unchoked but took almost nothing
	received int64     // bytes of pieces that it sent us
	sent     int64     // bytes of pieces that we sent it
}

// rank says how soon a connection is replaced: the higher, the sooner. A connection of
// rankUseful is never replaced.
type rank uint8

const (
	rankUseful  rank = iota
	rankUnused       // we lack something, but no block has been transferred for long
	rankStalled      // it occupies upload slots and sent nothing
	rankIdle         // neither side wants anything from the other
)

func (u *usefulness) rank(now mono.Time) rank {
	age := now.Sub(u.since)
	spent := u.lacking && now.Sub(max(u.used, u.since)) > forgetUseAfter
	switch {
	case !u.wantsUs && !u.isWanted && age > idleFor:
		return rankIdle
	case u.received > 0 && !spent || u.hasMeta && !u.isSilent:
		return rankUseful
	case u.stalled:
		return rankStalled
	case u.sent > 0 && !spent:
		return rankUseful
	case u.isWanted && age > unusedFor, u.lacking && age > idleFor:
		return rankUnused
	}
	return rankUseful
}

// usefulnessOf returns the usefulness of p.
func (e *Engine) usefulnessOf(p *peer) usefulness {
	needsMeta := e.meta.needs(&p.meta)
	return usefulness{
		since: p.since, used: max(p.down.lastBlock, p.choke.sentAt), lacking: e.content == nil || !e.content.complete, wantsUs: p.choke.interested, isWanted: p.down.interested || needsMeta,
		hasMeta: needsMeta, isSilent: p.meta.pause > e.now,
		stalled: p.choke.isStalled(), received: p.down.rate.Total(), sent: p.choke.total,
	}
}

// replaceWorst closes the least useful connection, if one may be replaced. Of several with
// the same rank, the one of the lowest priority (BEP 40) is closed, or the oldest if that is
// unknown.
func (e *Engine) replaceWorst() bool {
	var worst *peer
	highest := rankUseful
	for _, p := range e.peers { // oldest first
		if p.closing {
			continue
		}
		u := e.usefulnessOf(p)
		if r := u.rank(e.now); r > highest || worst != nil && r == highest && hasPriority(e.priorityOf(worst), e.priorityOf(p)) {
			worst, highest = p, r
		}
	}
	if worst == nil {
		return false
	}
	if highest == rankIdle {
		e.close(worst, FaultUseless)
	} else {
		e.close(worst, FaultSlow)
	}
	return true
}

// priorityOf returns the priority of a connection, or 0.
func (e *Engine) priorityOf(p *peer) uint32 {
	if p.listen.IsValid() {
		return e.book.priority(p.listen)
	}
	return e.book.priority(p.addr)
}

// replaceLowest closes the connection of the lowest priority, if that is lower than the one of a
// new connection. Connections that are new, that have sent us pieces or that we need metadata
// from are kept.
//
// A site that is connected already replaces nobody. BEP 40 expects one connection from an
// address; with more, a single host of a high priority would take the places of all others. An
// IPv6 site can even choose its priority, because it has all addresses of its /48.
func (e *Engine) replaceLowest(fresh *peer) bool {
	var lowest *peer
	least, site := e.priorityOf(fresh), siteOf(fresh.addr)
	for _, p := range e.peers {
		if p != fresh && !p.closing && siteOf(p.addr) == site {
			return false
		}
		u := e.usefulnessOf(p)
		if p == fresh || p.closing || u.received > 0 || u.hasMeta || e.now.Sub(u.since) < idleFor {
			continue
		}
		if x := e.priorityOf(p); hasPriority(least, x) {
			lowest, least = p, x
		}
	}
	if lowest == nil {
		return false
	}
	e.close(lowest, FaultUseless)
	return true
}

// dropExcess closes connections beyond MaxConns: the least useful ones, and of useful ones
// those that were established last.
func (e *Engine) dropExcess() {
	for e.open > e.cfg.MaxConns && e.replaceWorst() {
	}
	for i := len(e.peers) - 1; i >= 0 && e.open > e.cfg.MaxConns; i-- {
		if p := e.peers[i]; !p.closing {
			e.close(p, FaultUseless)
		}
	}
}

// countReplaceable counts the connections that may be replaced. A complete torrent dials nobody
// to replace them.
func (e *Engine) countReplaceable() {
	e.replaceable = 0
	if e.open < e.cfg.MaxConns || e.content != nil && e.content.complete {
		return
	}
	for _, p := range e.peers {
		if e.replaceable == maxReplacing {
			return
		}
		if u := e.usefulnessOf(p); !p.closing && u.rank(e.now) != rankUseful {
			e.replaceable++
		}
	}
}
