package utp

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

// maxPeerWindow limits the window in bytes that the other side may advertise.
const maxPeerWindow = 1 << 30

// maxAckDelay is how long the acknowledgement of a single packet waits for a packet that
// carries it.
const maxAckDelay = 40 * time.Millisecond

// Receive takes a packet that arrived for the connection, and copies what it keeps. It
// ignores packets that cannot be of this connection.
func (c *Conn) Receive(now mono.Time, b []byte) {
	h, sack, payload, err := parse(b)
	if err != nil || c.state == done {
		return
	}
	now = c.advance(now)
	switch h.Type {
	case Reset:
		c.receiveReset(&h)
		return
	case Syn:
		// The answer to the SYN was lost. Others send the same SYN again after three seconds; more
		// are forged, and their source would receive as many answers.
		if c.state == synReceived && h.ConnID == c.sendID && h.Seq == c.next-1 && now.Sub(c.sentAt) >= synAgain {
			c.ackNow = true
		}
		return
	}
	// How many of the packets in flight this acknowledges. BEP 29 has no other check
	// against packets of strangers than the connection id and the sequence numbers.
	acked := int(int16(h.Ack - c.inflight.una + 1))
	if h.ConnID != c.recvID {
		return
	}
	if c.state == synReceived && acked != 0 {
		// A forged source does not know our number, and there are only 65,536.
		if c.wrongAcks++; c.wrongAcks >= maxWrongAcks {
			c.end(ErrTimeout)
		}
		return
	}
	if acked > c.inflight.n || acked < -maxStaleAck {
		return
	}
	switch c.state {
	case synSent:
		if acked != 0 {
			return
		}
		c.established(now, &h)
	case synReceived:
		if int16(h.Seq-c.next) < 0 || int(h.Seq-c.next) >= maxReorder {
			return
		}
		c.state, c.lingerAt = connected, mono.Never
	default:
		if d := int(int16(h.Seq - c.next)); d >= maxReorder || d < -math.MaxInt16/2 {
			return
		}
	}
	c.heardAt = now
	c.stats.PacketsReceived++
	c.delays.received(now, h.Timestamp)
	if acked >= 0 {
		c.receiveAck(now, &h, sack, acked)
	}
	if h.Type != State {
		c.receiveData(now, &h, payload)
	}
}

// established handles the first answer to our SYN.
func (c *Conn) established(now mono.Time, h *Header) {
	c.state, c.recovery.timeoutAt = connected, mono.Never
	// BEP 29 draws the answer to a SYN as if it used up a sequence number. In libutp and
	// libtorrent it does not: it has the number of the first packet that will follow.
	c.next = h.Seq
	c.measureRTT(now, now.Sub(c.sentAt))
	// The other side holds back its data until it hears from us again. If there is nothing
	// to write, an acknowledgement tells it.
	c.unacked, c.ackAt = 1, now.Add(maxAckDelay)
}

// receiveReset ends the connection if the RST can be an answer to what we sent. A stranger
// would have to guess which packets are in flight.
func (c *Conn) receiveReset(h *Header) {
	// A RST acknowledges the packet that it answers; that can be a ST_STATE, which has the
	// sequence number of the next packet.
	if d := int16(h.Ack - c.inflight.una + 1); d < 0 || int(d) > c.inflight.n+1 {
		return
	}
	// libutp and libtorrent send the id of the packet that they refuse, and others the id
	// that we receive under.
	if h.ConnID != c.recvID && h.ConnID != c.sendID {
		return
	}
	switch {
	case c.state == synSent:
		c.end(ErrRefused)
	case c.closing && c.finSent && c.send.n == 0:
		c.end(nil) // everything was delivered
	default:
		c.end(ErrReset)
	}
}

