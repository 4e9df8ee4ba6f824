package utp

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// pair returns a connection with an established peer, between which the test carries the
// packets by hand.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a = Connect(testConfig, 100, 1000, 0)
	syn, _, err := Parse(one(t, a, 0))
	if err != nil || syn.Type != Syn {
		t.Fatalf("%+v, %v", syn, err)
	}
	b = Accept(testConfig, &syn, 2000, 0)
	a.Receive(0, one(t, b, 0))
	if !a.Established() || b.Established() {
		t.Fatal("the side that opens is established by the answer, the other by the first packet")
	}
	return a, b
}

// one returns the only packet that c has to send.
func one(t *testing.T, c *Conn, now mono.Time) []byte {
	t.Helper()
	p := all(c, now)
	if len(p) != 1 {
		t.Fatalf("%d packets", len(p))
	}
	return p[0]
}

// all returns the packets that c has to send.
func all(c *Conn, now mono.Time) (packets [][]byte) {
	b := make([]byte, 0, 64<<10)
	for {
		n, segment := c.Output(now, b)
		if n == 0 {
			return packets
		}
		for i := 0; i < n; i += segment {
			packets = append(packets, append([]byte(nil), b[i:min(n, i+segment)]...))
		}
	}
}

func packetOf(h Header, payload string) []byte { return append(h.Append(nil), payload...) }

const millisecond = mono.Time(time.Millisecond)

// Packets that cannot be of this connection change nothing.
func TestForgedPackets(t *testing.T) {
	a, b := pair(t)
	a.Write([][]byte{[]byte("hello")})
	b.Receive(0, one(t, a, 0))
	all(b, millisecond)
	before := *b
	// b received 1001; it sends from 2000 on, and has sent nothing.
	h := Header{Type: Data, ConnID: b.recvID, Window: 1 << 20, Seq: 1002, Ack: 1999}
	for name, p := range map[string][]byte{
		"an id of nobody":               packetOf(Header{Type: Data, ConnID: 7, Window: h.Window, Seq: h.Seq, Ack: h.Ack}, "x"),
		"an ack of what was never sent": packetOf(Header{Type: Data, ConnID: h.ConnID, Window: h.Window, Seq: h.Seq, Ack: 2000}, "x"),
		"an ack far behind":             packetOf(Header{Type: Data, ConnID: h.ConnID, Window: h.Window, Seq: h.Seq, Ack: 50_000}, "x"),
		"data far ahead":                packetOf(Header{Type: Data, ConnID: h.ConnID, Window: h.Window, Seq: h.Seq + maxReorder, Ack: h.Ack}, "x"),
		"a RST that answers nothing":    packetOf(Header{Type: Reset, ConnID: h.ConnID, Ack: 2001}, ""),
		"a RST for what was never sent": packetOf(Header{Type: Reset, ConnID: h.ConnID, Ack: 1998}, ""),
		"a RST with an id of nobody":    packetOf(Header{Type: Reset, ConnID: 7, Ack: 1999}, ""),
		"a SYN":                         packetOf(Header{Type: Syn, ConnID: b.sendID, Seq: 1000}, ""),
		"what is no packet":             []byte("d1:ad2:id20:"),
		"an extension that is too long": append(h.Append(nil)[:1], append([]byte{1}, append(h.Append(nil)[2:], 0, 200)...)...),
	} {
		b.Receive(0, p)
		if b.next != before.next || b.state != before.state || b.recv.n != before.recv.n || b.peerWindow != before.peerWindow || b.ackNow || b.reorder.count > 0 {
			t.Errorf("%s changes the connection", name)
		}
	}
	b.Receive(0, packetOf(Header{Type: Reset, ConnID: b.sendID, Ack: 1999}, ""))
	if _, err := b.Read(nil); b.Err() != ErrReset || !b.Done() || b.recv.n != 5 || err != nil {
		t.Errorf("after a RST: %v, %v", b.Err(), err)
	}
	if n, err := b.Read(make([]byte, 9)); n != 5 || err != nil {
		t.Errorf("what was received before is lost: %d, %v", n, err)
	}
	if _, err := b.Read(make([]byte, 9)); err != ErrReset {
		t.Error(err)
	}
}

