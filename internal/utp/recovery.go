package utp

import (
	"time"

	"seedbed/internal/mono"
)

const (
	firstTimeout = time.Second            // BEP 29: the initial timeout
	minTimeout   = 500 * time.Millisecond // BEP 29
	maxTimeout   = 30 * time.Second
	// maxTimeouts is the number of timeouts in a row after which the connection fails: half a
	// minute with a short round trip.
	maxTimeouts = 5
	// dupThreshold is the number of packets acknowledged past one that is missing after which
	// it is lost (BEP 29).
	dupThreshold = 3
)

// recovery holds what decides that a packet is lost.
//
// A packet is lost when one that was sent later was acknowledged, and enough time has
// passed that reordering is no explanation (as in RACK, RFC 8985). This covers packets that
// are sent again too, which counting duplicate acknowledgements does not. Until the path
// reorders for the first time, three later packets are enough.
type recovery struct {
	rtt       time.Duration // last measured round trip
	srtt      time.Duration // smoothed (BEP 29); 0: not measured yet
	rttvar    time.Duration
	timeoutAt mono.Time // mono.Never: nothing is in flight
	nudgeAt   mono.Time // when the next nudge is to be sent; mono.Never: there is none
	nudgedAt  mono.Time // when the last one was sent

	newest    mono.Time     // when the newest acknowledged packet was sent
	newestRTT time.Duration // how long it took
	window    time.Duration // how late a reordered packet comes; 0: the path does not reorder
	lossAt    mono.Time     // when a packet that may be reordered is lost; mono.Never: none

	newestSeq  uint16 // sequence number of the newest acknowledged packet
	timeouts   uint8  // timeouts since the last progress
	nudges     uint8  // nudges since the last progress
	duplicates uint8  // acknowledgements without progress
	asking     bool   // a nudge asks which packets have arrived; no data is sent meanwhile
}

func newRecovery(now mono.Time) recovery {
	return recovery{timeoutAt: mono.Never, lossAt: mono.Never, nudgeAt: mono.Never, nudgedAt: now - 1, newest: now - 1}
}

// timeout returns how long to wait for progress.
func (r *recovery) timeout() time.Duration {
	t := firstTimeout
	if r.srtt > 0 {
		t = max(r.srtt+4*r.rttvar, minTimeout) // BEP 29
	}
	return min(t<<min(r.timeouts, 8), maxTimeout)
}

// progressed restarts the timeout. Only new acknowledgements do, so that a peer or a
// stream of duplicates cannot hold it up.
func (r *recovery) progressed(now mono.Time, inFlight bool) {
	r.timeouts, r.duplicates, r.asking, r.nudges = 0, 0, false, 0
	r.timeoutAt, r.nudgeAt = mono.Never, mono.Never
	if inFlight {
		r.timeoutAt = now.Add(r.timeout())
	}
}

func (c *Conn) measureRTT(now mono.Time, rtt time.Duration) {
	r := &c.recovery
	r.rtt = rtt
	c.delays.rtt.add(now, uint32(rtt/time.Microsecond))
	if r.srtt == 0 {
		r.srtt, r.rttvar = max(rtt, 1), rtt/2
		return
	}
	r.rttvar += ((r.srtt - rtt).Abs() - r.rttvar) / 4 // BEP 29
	r.srtt = max(1, r.srtt+(rtt-r.srtt)/8)
}

// ackResult sums up what one packet acknowledges.
type ackResult struct {
	packets   int
	bytes     int
	rtt       time.Duration // of the newest packet that was sent once; 0: none
	rttAt     mono.Time     // when that packet was sent
	newest    mono.Time     // when the newest packet was sent
	newestSeq uint16
	any       bool // newest is set
	arrived   int  // packets that were called lost although they had arrived
	// echo is the timestamp of the last packet that the other side had received, plus the time
	// for which it held the acknowledgement; mono.Never if it is not known.
	echo mono.Time
}

// echoSlack is how coarse the clock of the other side may be.
const echoSlack = 2 * time.Millisecond

// echo returns the value of that name in ackResult for a packet. BEP 29: the difference in a
// header is the time of arrival less the timestamp of the last packet received, so both
// timestamps of the sender of h cancel out.
func echo(now mono.Time, h *Header) mono.Time {
	ago := micros(now) - (h.Timestamp - h.TimestampDiff)
	if h.TimestampDiff == 0 || time.Duration(ago)*time.Microsecond > maxSilence {
		return mono.Never
	}
	return now - mono.Time(ago)*1000
}

// before reports whether p was sent before the newest packet that was acknowledged.
func (r *recovery) before(p *packet, seq uint16) bool {
	return p.sentAt < r.newest || p.sentAt == r.newest && int16(seq-r.newestSeq) < 0
}

