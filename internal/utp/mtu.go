package utp

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// minDatagram is the size of packets that every path takes: 576 bytes (RFC 791) without
	// the headers of IPv4 and UDP.
	minDatagram = 576 - 28
	// baseDatagram is tried when the longest packet does not pass: 1,280 bytes, which every
	// path of IPv6 and nearly every path of IPv4 takes, without the headers of IPv6 and UDP.
	baseDatagram = 1280 - 48
	// probeStep ends the search when the longest packet is known to this many bytes.
	probeStep = 8
	// probeAgain is the time after which a longer packet is tried again (RFC 8899).
	probeAgain = 10 * time.Minute
)

// pathMTU searches the length of the longest packet that the path takes.
//
// Data goes out in packets of a length that is known to pass. A probe is such a packet with
// padding, so a probe that does not arrive costs nothing: its data is sent again without
// the padding. So a connection can start with the shortest packets and try the longest ones
// at once. (libutp and libtorrent probe with longer data. They have to send that data
// again in the same length, in IP fragments, which many paths do not take either.)
type pathMTU struct {
	max     int       // never longer than this
	floor   int       // packets of this length pass
	ceiling int       // no longer packet passes
	hint    int       // tried first; 0: none
	probing int       // length of the probe in flight; 0: none
	proved  bool      // a probe of length floor has passed
	again   mono.Time // when the search starts anew; 0: it goes on
}

func newPathMTU(maximum, known int) pathMTU {
	m := pathMTU{max: max(maximum, minDatagram), floor: minDatagram}
	m.ceiling = m.max
	if known >= minDatagram && known < m.max {
		m.ceiling = known
	}
	m.hint = m.ceiling
	return m
}

// payload returns the number of bytes of data in a full packet.
func (m *pathMTU) payload() int { return m.floor - HeaderLen }

func (m *pathMTU) known() int {
	if !m.proved {
		return 0
	}
	return m.floor
}

// probe returns the length of the next probe, or 0 if there is none to send now.
func (m *pathMTU) probe(now mono.Time) int {
	if m.probing != 0 {
		return 0
	}
	if m.ceiling-m.floor < probeStep {
		if m.floor+probeStep > m.max {
			return 0
		}
		if m.again == 0 {
			m.again = now.Add(probeAgain)
		}
		if now < m.again {
			return 0
		}
		m.ceiling, m.hint, m.again = m.max, 0, 0
	}
	if m.hint > m.floor && m.hint <= m.ceiling {
		return m.hint
	}
	if m.floor < baseDatagram && baseDatagram < m.ceiling {
		return baseDatagram
	}
	return (m.floor + m.ceiling + 1) / 2
}

// arrived handles that the probe arrived.
func (m *pathMTU) arrived() {
	if m.probing > m.floor {
		m.floor, m.proved = m.probing, true
	}
	m.probing = 0
}

// lost handles that the probe was lost.
func (m *pathMTU) lost() {
	if m.probing != 0 {
		m.ceiling = max(m.floor, m.probing-1)
	}
	m.probing, m.hint = 0, 0
}

// tooLong handles that packets of length size cannot be sent at all.
func (m *pathMTU) tooLong(size int) {
	m.ceiling = max(minDatagram, min(m.ceiling, size-1))
	m.hint = 0
	if m.floor > m.ceiling {
		m.floor, m.proved = minDatagram, false
	}
}

// minQuiet is the shortest time after which a packet is no longer on the way.
const minQuiet = 500 * time.Millisecond

// quiet returns how long before the question below a packet was sent last, so that it is no
// longer on the way. A queue on the path holds up the question too, and is no danger.
func (c *Conn) quiet() time.Duration { return max(minQuiet, 3*c.recovery.srtt) }

// mayShorten reports whether the packets in flight may be cut into shorter ones, if it turns
// out that the path takes long ones no longer; p is the oldest, and was lost twice in a row.
//
// The numbers of packets count packets, not bytes. So the other side must not have any of
// the long ones, or it would take the same bytes twice. A short packet asks it. While we
// wait for the answer nothing else is sent, and what was sent before is either there or
// lost.
//
// If a packet has arrived past the missing ones, then their numbers do not suffice for
// shorter packets. The long packet is sent again until the connection fails.
func (c *Conn) mayShorten(now mono.Time, p *packet) bool {
	return int(p.size)+HeaderLen > minDatagram && c.sacked == 0 && now.Sub(p.sentAt) >= c.quiet()
}

// hasAsked reports whether the question is sent.
func (c *Conn) hasAsked() bool {
	return c.recovery.asking && c.recovery.nudgeAt == mono.Never && !c.nudge
}

// shortenPackets cuts what is in flight into shorter packets. The other side has answered
// that it has none of them.
func (c *Conn) shortenPackets() {
	c.mtu.tooLong(int(c.inflight.at(0).size) + HeaderLen)
	c.mtu.probing = 0
	c.unsent = c.send.pos
	c.inflight.n, c.flight, c.lost = 0, 0, 0
	c.finSent, c.recovery.asking = false, false
	c.recovery.nudges = 0
	c.recovery.timeoutAt = mono.Never
}
