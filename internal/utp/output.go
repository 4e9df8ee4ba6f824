package utp

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// maxBurst is the number of packets that one Output returns at most. They share one
	// timestamp, so a longer burst would look like a queue to the other side.
	maxBurst      = 20
	maxBurstBytes = 64000 // the kernel takes less than 64 KiB for UDP_SEGMENT

	// timerSlack is how late a timer of the caller may be. A pace that needs shorter
	// intervals catches up.
	timerSlack = time.Millisecond
	// retryAfter is the time after Refused until the next try. It doubles each time up to
	// maxRetry, because a network may be down for long.
	retryAfter = 2 * time.Millisecond
	maxRetry   = time.Second
	// maxPersist is the longest interval at which we ask whether a closed window has opened.
	maxPersist = 15 * time.Second
)

type outputKind uint8

const (
	outputNone outputKind = iota
	outputSyn
	outputAck
	outputNudge
	outputReset
	outputNew    // packets with the highest numbers
	outputResent // packets that were sent before
)

// An output is what one call of Output returned, for Refused.
type output struct {
	kind    outputKind
	forced  bool   // it was the oldest packet, after a timeout
	first   uint16 // sequence number of the first packet of data
	count   uint8  // packets
	segment uint16
	sentAt  mono.Time // when the packets were last sent before
}

// Output appends packets to b[:0], within its capacity, and returns their total length. All
// have the length segment, but the last one may be shorter. It returns 0 if there is
// nothing to send now. The caller sends the packets at once, or calls Refused, and then
// calls Output again.
func (c *Conn) Output(now mono.Time, b []byte) (n, segment int) {
	now = c.advance(now)
	if c.last.kind != outputNone {
		c.refusals = 0
	}
	c.last = output{}
	c.runTimers(now)
	b = b[:0]
	switch {
	case c.resetPending:
		c.resetPending = false
		c.last.kind = outputReset
		b = c.appendHeader(b, now, Reset, 0, c.sendID, c.inflight.next())
	case c.state == done:
	case c.state == synSent:
		if !c.synIsSent {
			c.synIsSent = true
			c.recovery.timeoutAt = now.Add(synTimeout)
			c.last.kind = outputSyn
			b = c.appendHeader(b, now, Syn, 0, c.recvID, c.inflight.una-1)
		}
	case c.ackNow && (c.state == synReceived || c.reorder.count > 0 || c.ackAlone):
		b = c.appendAck(b, now)
	case c.state == synReceived:
	case c.nudge:
		// A packet that the other side has already makes it acknowledge at once.
		c.nudge = false
		c.recovery.nudgedAt = now
		c.last.kind = outputNudge
		b = append(c.appendHeader(b, now, Data, 0, c.sendID, c.inflight.una-1), 0)
	default:
		b = c.appendData(b, now)
		if len(b) == 0 && c.ackNow {
			b = c.appendAck(b, now)
		}
	}
	if len(b) == 0 {
		return 0, 0
	}
	c.sentAt = now
	if c.last.count == 0 {
		c.last.count, c.last.segment = 1, uint16(len(b))
	}
	c.stats.PacketsSent += uint32(c.last.count)
	return len(b), int(c.last.segment)
}

// appendHeader appends a header with the acknowledgement of what we have received.
func (c *Conn) appendHeader(b []byte, now mono.Time, typ Type, ext byte, id, seq uint16) []byte {
	c.advertised = c.receiveWindow()
	h := Header{
		Type: typ, ConnID: id, Timestamp: micros(now), TimestampDiff: c.delays.reply,
		Window: uint32(c.advertised), Seq: seq, Ack: c.next - 1,
	}
	if c.state == synSent {
		h.Ack = 0
	}
	b = h.Append(b)
	b[len(b)-HeaderLen+1] = ext
	if c.reorder.count == 0 || typ == State {
		c.ackNow, c.ackAlone, c.unacked, c.ackAt = false, false, 0, mono.Never
	}
	return b
}