// packetAcked takes note that a packet was acknowledged for the first time.
func (c *Conn) packetAcked(now mono.Time, p *packet, seq uint16, a *ackResult) {
	r := &c.recovery
	a.packets++
	a.bytes += int(p.size)
	took := now.Sub(p.sentAt)
	if p.is(flagLost) {
		c.lost--
		p.flags &^= flagLost
		a.arrived++
	} else {
		c.flight -= int(p.size)
	}
	if p.sends > 1 && c.answersEarlier(p, took, a.echo) {
		// This does not answer the last transmission. An earlier one had arrived: the path was
		// slower, or reorders more, than we thought.
		c.stats.Spurious++
		a.arrived++
		r.setWindow(max(2*r.window, c.delays.minRTT()/2))
		return
	}
	if p.sends == 1 {
		if !a.any || p.sentAt >= a.rttAt {
			a.rtt, a.rttAt = max(took, time.Microsecond), p.sentAt
		}
		if r.before(p, seq) {
			late := max(took-r.newestRTT, 0)
			r.setWindow(max(r.window, late+late/4, c.delays.minRTT()/4))
		}
		if p.is(flagProbe) { // and not lost before
			c.mtu.arrived()
		}
	}
	if !a.any || a.newest < p.sentAt || a.newest == p.sentAt && int16(seq-a.newestSeq) > 0 {
		a.newest, a.newestSeq, a.any = p.sentAt, seq, true
	}
}

// answersEarlier reports whether an acknowledgement answers an earlier transmission of p
// than the last, which took ago.
func (c *Conn) answersEarlier(p *packet, took time.Duration, echo mono.Time) bool {
	if echo != mono.Never {
		return echo.Add(echoSlack) < p.sentAt
	}
	// After a timeout a short round trip proves nothing, as the queues are empty and it can be
	// the shortest ever.
	return took < c.delays.minRTT() && c.recovery.timeouts == 0
}

// setWindow sets how late a reordered packet may come.
func (r *recovery) setWindow(d time.Duration) {
	r.window = max(time.Microsecond, min(d, r.srtt))
}

// acknowledged takes note of the newest packet of an acknowledgement.
func (r *recovery) acknowledged(now mono.Time, a *ackResult) {
	if a.any && (a.newest > r.newest || a.newest == r.newest && int16(a.newestSeq-r.newestSeq) > 0) {
		r.newest, r.newestSeq, r.newestRTT = a.newest, a.newestSeq, now.Sub(a.newest)
	}
}

// detectLosses marks the packets that are lost as of now.
func (c *Conn) detectLosses(now mono.Time) {
	r := &c.recovery
	r.lossAt = mono.Never
	if c.inflight.n == 0 || c.sacked == 0 && !r.before(c.inflight.at(0), c.inflight.una) {
		return
	}
	above := c.sacked // packets acknowledged past the current one
	for i := range c.inflight.n {
		p := c.inflight.at(i)
		switch {
		case p.is(flagAcked):
			above--
			continue
		case p.is(flagLost):
			continue
		case !r.before(p, c.inflight.una+uint16(i)):
			if above == 0 && p.sends == 1 {
				return // all that follow were sent later
			}
			continue
		}
		lostAt := p.sentAt.Add(r.newestRTT + max(r.window, c.delays.minRTT()/4))
		if now >= lostAt || r.window == 0 && above >= dupThreshold && p.sends == 1 {
			c.markLost(now, p)
		} else {
			r.lossAt = min(r.lossAt, lostAt)
		}
	}
}

// duplicateAck handles an acknowledgement that acknowledges nothing new.
func (c *Conn) duplicateAck(now mono.Time) {
	r := &c.recovery
	r.duplicates = min(r.duplicates+1, 100)
	head := c.inflight.at(0)
	// BEP 29: "when receiving 3 duplicate acks, ack_nr + 1 is assumed to have been lost". It
	// matters for peers that send no selective acks.
	if r.duplicates == dupThreshold && c.sacked == 0 && head.sends == 1 && !head.is(flagLost) {
		c.markLost(now, head)
	}
}

func (c *Conn) markLost(now mono.Time, p *packet) {
	if c.setLost(p) {
		c.ledbat.lost(now, p.sentAt, c.delays.queueing(c.recovery.rtt), c.recovery.rtt, c.mtu.payload())
	}
}

// setLost notes that p is lost, and reports whether that says something about congestion. A
// lost probe says something about the length of packets.
func (c *Conn) setLost(p *packet) (congestion bool) {
	p.flags |= flagLost
	c.lost++
	c.flight -= int(p.size)
	if p.is(flagProbe) {
		p.flags &^= flagProbe
		c.stats.ProbesLost++
		c.mtu.lost()
		return false
	}
	c.stats.Lost++
	return true
}

// timedOut handles that nothing was acknowledged for too long. Only the oldest packet is
// sent again at once. Its acknowledgement shows which of the others are lost; often only the
// path was slow.
func (c *Conn) timedOut(now mono.Time) {
	r := &c.recovery
	c.stats.Timeouts++
	r.timeouts++
	if r.timeouts > maxTimeouts {
		c.end(ErrTimeout)
		return
	}
	r.timeoutAt = now.Add(r.timeout())
	p := c.inflight.at(0)
	if p.is(flagLost) || c.setLost(p) {
		c.ledbat.timedOut(now, c.mtu.payload())
	}
	r.asking = r.asking && r.timeouts == 1 || r.timeouts%2 == 0 && c.mayShorten(now, p)
	c.nudge, c.forceHead = r.asking, !r.asking
	r.nudgeAt = mono.Never
}