// Bits of a selective ack past what was sent are ignored (BEP 29).
func TestSelectiveAckOfNothing(t *testing.T) {
	a, b := pair(t)
	a.Write([][]byte{make([]byte, 3000)})
	for _, p := range all(a, 0)[:1] {
		b.Receive(0, p)
	}
	h := Header{Type: State, ConnID: a.recvID, Window: 1 << 20, Seq: 2000, Ack: 1000}
	p := h.Append(nil)
	p[1] = extSelectiveAck
	p = append(p, 0, 252)
	for range 252 {
		p = append(p, 0xff)
	}
	a.Receive(millisecond, p)
	if a.inflight.n > 6 || a.sacked != a.inflight.n-1 || a.lost > 1 {
		t.Errorf("%d in flight, %d acknowledged, %d lost", a.inflight.n, a.sacked, a.lost)
	}
}

// A side that nobody has answered sends nothing but answers, however much there is to send.
func TestHalfOpen(t *testing.T) {
	a := Connect(testConfig, 100, 1000, 0)
	p := one(t, a, 0)
	syn, _, _ := Parse(p)
	b := Accept(testConfig, &syn, 2000, 0)
	b.Write([][]byte{make([]byte, 9999)})
	if got := one(t, b, 0); len(got) > len(p) {
		t.Errorf("%d bytes answer %d", len(got), len(p))
	}
	answers := 0
	for i := range mono.Time(3000) {
		b.Receive(i*millisecond, p) // the same SYN again
		for _, got := range all(b, i*millisecond) {
			if answers++; len(got) > len(p) {
				t.Errorf("%d bytes answer %d", len(got), len(p))
			}
		}
	}
	if answers != 2 { // after one second and two
		t.Errorf("%d answers to the same SYN in three seconds", answers)
	}
	// Who has not seen our number cannot open the connection.
	b.Receive(0, packetOf(Header{Type: Data, ConnID: b.recvID, Seq: 1001, Ack: 55, Window: 9999}, "x"))
	if b.Established() || b.Readable() || len(all(b, 0)) > 0 {
		t.Error("opened by a stranger")
	}
	if end := b.Deadline(); end != mono.Time(9*time.Second) || len(all(b, end)) > 0 || !b.Done() || b.Err() != ErrTimeout {
		t.Errorf("ends at %v: %v", end, b.Err())
	}
}

// A forged source cannot open a connection by trying all numbers: we would send data to it.
func TestGuessedNumber(t *testing.T) {
	a := Connect(testConfig, 100, 1000, 0)
	syn, _, _ := Parse(one(t, a, 0))
	b := Accept(testConfig, &syn, 2000, 0)
	for ack := range 1 << 16 {
		b.Receive(0, packetOf(Header{Type: Data, ConnID: b.recvID, Seq: 1001, Ack: uint16(ack), Window: 9999}, "x"))
		if b.Established() {
			t.Fatalf("opened by the guess %d", ack)
		}
	}
	if !b.Done() || len(all(b, 0)) > 0 {
		t.Error("it goes on after wrong numbers")
	}
}

// A SYN is sent once, and waits nine seconds for an answer.
func TestNobodyAnswers(t *testing.T) {
	s := newSim(t, 1)
	a, _ := s.connect(testConfig, &link{s: s, loss: 1}, &link{s: s})
	s.run(time.Minute, func() bool { return a.conn.Done() })
	if at := s.now.Sub(0); a.conn.Err() != ErrTimeout || a.conn.Stats().PacketsSent != 1 || at != 9*time.Second {
		t.Errorf("%v after %v and %+v", a.conn.Err(), at, a.conn.Stats())
	}
	if _, err := a.conn.Read(nil); err != ErrTimeout {
		t.Error(err)
	}
	if a.conn.Deadline() != mono.Never {
		t.Error("a connection that is done has a deadline")
	}
}

// A RST that answers the SYN refuses the connection.
func TestRefusedConnection(t *testing.T) {
	a := Connect(testConfig, 100, 1000, 0)
	syn, _, _ := Parse(one(t, a, 0))
	r := Refuse(syn, 0, 77)
	a.Receive(0, r.Append(nil))
	if a.Err() != ErrRefused || !a.Done() {
		t.Error(a.Err())
	}
}

// A peer that falls silent costs few packets and less than two minutes.
func TestMutePeer(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 5 << 20
	s.run(time.Minute, func() bool { return b.read > 1<<20 })
	start, sent := s.now, a.conn.Stats().PacketsSent
	b.out.loss = 1
	s.run(5*time.Minute, func() bool { return a.conn.Done() })
	if took := s.now.Sub(start); a.conn.Err() != ErrTimeout || took > 2*time.Minute || a.conn.Stats().PacketsSent-sent > 1100 {
		t.Errorf("%v after %v and %d packets", a.conn.Err(), took, a.conn.Stats().PacketsSent-sent)
	}
	// The other side has nothing in flight. It ends when it has heard nothing for minutes.
	s.run(20*time.Minute, func() bool { return b.conn.Done() })
	if b.conn.Err() != ErrTimeout {
		t.Error(b.conn.Err())
	}
}

