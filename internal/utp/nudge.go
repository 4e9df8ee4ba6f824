package utp

import (
	"time"

	"seedbed/internal/mono"
)

// A nudge is a packet of 21 bytes with a number that the other side has already, so it
// acknowledges at once and says what it has received. We send one when the acknowledgement of
// what is in flight is late. If packets were lost, nothing else would show it before the
// timeout, because nothing was sent after them. (TCP sends the last packet again, see RFC 8985.
// A nudge is shorter, also passes where long packets no longer do, and is never data twice.)

const (
	// maxNudges is the number of nudges without progress. Then the timeout decides.
	maxNudges = 3
	// maxPeerAckDelay is how long others hold the acknowledgement of a single packet.
	maxPeerAckDelay = 100 * time.Millisecond
	// minHoleRun is the number of long packets that are lost in a row when the path has probably
	// begun to swallow long packets.
	minHoleRun = 4
)

// armNudge sets the time of the next nudge. It is called when data is sent or acknowledged.
func (c *Conn) armNudge(now mono.Time) {
	r := &c.recovery
	r.nudgeAt = mono.Never
	if r.srtt == 0 || r.nudges >= maxNudges || r.asking || c.inflight.n == 0 {
		return
	}
	wait := 2*r.srtt + maxAckDelay
	if c.inflight.n == 1 {
		wait += maxPeerAckDelay
	}
	if at := now.Add(wait << r.nudges); at < r.timeoutAt {
		r.nudgeAt = at
	}
}

// nudgeIsDue handles that the time of the next nudge has come.
func (c *Conn) nudgeIsDue(now mono.Time) {
	c.nudge = true
	c.recovery.nudges++
	c.armNudge(now)
}

// nudged reports whether a packet with this echo is the first answer to the last nudge. If so,
// what was sent before the nudge and has not arrived is late by now.
func (r *recovery) nudged(now, echo mono.Time, una uint16) bool {
	if r.nudgedAt <= r.newest || echo == mono.Never || echo.Add(echoSlack) < r.nudgedAt {
		return false
	}
	r.newest, r.newestSeq, r.newestRTT = r.nudgedAt, una-1, now.Sub(r.nudgedAt)
	return true
}

// suspectHole looks for a path that takes long packets no longer, after losses were found. If
// all of several long packets were lost, or the same one twice, nothing is sent until all of
// them must have arrived or be lost. Then a nudge asks for them (see mayShorten).
func (c *Conn) suspectHole(now mono.Time) {
	r := &c.recovery
	if c.lost < c.inflight.n || c.inflight.n == 0 || r.asking {
		return
	}
	head := c.inflight.at(0)
	if int(head.size)+HeaderLen <= minDatagram || c.inflight.n < minHoleRun && head.sends == 1 {
		return
	}
	last := head.sentAt
	for i := range c.inflight.n {
		last = max(last, c.inflight.at(i).sentAt)
	}
	r.asking, r.nudgeAt = true, max(now, last.Add(c.quiet()))
	r.timeoutAt = max(r.timeoutAt, r.nudgeAt.Add(r.timeout()))
}
