package utp

import (
	"errors"
	"io"
	"time"

	"seedbed/internal/mono"
)

// A Config holds the limits of a connection.
type Config struct {
	// MaxDatagram is the size in bytes of the longest packet that path MTU discovery tries:
	// the MTU of the interface without the headers of IP and UDP. At least 548.
	MaxDatagram int
	// KnownMTU is the result of MTU of an earlier connection to the same host, or 0.
	KnownMTU int
	// SendBuffer and ReceiveBuffer limit the bytes that wait to be acknowledged or sent, and
	// to be read.
	SendBuffer, ReceiveBuffer int
}

// The errors of Read and Err.
var (
	ErrRefused = errors.New("utp: the peer refused the connection")
	ErrReset   = errors.New("utp: the peer reset the connection")
	ErrTimeout = errors.New("utp: the peer did not answer in time")
)

type state uint8

const (
	synSent     state = iota // until the SYN is acknowledged
	synReceived              // until the other side proves that it received our acknowledgement
	connected
	done // failed, reset, or both sides are finished
)

const (
	// maxInFlight is the number of packets that may be in flight. libutp keeps 1,024 packets
	// after a gap, and libtorrent about 950.
	maxInFlight = 1000
	// maxStaleAck limits how old an acknowledgement of a reordered packet may be, in packets.
	maxStaleAck = 2 * maxInFlight

	// synTimeout is how long a Conn waits for the answer to its SYN, and for the proof of the
	// other side's address.
	synTimeout = 9 * time.Second
	synAgain   = time.Second // the shortest time after which a SYN is answered again

	// maxWrongAcks is the number of wrong acknowledgements after which a half-open connection
	// ends. An honest peer sends none.
	maxWrongAcks = 8

	// keepAlive is the time after which a silent connection sends a packet, so that routers
	// keep its mapping. libutp has the same.
	keepAlive = 29 * time.Second
	// maxSilence ends a connection from which nothing is received.
	maxSilence = 5 * time.Minute
	// maxLinger ends a connection that is closed here if the peer acknowledges nothing more.
	maxLinger = 30 * time.Second
	// timeWait is how long a finished connection answers late packets of the peer.
	timeWait = 500 * time.Millisecond

	// idleAfter is the time without data after which a connection frees its buffers.
	idleAfter = time.Second

	// firstReceiveWindow limits the receive window of a new connection in bytes. The window
	// grows while the application reads as fast as data arrives.
	firstReceiveWindow = 128 << 10
	// minSendBuffer is the number of bytes that Write accepts whatever the window is.
	minSendBuffer = 32 << 10
)

// A Conn is one side of a uTP connection.
type Conn struct {
	cfg    Config
	state  state
	err    error // why the connection ended; nil after a clean end
	recvID uint16
	sendID uint16

	// What we send.
	inflight     inflight
	send         byteRing // bytes that are not acknowledged, sent or not
	unsent       uint32   // stream position of the first byte that was never sent
	flight       int      // bytes that are sent, and neither acknowledged nor lost
	lost         int      // packets that are to be sent again
	sacked       int      // packets in inflight that are acknowledged
	peerWindow   int      // bytes that the other side can take
	closing      bool     // Close was called
	finSent      bool     // the FIN is in inflight or acknowledged
	forceHead    bool     // the oldest packet is sent again, whatever the window is
	nudge        bool     // a packet that asks for an acknowledgement is to be sent
	resetPending bool     // a RST is to be sent
	synIsSent    bool
	wrongAcks    uint8     // packets with a wrong acknowledgement while half-open
	last         output    // what the last Output returned
	pacedUntil   mono.Time // when the next burst may be sent
	refusedUntil mono.Time // when sending may be tried again after Refused
	refusals     uint8     // calls of Refused in a row
	sentAt       mono.Time // of the last packet

	// What we receive.
	next         uint16 // sequence number of the next packet in order
	recv         byteRing
	reorder      reorderBuffer
	recvLimit    int  // receive window of an empty buffer in bytes
	readSince    int  // bytes read since recvLimit last grew
	advertised   int  // the window in the last packet that we sent
	unacked      int  // packets in order that we have not acknowledged
	ackNow       bool // an acknowledgement is to be sent
	ackAlone     bool // in a packet without data
	gotFin       bool
	eof          bool   // everything before the FIN is received
	finSeq       uint16 // sequence number of the FIN, if gotFin
	heardAt      mono.Time
	dataAt       mono.Time // of the last data sent or received
	idleReleased bool

	now mono.Time // the latest time that the caller has passed

	// Timers. mono.Never is a timer that is not set.
	ackAt     mono.Time
	persistAt mono.Time
	persists  uint8 // how often persistAt has run out in a row
	lingerAt  mono.Time

	recovery recovery
	delays   delays
	ledbat   ledbat
	mtu      pathMTU
	stats    Stats
}