// An idle connection sends a packet every half a minute and never ends.
func TestKeepAlive(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	s.run(30*time.Minute, nil)
	if n := a.conn.Stats().PacketsSent; !a.conn.Established() || !b.conn.Established() || n < 60 || n > 130 {
		t.Errorf("%v, %v, %d packets", a.conn.Err(), b.conn.Err(), n)
	}
}

// The other side may claim any delay. It can only slow down what it receives itself.
func TestLyingTimestamps(t *testing.T) {
	for name, lie := range map[string]func(s *sim) uint32{
		"random":  func(s *sim) uint32 { return s.rng.Uint32() },
		"growing": func(s *sim) uint32 { return uint32(s.now / 100) },
		"sinking": func(s *sim) uint32 { return -uint32(s.now / 100) },
		"extreme": func(s *sim) uint32 { return uint32(s.rng.IntN(2)) << 31 },
	} {
		s := newSim(t, 1)
		up, down := dsl(s, 500e3, 100e3, 10*time.Millisecond)
		a, b := s.connect(testConfig, up, down)
		a.toWrite = 1 << 20
		b.alter = func(p []byte) bool {
			binary.BigEndian.PutUint32(p[4:], lie(s))
			binary.BigEndian.PutUint32(p[8:], lie(s))
			return true
		}
		s.run(time.Minute, func() bool { return b.read == 1<<20 })
		if b.read != 1<<20 || a.conn.ledbat.window > 2<<20 {
			t.Errorf("%s: %d bytes, %+v", name, b.read, a.conn.Stats())
		}
	}
}

// A peer that ignores our window cannot make us buffer more than our limit.
func TestIgnoredWindow(t *testing.T) {
	a, b := pair(t)
	a.Write([][]byte{[]byte("x")})
	b.Receive(0, one(t, a, 0))
	h := Header{Type: Data, ConnID: b.recvID, Window: 1 << 20, Seq: 1002, Ack: 1999}
	payload := string(make([]byte, 1400))
	for i := range 5000 {
		if i != 50 { // a gap: the rest waits for it
			b.Receive(0, packetOf(h, payload))
		}
		h.Seq++
		if held := b.recv.n + b.reorder.bytes; held > firstReceiveWindow {
			t.Fatalf("%d bytes held", held)
		}
	}
	if p := one(t, b, 0); len(p) > HeaderLen+2+maxSack {
		t.Errorf("an acknowledgement of %d bytes", len(p))
	}
	h.Seq = 1052
	b.Receive(0, packetOf(h, payload))
	if b.reorder.count > 0 || b.recv.n < firstReceiveWindow-1400 || b.recv.n > firstReceiveWindow+1400 {
		t.Errorf("%d packets behind a gap that is filled, %d bytes", b.reorder.count, b.recv.n)
	}
}

// The application stops to read for a minute: the other side stops to send, and goes on
// soon after, even if the packet that says so is lost.
func TestClosedWindow(t *testing.T) {
	for _, lost := range []bool{false, true} {
		s := newSim(t, 1)
		a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
		a.toWrite = 3 << 20
		s.run(time.Minute, func() bool { return b.read > 1<<20 })
		b.mute = true
		sent := a.conn.Stats().PacketsSent
		s.run(10*time.Second, nil)
		stopped := a.conn.Stats()
		s.run(time.Minute, nil)
		if st := a.conn.Stats(); st.PacketsSent-stopped.PacketsSent > 12 || st.Timeouts+st.Lost > 0 || st.PacketsSent == sent {
			t.Errorf("%d packets at a closed window, %+v", st.PacketsSent-stopped.PacketsSent, st)
		}
		b.mute = false
		if lost {
			b.out.loss = 1
		}
		s.at(s.now, b.step)
		s.run(time.Millisecond, nil)
		b.out.loss = 0
		limit := time.Second
		if lost {
			limit = maxPersist + time.Second
		}
		s.run(limit, func() bool { return b.read == 3<<20 })
		if b.read != 3<<20 {
			t.Errorf("lost %v: %d bytes, %+v", lost, b.read, a.conn.Stats())
		}
	}
}