// receiveAck handles the acknowledgement in a packet that acknowledges acked packets in
// sequence, and those that sack names.
func (c *Conn) receiveAck(now mono.Time, h *Header, sack []byte, acked int) {
	window := int(min(h.Window, maxPeerWindow))
	before := c.flight
	a := ackResult{echo: echo(now, h)}
	for range acked {
		p := c.inflight.at(0)
		if p.is(flagAcked) {
			c.sacked--
		} else {
			c.packetAcked(now, p, c.inflight.una, &a)
		}
		c.inflight.popFront()
	}
	// The oldest packet is never one that is acknowledged; only a lie could make it so.
	for c.inflight.n > 0 && c.inflight.at(0).is(flagAcked) {
		c.sacked--
		c.inflight.popFront()
	}
	if acked > 0 {
		end := c.unsent
		if c.inflight.n > 0 {
			end = c.inflight.at(0).pos
		}
		c.send.discard(int(end - c.send.pos))
	}
	for i, bits := range sack {
		for k := 0; bits != 0; k, bits = k+1, bits>>1 {
			// The first bit stands for the packet after the first missing one.
			if at := 8*i + k + 1; bits&1 != 0 && at < c.inflight.n {
				if p := c.inflight.at(at); !p.is(flagAcked) {
					c.packetAcked(now, p, c.inflight.una+uint16(at), &a)
					p.flags |= flagAcked
					c.sacked++
				}
			}
		}
	}
	isDuplicate := acked == 0 && h.Type == State && a.packets == 0 && window == c.peerWindow && c.inflight.n > 0
	c.peerWindow = window
	if c.peerWindow > 0 {
		c.persistAt, c.persists = mono.Never, 0
	}
	// µTorrent reports MaxInt32 if it has no sample (libtorrent has the same check).
	if h.TimestampDiff != 0 && h.TimestampDiff != math.MaxInt32 && a.packets > 0 {
		c.ledbat.target.baseFell(c.delays.reported(now, h.TimestampDiff))
	}
	if a.packets > 0 {
		c.progress(now, &a, before)
	}
	if isDuplicate {
		c.duplicateAck(now)
	}
	// Packets with data may come without a selective ack although packets are missing.
	if c.hasAsked() && a.packets == 0 && h.Type == State && sack == nil && acked == 0 && a.echo != mono.Never && a.echo.Add(c.quiet()/2) > c.recovery.nudgedAt {
		c.shortenPackets()
	}
	before = c.lost
	answered := c.recovery.nudged(now, a.echo, c.inflight.una)
	c.detectLosses(now)
	if c.lost > before {
		if answered {
			c.recovery.timeoutAt = now.Add(c.recovery.timeout()) // for what is sent again now
		}
		c.suspectHole(now)
	}
	if c.closing && c.lingerAt != mono.Never && a.packets > 0 {
		c.lingerAt = now.Add(maxLinger)
	}
	c.maybeFinish(now)
}

// progress handles that packets were acknowledged.
func (c *Conn) progress(now mono.Time, a *ackResult, before int) {
	if a.rtt > 0 {
		c.measureRTT(now, a.rtt)
	}
	c.recovery.acknowledged(now, a)
	c.recovery.progressed(now, c.inflight.n > 0)
	c.armNudge(now)
	c.forceHead, c.nudge = false, false
	c.dataAt, c.idleReleased = now, false
	c.ledbat.arrived(a.arrived)
	if a.bytes > 0 {
		c.ledbat.acked(now, a.bytes, before, c.delays.queueing(c.recovery.rtt), c.recovery.srtt, c.delays.minRTT(), c.mtu.payload())
	}
}

// receiveData handles ST_DATA and ST_FIN.
func (c *Conn) receiveData(now mono.Time, h *Header, payload []byte) {
	d := int(int16(h.Seq - c.next))
	if d < 0 || c.reorder.has(c.next, d) {
		c.stats.Duplicates++
		c.ackNow, c.ackAlone = true, true // our acknowledgement was lost, or this asks for one
		return
	}
	if c.gotFin && int16(h.Seq-c.finSeq) >= 0 { // BEP 29: nothing follows a FIN
		c.ackNow = true
		return
	}
	room := c.receiveWindow()
	if d == 0 {
		// What waits behind a gap must never keep out the packet that fills it.
		room += c.reorder.bytes
	}
	if len(payload) > room {
		c.ackNow = true // says how much room there is
		return
	}
	if h.Type == Fin && !c.gotFin {
		if d < c.reorder.top && c.reorder.count > 0 {
			return // it has sent what cannot follow
		}
		c.gotFin, c.finSeq = true, h.Seq
	}
	c.dataAt, c.idleReleased = now, false
	if d > 0 {
		c.reorder.put(c.next, d, payload)
		c.ackNow = true
		return
	}
	if c.reorder.count > 0 {
		c.ackNow = true // a gap is filled
	}
	c.deliver(payload)
	for {
		payload, ok := c.reorder.take(c.next)
		if !ok {
			break
		}
		c.deliver(payload)
	}
	c.unacked++
	if c.unacked >= 2 || c.eof {
		c.ackNow = true
	} else if c.ackAt == mono.Never {
		c.ackAt = now.Add(maxAckDelay)
	}
	c.maybeFinish(now)
}

// deliver takes the payload of the next packet in order.
func (c *Conn) deliver(payload []byte) {
	if !c.closing {
		c.recv.append(payload)
	}
	if c.gotFin && c.next == c.finSeq {
		c.eof = true
	}
	c.next++
}

// maybeFinish begins the end of the connection when both sides are finished.
func (c *Conn) maybeFinish(now mono.Time) {
	if c.closing && c.eof && c.finSent && c.inflight.n == 0 {
		c.lingerAt = min(c.lingerAt, now.Add(timeWait))
	}
}