// Stats are counters of a connection.
type Stats struct {
	PacketsSent, PacketsReceived uint32
	Resent                       uint32 // packets of data or FIN that were sent again
	Lost                         uint32 // packets that were found lost, without probes
	ProbesLost                   uint32 // probes of the path MTU that were lost
	Timeouts                     uint32 // times that no acknowledgement came before the timeout
	Spurious                     uint32 // packets that were sent again although they had arrived
	Duplicates                   uint32 // packets received again

	Window   int           // bytes that may be in flight
	InFlight int           // bytes in flight
	RTT      time.Duration // smoothed round trip time; 0 if not measured yet
	Queueing time.Duration // last measured time in queues on the way to the peer
}

func newConn(cfg Config, st state, recvID, sendID, una uint16, now mono.Time) *Conn {
	return &Conn{
		cfg: cfg, state: st, recvID: recvID, sendID: sendID,
		inflight: inflight{una: una}, recvLimit: min(cfg.ReceiveBuffer, firstReceiveWindow),
		now: now, sentAt: now, heardAt: now, dataAt: now, idleReleased: true,
		ackAt: mono.Never, persistAt: mono.Never, lingerAt: mono.Never,
		recovery: newRecovery(now), ledbat: newLEDBAT(now), mtu: newPathMTU(cfg.MaxDatagram, cfg.KnownMTU),
	}
}

// Connect returns the side of a connection that opens it. connID should be random: it is
// the id under which the connection receives, and packets go out under the next one. seq is
// the sequence number of the SYN, which the first Output returns. The SYN is sent once: libutp
// does not answer the same SYN again if its answer is lost, so another try needs a Conn with
// another id.
func Connect(cfg Config, connID, seq uint16, now mono.Time) *Conn {
	return newConn(cfg, synSent, connID, connID+1, seq+1, now)
}

// Accept returns the side of a connection that answers syn. seq is the sequence number of
// its first packet and must be random: the other side proves by it that it receives what
// we send. The connection receives under the id after that of syn.
func Accept(cfg Config, syn *Header, seq uint16, now mono.Time) *Conn {
	c := newConn(cfg, synReceived, syn.ConnID+1, syn.ConnID, seq, now)
	c.next = syn.Seq + 1
	c.delays.received(now, syn.Timestamp)
	c.peerWindow = int(min(syn.Window, maxPeerWindow))
	c.ackNow = true
	c.lingerAt = now.Add(synTimeout)
	return c
}

// advance returns the time of a call. It never goes back: threads read the clock and then
// wait for the lock of the caller, and which packet was sent first must not depend on that.
func (c *Conn) advance(now mono.Time) mono.Time {
	c.now = max(c.now, now)
	return c.now
}

// Established reports whether the other side has answered: it has acknowledged the SYN,
// or for an accepted connection what answered it.
func (c *Conn) Established() bool { return c.state == connected }

// Readable reports whether Read would return data or an error.
func (c *Conn) Readable() bool { return c.recv.n > 0 || c.eof || c.state == done }

// Writable reports whether Write would accept a good amount of data, or can accept none
// ever again because the connection has ended.
func (c *Conn) Writable() bool {
	if c.state == done || c.closing {
		return true
	}
	limit := c.sendLimit()
	return c.state == connected && c.send.n <= limit-min(limit/4, minSendBuffer)
}

// Done reports whether the connection has ended. It needs no more calls then, except that
// what was received can be read.
func (c *Conn) Done() bool { return c.state == done && !c.resetPending }

// Err returns why the connection ended, or nil if it did not or both sides closed it.
func (c *Conn) Err() error { return c.err }

// MTU returns the size of the longest packet that is known to reach the other side, or 0
// if it is not known yet. It is meant for Config.KnownMTU of later connections to the
// same host.
func (c *Conn) MTU() int { return c.mtu.known() }