// The path pauses for two seconds and then delivers everything: one packet at a time is sent
// again, not all that is in flight, and the window is restored.
func TestPause(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, rate: 5e6, delay: 10 * time.Millisecond}, &link{s: s, rate: 5e6, delay: 10 * time.Millisecond})
	a.toWrite = 20 << 20
	s.run(time.Minute, func() bool { return b.read > 5<<20 })
	before := a.conn.Stats()
	b.out.busy = s.now.Add(2 * time.Second)
	s.run(10*time.Second, func() bool { return b.read == 20<<20 })
	st := a.conn.Stats()
	t.Logf("%+v", st)
	if st.Resent-before.Resent > 3 || st.Lost-before.Lost > 3 || st.Window < before.Window/2 || st.Timeouts == 0 || st.Spurious == 0 || b.read != 20<<20 {
		t.Errorf("%d bytes, %+v", b.read, st)
	}
}

// A path begins to swallow long packets without a word: the connection finds out without a
// timeout, stands still for less than a second, and then loses nothing but probes.
func TestBlackHole(t *testing.T) {
	for _, delay := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		for _, mtu := range []int{1492, 1400, 1280, 600} {
			s := newSim(t, 1)
			a, b := s.connect(testConfig, &link{s: s, rate: 1e6, delay: delay}, &link{s: s, rate: 1e6, delay: delay})
			a.toWrite = 6 << 20
			s.run(time.Minute, func() bool { return b.read > 2<<20 })
			a.out.mtu, b.stall = mtu, 0
			s.run(time.Minute, func() bool { return a.conn.mtu.floor < 1472 })
			s.run(time.Minute, func() bool { return b.read == 4<<20 })
			lost := a.conn.Stats().Lost
			s.run(time.Minute, func() bool { return b.read == 6<<20 })
			st := a.conn.Stats()
			t.Logf("%d at %v: stall %v, MTU %d, %+v", mtu, delay, b.stall, a.conn.MTU(), st)
			if b.read != 6<<20 || b.stall > time.Second || st.Timeouts > 0 || st.Lost > lost || a.conn.MTU() > mtu-udpOverhead {
				t.Errorf("%d at %v: %d bytes, stall %v, MTU %d, %+v, %v", mtu, delay, b.read, b.stall, a.conn.MTU(), st, a.conn.Err())
			}
		}
	}
}

// The network is gone for a moment, which at first looks like a path that takes no long packets.
func TestOutage(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, rate: 1e6, delay: 10 * time.Millisecond}, &link{s: s, rate: 1e6, delay: 10 * time.Millisecond})
	a.toWrite = 4 << 20
	s.run(time.Minute, func() bool { return b.read > 2<<20 })
	a.out.loss = 1
	s.run(400*time.Millisecond, nil)
	a.out.loss = 0
	s.run(time.Minute, func() bool { return b.read == 4<<20 })
	if b.read != 4<<20 || a.conn.MTU() < 1472-probeStep || b.stall > time.Second {
		t.Errorf("%d bytes, stall %v, MTU %d, %+v", b.read, b.stall, a.conn.MTU(), a.conn.Stats())
	}
}

// Only an answer that was given after the question, and by itself, shows that the other side
// has none of the packets in flight.
func TestQuestionAfterTimeouts(t *testing.T) {
	a, b, _ := lossy(t)
	b.Receive(0, packetOf(Header{Type: State, ConnID: b.recvID, Seq: 1001, Ack: 1999, Window: 1 << 20}, ""))
	b.Write([][]byte{make([]byte, 500)})
	all(b, 0)
	all(a, mono.Time(510*time.Millisecond)) // the first timeout
	asked := mono.Time(1510 * time.Millisecond)
	question := one(t, a, asked)
	if h, _, _ := Parse(question); h.Seq != 1000 || len(question) != HeaderLen+1 {
		t.Fatalf("%+v", h)
	}
	h := Header{Type: State, ConnID: a.recvID, Timestamp: micros(asked), TimestampDiff: micros(asked) - 10_000, Window: 5000, Seq: 2000, Ack: 1000}
	a.Receive(asked, h.Append(nil)) // held up on the way
	if len(all(a, asked)) > 0 || a.inflight.n != 10 {
		t.Error("an old answer counts")
	}
	b.Receive(asked+10*millisecond, question)
	b.Write([][]byte{make([]byte, 500)}) // does not carry the answer
	answer := all(b, asked+10*millisecond)
	if h, _, _ := Parse(answer[0]); h.Type != State || len(answer) < 2 {
		t.Errorf("%+v", h)
	}
	a.Receive(asked+20*millisecond, answer[0])
	shorter := all(a, asked+20*millisecond)
	if len(shorter) == 0 {
		t.Fatal("nothing is sent")
	}
	if h, rest, _ := Parse(shorter[0]); h.Seq != 1001 || len(rest) != minDatagram-HeaderLen {
		t.Errorf("%+v, %d bytes", h, len(rest))
	}
}