// appendAck appends a ST_STATE, with a selective ack if packets are missing.
func (c *Conn) appendAck(b []byte, now mono.Time) []byte {
	c.last.kind = outputAck
	if c.reorder.count == 0 {
		return c.appendHeader(b, now, State, 0, c.sendID, c.inflight.next())
	}
	b = c.appendHeader(b, now, State, extSelectiveAck, c.sendID, c.inflight.next())
	at := len(b)
	b = c.reorder.sack(c.next, append(b, 0, 0))
	b[at+1] = byte(len(b) - at - 2)
	return b
}

// mayResend reports whether a lost packet fits the window.
func (c *Conn) mayResend(p *packet) bool {
	return c.flight == 0 || c.flight+int(p.size) <= int(c.ledbat.window)
}

// firstLost returns the index of the first packet that is to be sent again now, or -1.
func (c *Conn) firstLost() int {
	if c.lost == 0 || c.recovery.asking {
		return -1
	}
	i := 0
	for !c.inflight.at(i).is(flagLost) {
		i++
	}
	if c.forceHead && i == 0 || c.mayResend(c.inflight.at(i)) {
		return i
	}
	return -1
}

// newSize returns how many bytes of data the next new packet has, or 0 if none may be sent.
func (c *Conn) newSize() int {
	size := min(c.mtu.payload(), c.unsentBytes())
	switch {
	case size == 0 || c.lost > 0 || c.recovery.asking || c.inflight.n >= maxInFlight:
		return 0
	case c.flight == 0:
		return min(size, c.peerWindow)
	case c.flight+size > min(c.peerWindow, int(c.ledbat.window)):
		return 0
	}
	return size
}

func (c *Conn) unsentBytes() int {
	return int(c.send.pos + uint32(c.send.n) - c.unsent)
}

// mayFinish reports whether the FIN is to be sent now.
func (c *Conn) mayFinish() bool {
	return c.closing && !c.finSent && c.unsentBytes() == 0 && c.lost == 0 && !c.recovery.asking && c.inflight.n < maxInFlight
}

// appendData appends packets of data or a FIN.
func (c *Conn) appendData(b []byte, now mono.Time) []byte {
	if now < c.pacedUntil && !c.forceHead {
		return b
	}
	if i := c.firstLost(); i >= 0 {
		b = c.appendResent(b, now, i)
	} else if c.newSize() > 0 {
		b = c.appendNew(b, now)
	} else if c.mayFinish() {
		c.finSent = true
		c.last.kind, c.last.first = outputNew, c.inflight.next()
		b = c.appendHeader(b, now, Fin, 0, c.sendID, c.inflight.next())
		c.inflight.push(packet{sentAt: now, pos: c.unsent, sends: 1, flags: flagFin})
	} else {
		if c.persistAt == mono.Never && c.inflight.n == 0 && c.unsentBytes() > 0 {
			c.persistAt = now.Add(c.recovery.timeout())
		}
		return b
	}
	c.dataAt, c.idleReleased = now, false
	if c.recovery.timeoutAt == mono.Never {
		c.recovery.timeoutAt = now.Add(c.recovery.timeout())
	}
	c.armNudge(now)
	c.pace(now, len(b))
	return b
}

// burst returns the number of packets of length segment that may be sent at once: a quarter
// of the window, so that the other side's acknowledgements keep coming.
func (c *Conn) burst(room, segment int) int {
	quarter := int(c.ledbat.window) / 4 / (segment - HeaderLen + 1)
	return max(1, min(maxBurst, quarter, min(room, maxBurstBytes)/segment))
}

// pace delays the next burst after one of n bytes, so that a window lasts a round trip.
func (c *Conn) pace(now mono.Time, n int) {
	if c.recovery.srtt == 0 {
		return
	}
	rate := 1.25 * c.ledbat.window // bytes per round trip, somewhat more than needed
	if c.ledbat.slowStart {
		rate = 2 * c.ledbat.window
	}
	interval := time.Duration(float64(n) / rate * float64(c.recovery.srtt))
	c.pacedUntil = max(c.pacedUntil, now-mono.Time(timerSlack)).Add(interval)
}