// Stats returns the counters of the connection.
func (c *Conn) Stats() Stats {
	s := c.stats
	s.Window, s.InFlight = int(c.ledbat.window), c.flight
	s.RTT, s.Queueing = c.recovery.srtt, c.delays.queueing(c.recovery.rtt)
	return s
}

// sendLimit returns how many bytes the send buffer may hold. Twice the window keeps the
// path full; more would only delay what is written later.
func (c *Conn) sendLimit() int {
	return min(c.cfg.SendBuffer, max(minSendBuffer, 2*int(c.ledbat.window)))
}

// Write copies as much of vec as the send buffer takes and returns the number of bytes. It
// takes nothing after Close and after the end of the connection.
func (c *Conn) Write(vec [][]byte) (n int) {
	if c.closing || c.state == done {
		return 0
	}
	room := c.sendLimit() - c.send.n
	for _, b := range vec {
		if room <= 0 {
			break
		}
		b = b[:min(len(b), room)]
		c.send.append(b)
		room -= len(b)
		n += len(b)
	}
	return n
}

// Read copies received data into b. It returns 0 and nil if there is none yet, io.EOF
// after the end of the stream, and the error of Err if the connection failed.
func (c *Conn) Read(b []byte) (n int, err error) {
	if c.recv.n == 0 {
		switch {
		case c.err != nil:
			return 0, c.err
		case c.eof || c.state == done:
			return 0, io.EOF
		}
		return 0, nil
	}
	head, tail := c.recv.slice(c.recv.pos, min(len(b), c.recv.n))
	n = copy(b, head)
	n += copy(b[n:], tail)
	c.recv.discard(n)
	c.growReceiveWindow(n)
	if c.idleReleased {
		c.recv.release()
	}
	// The other side may wait for room. It is told once a quarter of the window is free.
	if c.state == connected && !c.eof && c.receiveWindow()-c.advertised >= c.recvLimit/4 && c.advertised < c.recvLimit/2 {
		c.ackNow = true
	}
	return n, nil
}

// LimitBuffers changes Config.SendBuffer and Config.ReceiveBuffer to size bytes. What the
// buffers hold stays. If size is less than the window that the other side knows, it may have
// to send something again.
func (c *Conn) LimitBuffers(size int) {
	c.cfg.SendBuffer, c.cfg.ReceiveBuffer = size, size
	c.recvLimit = min(c.recvLimit, size)
}

// growReceiveWindow doubles the window each time that the application has read a window of
// data and left nothing in the buffer, so that peers whose data is not read use little
// memory.
func (c *Conn) growReceiveWindow(read int) {
	c.readSince += read
	if c.recv.n == 0 && c.readSince >= c.recvLimit && c.recvLimit < c.cfg.ReceiveBuffer {
		c.recvLimit, c.readSince = min(2*c.recvLimit, c.cfg.ReceiveBuffer), 0
	}
}

// receiveWindow returns how many bytes we can take.
func (c *Conn) receiveWindow() int {
	return max(0, c.recvLimit-c.recv.n-c.reorder.bytes)
}

// Close ends our side of the stream. What was written is still delivered, then a FIN
// follows. What is received from now on is discarded. The connection is Done when both
// sides are finished, or when the other side no longer answers.
func (c *Conn) Close(now mono.Time) {
	if c.closing || c.state == done {
		return
	}
	now = c.advance(now)
	c.closing = true
	c.recv.discard(c.recv.n)
	c.lingerAt = now.Add(maxLinger)
	if c.state != connected { // nobody waits for a FIN
		c.resetPending = c.state == synReceived
		c.end(nil)
	}
}

// Reset ends the connection at once. The next Output returns a RST for the other side.
func (c *Conn) Reset() {
	if c.state == done {
		return
	}
	c.resetPending = c.state == connected
	c.end(io.ErrClosedPipe)
}

// end ends the connection for the reason err and frees what is only needed to send.
func (c *Conn) end(err error) {
	c.state, c.err = done, err
	c.send.discard(c.send.n)
	c.send.release()
	c.inflight.n = 0
	c.inflight.release()
	c.reorder = reorderBuffer{}
	c.flight, c.lost, c.sacked = 0, 0, 0
}