// The socket refuses packets that are longer than the interface takes. Nothing is lost by
// that, also when the interface changes.
func TestRefusedAsTooLong(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, rate: 2e6, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 4 << 20
	limit := 1400
	a.refuse = func(n, segment int) (no, long bool) { return segment > limit, segment > limit }
	s.run(time.Minute, func() bool { return b.read > 2<<20 })
	if got := a.conn.MTU(); got > limit || got <= limit-probeStep {
		t.Errorf("MTU %d", got)
	}
	limit = 1000
	s.run(time.Minute, func() bool { return b.read == 4<<20 })
	if st := a.conn.Stats(); b.read != 4<<20 || st.Lost+st.ProbesLost+st.Timeouts+st.Resent > 0 || a.conn.MTU() > limit {
		t.Errorf("%d bytes, %+v, MTU %d", b.read, st, a.conn.MTU())
	}
}

// The interface takes only shorter packets while one is lost. It is refused when it is to
// be sent again, without a busy loop, until the other side has said that it has nothing.
func TestRefusedAgain(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, rate: 2e6, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 2 << 20
	limit, refused := 1472, 0
	a.refuse = func(n, segment int) (no, long bool) {
		if segment > limit {
			refused++
		}
		return segment > limit, segment > limit
	}
	s.run(time.Minute, func() bool { return b.read == 2<<20 })
	a.out.loss, a.toWrite = 1, 1452
	s.at(s.now, a.step)
	s.run(300*time.Millisecond, nil)
	a.out.loss, limit = 0, 1000
	s.run(time.Minute, func() bool { return b.read == 2<<20+1452 })
	if b.read != 2<<20+1452 || b.stall > 3*time.Second || refused == 0 || refused > 5 || a.conn.MTU() > limit {
		t.Errorf("%d bytes, stall %v, %d refused, MTU %d, %+v", b.read, b.stall, refused, a.conn.MTU(), a.conn.Stats())
	}
}

// Every fifth burst is refused because the socket is full: nothing counts as lost.
func TestRefusedForNow(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, rate: 2e6, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 4 << 20
	n := 0
	a.refuse = func(int, int) (no, long bool) {
		n++
		return n%5 == 0, false
	}
	s.run(time.Minute, func() bool { return b.read == 4<<20 })
	if st := a.conn.Stats(); b.read != 4<<20 || st.Lost+st.ProbesLost+st.Timeouts+st.Resent > 0 || n < 100 {
		t.Errorf("%d bytes, %+v", b.read, st)
	}
}

// Reset tells the other side.
func TestReset(t *testing.T) {
	a, b := pair(t)
	a.Write([][]byte{[]byte("x")})
	b.Receive(0, one(t, a, 0))
	all(b, 0)
	a.Reset()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	b.Receive(0, one(t, a, 0))
	if !a.Done() || !b.Done() || b.Err() != ErrReset {
		t.Errorf("%v, %v", a.Err(), b.Err())
	}
}

// A side that is closed before anyone has answered tells so.
func TestCloseHalfOpen(t *testing.T) {
	b := Accept(testConfig, &Header{Type: Syn, ConnID: 5, Seq: 1}, 2000, 0)
	all(b, 0)
	b.Close(0)
	if h, _, err := Parse(one(t, b, 0)); err != nil || h.Type != Reset || h.ConnID != 5 || h.Ack != 1 || !b.Done() {
		t.Errorf("%+v, %v", h, err)
	}
}

// The other side acknowledges the FIN and never closes: it is told after half a minute.
func TestOtherSideStaysOpen(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 1000
	s.run(time.Second, nil)
	a.conn.Close(s.now)
	a.step()
	s.run(maxLinger-time.Second, nil)
	if a.conn.Done() || !b.eof {
		t.Error("does not wait for the other side")
	}
	s.run(3*time.Second, nil)
	if !a.conn.Done() || a.conn.Err() != nil || b.conn.Err() != ErrReset || b.read != 1000 {
		t.Errorf("done %v, %v, %v", a.conn.Done(), a.conn.Err(), b.conn.Err())
	}
}

// What was received is kept when the path dies after Close: the side that waits for the FIN
// to be acknowledged does not wait for ever.
func TestCloseIntoSilence(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite = 1000
	s.run(time.Second, nil)
	a.out.loss = 1
	a.conn.Close(s.now)
	a.step()
	s.run(5*time.Minute, func() bool { return a.conn.Done() })
	if took := s.now.Sub(0); !a.conn.Done() || took > maxLinger+5*time.Second || b.read != 1000 {
		t.Errorf("done %v after %v", a.conn.Done(), took)
	}
}
