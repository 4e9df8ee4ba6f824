package utp

import (
	"io"
	"slices"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// BEP 29: "the minimum timeout for a packet is 1/2 second", and "for every packet
// consecutive subsequent packet that times out, the timeout is doubled". Only the oldest
// packet is sent again. Before, three nudges ask what has arrived.
func TestTimeouts(t *testing.T) {
	a, _ := pair(t)
	a.Write([][]byte{make([]byte, 3000)})
	all(a, 0)
	var at []time.Duration
	nudges := 0
	for now := mono.Time(0); now < mono.Time(time.Minute) && !a.Done(); now += 10 * millisecond {
		for _, p := range all(a, now) {
			h, _, _ := Parse(p)
			if h.Type == Data && h.Seq == 1000 && len(p) == HeaderLen+1 && now < mono.Time(500*time.Millisecond) {
				nudges++
				continue
			}
			if h.Type != Data || h.Seq != 1001 && len(p) > HeaderLen+1 {
				t.Errorf("%+v at %v", h, now)
			}
			at = append(at, now.Sub(0))
		}
	}
	s := time.Second
	if want := []time.Duration{s / 2, s * 3 / 2, s * 7 / 2, s * 15 / 2, s * 31 / 2}; !slices.EqualFunc(at, want, func(x, y time.Duration) bool { return (x - y).Abs() < 50*time.Millisecond }) || nudges != maxNudges || a.Err() != ErrTimeout {
		t.Errorf("%v, want %v; %d nudges, %v", at, want, nudges, a.Err())
	}
}

// BEP 29: rtt_var += (abs(delta) - rtt_var) / 4; rtt += (packet_rtt - rtt) / 8;
// timeout = max(rtt + rtt_var * 4, 500), and 1,000 ms before there is a round trip.
func TestRoundTripTime(t *testing.T) {
	c := newConn(testConfig, connected, 1, 2, 1, 0)
	if c.recovery.timeout() != time.Second {
		t.Error(c.recovery.timeout())
	}
	c.measureRTT(0, 400*time.Millisecond)
	c.measureRTT(0, 800*time.Millisecond)
	// rttvar = 200 + (400-200)/4 = 250; srtt = 400 + (800-400)/8 = 450
	if c.recovery.srtt != 450*time.Millisecond || c.recovery.timeout() != 1450*time.Millisecond {
		t.Errorf("%v, %v", c.recovery.srtt, c.recovery.timeout())
	}
}

// lossy returns a connection that has sent ten packets, and its peer.
func lossy(t *testing.T) (a, b *Conn, packets [][]byte) {
	a, b = pair(t)
	a.ledbat.window = 1 << 20
	a.delays.rtt.reset(0, 10_000)
	a.mtu.floor, a.mtu.ceiling = baseDatagram, baseDatagram // no probes
	a.Write([][]byte{make([]byte, 10*a.mtu.payload())})
	return a, b, all(a, 10*millisecond)
}

// BEP 29: a packet is lost if 3 or more packets have been acknowledged past it, through
// selective acks.
func TestThreeSelectiveAcks(t *testing.T) {
	a, b, p := lossy(t)
	for i, q := range p[1:4] { // the first one is missing
		b.Receive(20*millisecond, q)
		for _, ack := range all(b, 20*millisecond) {
			a.Receive(20*millisecond, ack)
		}
		resent := all(a, 20*millisecond)
		if want := i / 2; len(resent) != want {
			t.Fatalf("%d packets sent again after %d selective acks", len(resent), i+1)
		} else if want == 1 {
			if h, _, _ := Parse(resent[0]); h.Seq != 1001 {
				t.Errorf("%+v", h)
			}
		}
	}
}

// BEP 29: "when receiving 3 duplicate acks, ack_nr + 1 is assumed to have been lost".
func TestThreeDuplicateAcks(t *testing.T) {
	a, _, _ := lossy(t)
	h := Header{Type: State, ConnID: a.recvID, Window: uint32(a.peerWindow), Seq: 2000, Ack: 1000}
	for i := range 4 {
		resent := all(a, 20*millisecond)
		if want := i / 3; len(resent) != want {
			t.Fatalf("%d packets sent again after %d duplicates", len(resent), i)
		}
		a.Receive(20*millisecond, h.Append(nil))
	}
}

// The caller may pass times that go back a little, as its threads wait for a lock: no packet
// is lost for that.
func TestTimesThatGoBack(t *testing.T) {
	a, b, p := lossy(t)
	a.Write([][]byte{make([]byte, 10*a.mtu.payload())})
	p = append(p, all(a, 5*millisecond)...) // sent after the others
	for _, q := range p[:10] {
		b.Receive(50*millisecond, q)
	}
	for _, ack := range all(b, 50*millisecond) {
		a.Receive(50*millisecond, ack)
	}
	if st := a.Stats(); st.Lost > 0 || a.inflight.n != 10 || len(p) != 20 {
		t.Errorf("%d packets, %d in flight, %+v", len(p), a.inflight.n, st)
	}
}

// Fewer than three packets follow a lost one: a quarter of a round trip later it is lost too.
func TestLossNearTheEnd(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 50 * time.Millisecond}, &link{s: s, delay: 50 * time.Millisecond})
	s.run(time.Second, nil)
	n := 0
	a.alter = func([]byte) bool {
		n++
		return n != 2
	}
	a.toWrite = 3 * 528
	s.at(s.now, a.step)
	s.run(300*time.Millisecond, nil)
	if st := a.conn.Stats(); b.read != 3*528 || st.Timeouts > 0 || st.Resent != 1 {
		t.Errorf("%d bytes, %+v", b.read, st)
	}
}