// appendResent appends the lost packet i and those after it that are lost too.
func (c *Conn) appendResent(b []byte, now mono.Time, i int) []byte {
	segment := int(c.inflight.at(i).size) + HeaderLen
	c.last = output{kind: outputResent, first: c.inflight.una + uint16(i), segment: uint16(segment), forced: c.forceHead && i == 0}
	for limit := c.burst(cap(b), segment); int(c.last.count) < limit && i < c.inflight.n; i++ {
		p := c.inflight.at(i)
		size := int(p.size) + HeaderLen
		if !p.is(flagLost) || size > segment || c.last.count > 0 && !c.mayResend(p) {
			break
		}
		p.flags &^= flagLost
		c.last.sentAt = max(c.last.sentAt, p.sentAt)
		p.sentAt = now
		p.sends = min(p.sends, 254) + 1
		c.lost--
		c.flight += int(p.size)
		c.stats.Resent++
		c.last.count++
		typ := Data
		if p.is(flagFin) {
			typ = Fin
		}
		b = c.appendPayload(c.appendHeader(b, now, typ, 0, c.sendID, c.inflight.una+uint16(i)), p)
		if size < segment {
			break // only the last packet may be shorter
		}
	}
	c.forceHead = false
	return b
}

// appendNew appends packets of data that was never sent, or one probe.
func (c *Conn) appendNew(b []byte, now mono.Time) []byte {
	if c.inflight.n == 0 {
		c.ledbat.resume(now)
	}
	segment := c.newSize() + HeaderLen
	c.last = output{kind: outputNew, first: c.inflight.next(), segment: uint16(segment)}
	if length := c.mtu.probe(now); length > 0 && length <= cap(b) && segment == c.mtu.floor && c.recovery.timeouts == 0 {
		c.mtu.probing = length
		c.last.segment = uint16(length)
		return c.appendPacket(b, now, segment-HeaderLen, length-segment)
	}
	for limit := c.burst(cap(b), segment); int(c.last.count) < limit; {
		size := c.newSize()
		if size == 0 || size+HeaderLen > segment {
			break
		}
		b = c.appendPacket(b, now, size, 0)
		if size+HeaderLen < segment {
			break
		}
	}
	return b
}

// appendPacket appends a new packet with size bytes of data and with padding.
func (c *Conn) appendPacket(b []byte, now mono.Time, size, padding int) []byte {
	p := packet{sentAt: now, pos: c.unsent, size: uint16(size), sends: 1}
	seq := c.inflight.next()
	c.unsent += uint32(size)
	c.flight += size
	c.last.count++
	var ext byte
	if padding > 0 {
		p.flags, ext = flagProbe, extPadding
	}
	c.inflight.push(p)
	b = appendPadding(c.appendHeader(b, now, Data, ext, c.sendID, seq), padding)
	return c.appendPayload(b, &p)
}

func (c *Conn) appendPayload(b []byte, p *packet) []byte {
	head, tail := c.send.slice(p.pos, int(p.size))
	return append(append(b, head...), tail...)
}

// appendPadding appends extensions of n bytes in total; n is not 1. BEP 29: an extension
// begins with the type of the next one, 0 if there is none, and its own length, in one
// byte each.
func appendPadding(b []byte, n int) []byte {
	for n > 0 {
		size := min(n, 2+255)
		if n-size == 1 {
			size-- // 1 byte would be left, which is no extension
		}
		n -= size
		next := byte(0)
		if n > 0 {
			next = extPadding
		}
		b = append(b, next, byte(size-2))
		b = append(b, make([]byte, size-2)...)
	}
	return b
}

