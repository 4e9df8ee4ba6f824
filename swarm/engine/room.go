package engine

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// idleFor is how long a connection that neither side wants is kept when a
	// newcomer wants its place.
	idleFor = time.Minute
	// muteFor is how long every connection keeps its place without being of use.
	muteFor = 20 * time.Second
	// spentFor without a block in either direction, what went before counts no more: one
	// block does not buy a place for good.
	spentFor = 2 * time.Minute
	// maxReplacing is how many dials may be under way for the places of peers that
	// are of no use.
	maxReplacing = 4
)

// A usefulness is what counts when a newcomer wants the place of a connection.
type usefulness struct {
	since    mono.Time // when it began
	used     mono.Time // when a block went in either direction last; 0 is never
	lacking  bool      // we lack metadata or pieces
	wantsUs  bool      // it is interested in us
	isWanted bool      // we want pieces or metadata of it
	isSilent bool      // it was asked for metadata and does not answer
	hasMeta  bool      // we still want metadata, and it may have it
	stalled  bool      // it was unchoked and took next to nothing
	gave     int64     // bytes of pieces
	took     int64
}

// A rank says how soon a connection gives its place to a new one: the higher, the
// sooner. A connection of rankUseful keeps it.
type rank uint8

const (
	rankUseful  rank = iota
	rankMute         // we lack something, and for long nothing went either way
	rankStalled      // it blocks upload slots and gave nothing
	rankIdle         // neither side wants anything of the other
)

func (u *usefulness) rank(now mono.Time) rank {
	age := now.Sub(u.since)
	spent := u.lacking && now.Sub(max(u.used, u.since)) > spentFor
	switch {
	case !u.wantsUs && !u.isWanted && age > idleFor:
		return rankIdle
	case u.gave > 0 && !spent || u.hasMeta && !u.isSilent:
		return rankUseful
	case u.stalled:
		return rankStalled
	case u.took > 0 && !spent:
		return rankUseful
	case u.isWanted && age > muteFor, u.lacking && age > idleFor:
		return rankMute
	}
	return rankUseful
}

// usefulnessOf returns what counts for the place of p.
func (e *Engine) usefulnessOf(p *peer) usefulness {
	needsMeta := e.meta.needs(&p.meta)
	return usefulness{
		since: p.since, used: max(p.down.lastBlock, p.choke.sentAt), lacking: e.content == nil || !e.content.complete, wantsUs: p.choke.interested, isWanted: p.down.interested || needsMeta,
		hasMeta: needsMeta, isSilent: p.meta.pause > e.now,
		stalled: p.choke.isStalled(), gave: p.down.rate.Total(), took: p.choke.total,
	}
}

// makeRoom closes the connection that matters least, if there is one that does not
// matter. Of several of a rank the oldest goes.
func (e *Engine) makeRoom() bool {
	var worst *peer
	highest := rankUseful
	for _, p := range e.peers { // in the order they came
		if p.closing {
			continue
		}
		if u := e.usefulnessOf(p); u.rank(e.now) > highest {
			worst, highest = p, u.rank(e.now)
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

// countSpare counts the connections whose place newcomers may have. A torrent that
// lacks nothing dials nobody for them.
func (e *Engine) countSpare() {
	e.spare = 0
	if e.open < e.cfg.MaxConns || e.content != nil && e.content.complete {
		return
	}
	for _, p := range e.peers {
		if e.spare == maxReplacing {
			return
		}
		if u := e.usefulnessOf(p); !p.closing && u.rank(e.now) != rankUseful {
			e.spare++
		}
	}
}