// The last packets are lost, so that nothing shows it. A nudge does, before the timeout.
func TestNudge(t *testing.T) {
	for _, lose := range []int{1, 3, 10} {
		s := newSim(t, 1)
		a, b := s.connect(testConfig, &link{s: s, delay: 50 * time.Millisecond}, &link{s: s, delay: 50 * time.Millisecond})
		s.run(time.Second, nil)
		a.conn.ledbat.window = 1 << 20
		n := 0
		a.alter = func([]byte) bool {
			n++
			return n <= 10-lose || n > 10
		}
		a.toWrite = 10 * 528
		s.at(s.now, a.step)
		begun := s.now
		s.run(time.Minute, func() bool { return b.read == 10*528 })
		if st := a.conn.Stats(); st.Timeouts > 0 || int(st.Resent) != lose || s.now.Sub(begun) > 700*time.Millisecond || b.conn.Stats().Duplicates != 1 {
			t.Errorf("%d lost: %d bytes after %v, %+v, %d duplicates", lose, b.read, s.now.Sub(begun), st, b.conn.Stats().Duplicates)
		}
	}
}

// BEP 29: packets that are missing may arrive after the FIN, and nothing has a number above
// that of the FIN.
func TestFinBeforeData(t *testing.T) {
	a, b, p := lossy(t)
	a.Close(20 * millisecond)
	fin := one(t, a, 20*millisecond)
	if h, rest, _ := Parse(fin); h.Type != Fin || h.Seq != 1011 || len(rest) > 0 {
		t.Fatalf("%+v, %d bytes", h, len(rest))
	}
	b.Receive(30*millisecond, p[9])
	b.Receive(30*millisecond, packetOf(Header{Type: Fin, ConnID: b.recvID, Seq: 1005, Ack: 1999, Window: 9999}, ""))
	if b.gotFin {
		t.Error("a FIN counts although a later packet is there")
	}
	b.Receive(30*millisecond, fin)
	b.Receive(30*millisecond, packetOf(Header{Type: Data, ConnID: b.recvID, Seq: 1012, Ack: 1999, Window: 9999}, "more"))
	if _, err := b.Read(make([]byte, 10)); err != nil || b.reorder.count != 2 {
		t.Errorf("%v, %d packets wait", err, b.reorder.count)
	}
	for _, q := range p {
		b.Receive(30*millisecond, q)
	}
	got := 0
	for {
		n, err := b.Read(make([]byte, 5000))
		got += n
		if err == io.EOF {
			break
		} else if err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	if got != 10*1212 {
		t.Errorf("%d bytes", got)
	}
	// A FIN that is not acknowledged is sent again.
	at := a.Deadline()
	if resent := all(a, at+mono.Time(time.Second)); len(resent) == 0 {
		t.Error("nothing is sent again")
	}
	for _, ack := range all(b, 40*millisecond) {
		a.Receive(40*millisecond, ack)
	}
	if a.inflight.n > 0 {
		t.Errorf("%d packets in flight", a.inflight.n)
	}
}