// Refused takes back the packets of the last Output, which could not be sent. They do not
// count as lost. No other method may be called between the two. tooLong says that they are
// too long for the interface or for the path as the system knows it.
func (c *Conn) Refused(now mono.Time, tooLong bool) {
	now = c.advance(now)
	last := c.last
	c.last = output{}
	if c.state == done { // a RST is not tried again: the other side times out
		return
	}
	c.stats.PacketsSent -= uint32(last.count)
	c.refusedUntil = now.Add(min(retryAfter<<min(c.refusals, 10), maxRetry))
	c.refusals = min(c.refusals, 100) + 1
	switch last.kind {
	case outputSyn:
		c.synIsSent = false
		c.recovery.timeoutAt = mono.Never
	case outputAck:
		c.ackNow = true
	case outputNudge:
		c.nudge = true
	case outputNew:
		c.ackNow = c.ackNow || c.unacked > 0
		for range last.count {
			p := c.inflight.at(c.inflight.n - 1)
			c.inflight.n--
			c.flight -= int(p.size)
			c.unsent = p.pos
			if p.is(flagFin) {
				c.finSent = false
			}
			if p.is(flagProbe) {
				if tooLong {
					c.mtu.lost()
				}
				c.mtu.probing = 0
				tooLong = false
			}
		}
		if c.inflight.n == 0 {
			c.recovery.timeoutAt = mono.Never
		}
		if tooLong {
			c.mtu.tooLong(int(last.segment))
		}
	case outputResent:
		for i := range last.count {
			p := c.inflight.at(int(last.first-c.inflight.una) + int(i))
			p.flags |= flagLost
			p.sends--
			p.sentAt = last.sentAt
			c.lost++
			c.flight -= int(p.size)
			c.stats.Resent--
		}
		c.forceHead = last.forced
		if tooLong {
			// An earlier transmission may have arrived, so they cannot be cut into shorter
			// packets now. The timeout does it (see mayShorten).
			c.forceHead = false
			c.pacedUntil = now.Add(minTimeout)
		}
	}
}

// runTimers handles the timers that have run out.
func (c *Conn) runTimers(now mono.Time) {
	if c.state == done {
		return
	}
	if now >= c.lingerAt {
		c.lingered()
		return
	}
	if c.state == synSent {
		if now >= c.recovery.timeoutAt {
			c.end(ErrTimeout)
		}
		return
	}
	if now.Sub(c.heardAt) >= maxSilence {
		c.end(ErrTimeout)
		return
	}
	if now >= c.recovery.timeoutAt {
		c.timedOut(now)
	}
	if now >= c.recovery.lossAt {
		c.detectLosses(now)
	}
	if now >= c.recovery.nudgeAt {
		c.nudgeIsDue(now)
	}
	if now >= c.ackAt || c.state == connected && now.Sub(c.sentAt) >= keepAlive {
		c.ackNow = true
	}
	if now >= c.persistAt {
		c.nudge = true
		c.persists++
		c.persistAt = now.Add(min(c.recovery.timeout()<<min(c.persists, 8), maxPersist))
	}
	if !c.idleReleased && now.Sub(c.dataAt) >= idleAfter {
		c.idleReleased = true
		c.send.release()
		c.recv.release()
		c.inflight.release()
		c.reorder.release()
	}
}

// lingered handles that a closed or half-open connection has waited long enough.
func (c *Conn) lingered() {
	switch {
	case c.state == synReceived:
		c.end(ErrTimeout)
	case c.finSent && c.inflight.n == 0: // everything was delivered
		c.resetPending = !c.eof
		c.end(nil)
	default:
		c.resetPending = true
		c.end(ErrTimeout)
	}
}

// Deadline returns when Output must be called next, if nothing else happens before. It may
// be in the past.
func (c *Conn) Deadline() mono.Time {
	if c.state == done {
		if c.resetPending {
			return c.now
		}
		return mono.Never
	}
	if c.state == synSent {
		if !c.synIsSent {
			return min(c.refusedUntil, c.lingerAt)
		}
		return min(c.recovery.timeoutAt, c.lingerAt)
	}
	at := min(c.lingerAt, c.recovery.timeoutAt, c.recovery.lossAt, c.recovery.nudgeAt, c.ackAt, c.persistAt, c.heardAt.Add(maxSilence))
	if c.state == connected {
		at = min(at, c.sentAt.Add(keepAlive))
		if !c.idleReleased {
			at = min(at, c.dataAt.Add(idleAfter))
		}
	}
	switch {
	case c.ackNow || c.state == connected && (c.nudge || c.forceHead):
		at = min(at, c.refusedUntil)
	case c.state == connected && (c.firstLost() >= 0 || c.newSize() > 0 || c.mayFinish()):
		at = min(at, max(c.refusedUntil, c.pacedUntil))
	case c.state == connected && c.persistAt == mono.Never && c.inflight.n == 0 && c.unsentBytes() > 0:
		at = min(at, max(c.refusedUntil, c.pacedUntil)) // Output sets a timer
	}
	return at
}
