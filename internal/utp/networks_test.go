package utp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

// dsl returns a home line: an uplink of rate bytes/s with a queue of that many bytes, and a
// fast way back.
func dsl(s *sim, rate float64, queue int, delay time.Duration) (up, down *link) {
	return &link{s: s, rate: rate, queue: queue, delay: delay}, &link{s: s, rate: 50 * rate, delay: delay}
}

// The first four are the networks of libtorrent's simulation/test_utp.cpp. It counts on the
// plain one nothing lost or sent again; with PPPoE 2 sent again; with buffer bloat nothing
// lost, 429 samples above the target and 152 below; on the straw 64 lost, 130 sent again and
// 32 timeouts. It sends about 600 packets in each.

func TestPlainNetwork(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 15 * time.Millisecond}, &link{s: s, delay: 15 * time.Millisecond})
	a.toWrite = 10 << 20
	s.run(2*time.Second, func() bool { return b.read == 10<<20 })
	st := a.conn.Stats()
	if b.read != 10<<20 || st.Lost+st.Resent+st.Timeouts+st.ProbesLost+b.conn.Stats().Duplicates > 0 || a.conn.MTU() != 1472 {
		t.Errorf("%d bytes, %+v, MTU %d", b.read, st, a.conn.MTU())
	}
}

// Paths that swallow long packets without a word: only the probes are lost, the transfer
// does not stall, and nothing is lost once the length is known.
func TestPathMTU(t *testing.T) {
	for _, c := range []struct{ mtu, probes int }{{1500, 0}, {1492, 1}, {1400, 4}, {1280, 5}, {1000, 4}} {
		s := newSim(t, 1)
		a, b := s.connect(testConfig, &link{s: s, delay: 15 * time.Millisecond, mtu: c.mtu}, &link{s: s, delay: 15 * time.Millisecond, mtu: c.mtu})
		a.toWrite = 10 << 20
		s.run(time.Minute, func() bool { return b.read > 5<<20 })
		known := a.out.tooLong
		s.run(time.Minute, func() bool { return b.read == 10<<20 })
		st := a.conn.Stats()
		if b.read != 10<<20 || st.Lost+st.Timeouts > 0 || int(st.ProbesLost) != c.probes || int(st.Resent) != c.probes || a.out.tooLong != known || b.stall > 100*time.Millisecond {
			t.Errorf("%d: %d bytes, %+v, stall %v, %d too long after it was known", c.mtu, b.read, st, b.stall, a.out.tooLong-known)
		}
		if got := a.conn.MTU(); got > c.mtu-udpOverhead || got <= c.mtu-udpOverhead-probeStep {
			t.Errorf("%d: MTU %d", c.mtu, got)
		}
		// The next connection to this host has the length after one round trip.
		cfg := testConfig
		cfg.KnownMTU = a.conn.MTU()
		a2, b2 := s.connect(cfg, a.out, b.out)
		a2.toWrite = 1 << 20
		s.run(time.Minute, func() bool { return b2.read == 1<<20 })
		if st := a2.conn.Stats(); st.ProbesLost+st.Lost+st.Resent > 0 || a2.conn.MTU() != cfg.KnownMTU {
			t.Errorf("%d, again: %+v, MTU %d", c.mtu, st, a2.conn.MTU())
		}
	}
}

// 50 kB/s and a buffer of ten seconds: the queue stays below the target, and the line busy.
func TestBufferBloat(t *testing.T) {
	s := newSim(t, 1)
	up, down := dsl(s, 50e3, 500e3, 20*time.Millisecond)
	a, _ := s.connect(testConfig, up, down)
	a.toWrite = 1 << 30
	s.run(time.Minute, nil)
	st := a.conn.Stats()
	use := float64(up.carried) / (50e3 * s.now.Sub(0).Seconds())
	t.Logf("%v (p95), %.3f used", up.waitP95(), use)
	if up.waitP95() > 110*time.Millisecond || use < 0.95 || st.Lost+st.Timeouts+st.Resent > 0 {
		t.Errorf("%v in the queue (p95), %.3f of the line used, %+v", up.waitP95(), use, st)
	}
}

// The same line with room for two packets.
func TestStraw(t *testing.T) {
	s := newSim(t, 1)
	up, down := dsl(s, 50e3, 3000, 20*time.Millisecond)
	a, b := s.connect(testConfig, up, down)
	a.toWrite = 1 << 30
	s.run(time.Minute, nil)
	st := a.conn.Stats()
	use := float64(b.read) / (50e3 * s.now.Sub(0).Seconds())
	t.Logf("%.3f used, %+v", use, st)
	if use < 0.75 || st.Timeouts > 0 || int(st.Lost) != up.drops || st.Spurious > 0 || b.stall > time.Second {
		t.Errorf("%.3f of the line used, stall %v, %d drops, %+v", use, b.stall, up.drops, st)
	}
}

// A second flow starts when the first has filled the queue to the target. It cannot see how
// long an empty path takes, and would push the first one out. In a short queue the flows must
// agree on how short it is.
func TestTwoFlows(t *testing.T) {
	for _, c := range []struct{ rate, queue float64 }{{100e3, 1}, {1.25e6, 1}, {1.25e6, 0.1}, {1.25e6, 0.05}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			if raceEnabled && c.rate > 1e6 {
				t.Skip("too slow")
			}
			s, rate := newSim(t, 1), c.rate
			up, down := dsl(s, rate, int(rate*c.queue), 25*time.Millisecond)
			a1, b1 := s.connect(testConfig, up, down)
			a1.toWrite = 1 << 30
			s.run(30*time.Second, nil)
			a2, b2 := s.connect(testConfig, up, down)
			a2.toWrite = 1 << 30
			s.run(60*time.Second, nil)
			r1, r2, carried := b1.read, b2.read, up.carried
			s.run(20*time.Second, nil)
			d1, d2 := b1.read-r1, b2.read-r2
			share, use := float64(d1)/float64(d1+d2), float64(up.carried-carried)/rate/20
			t.Logf("%.2f for the first, %.3f used, %v (p95)", share, use, up.waitP95())
			if share < 0.4 || share > 0.6 || use < 0.95 {
				t.Errorf("%.2f of the line for the first flow, %.3f of it used", share, use)
			}
		})
	}
}

// A queue shorter than the target is not filled, and the line is busy.
func TestShortQueue(t *testing.T) {
	s := newSim(t, 1)
	up, down := dsl(s, 500e3, 500e3*0.06, 20*time.Millisecond)
	a, _ := s.connect(testConfig, up, down)
	a.toWrite = 1 << 30
	s.run(30*time.Second, nil)
	up.waits, up.drops = nil, 0
	carried := up.carried
	s.run(60*time.Second, nil)
	use := float64(up.carried-carried) / (500e3 * 60)
	t.Logf("%v (p95), %.3f used, %d drops", up.waitP95(), use, up.drops)
	if up.waitP95() > 35*time.Millisecond || use < 0.95 {
		t.Errorf("%v in the queue (p95), %.3f of the line used", up.waitP95(), use)
	}
}

// With 2 % of loss at 50 ms, TCP with one packet of growth a round trip and half a window of
// cut would reach about 1.22/sqrt(0.02) packets a round trip: 250 kB/s.
func TestLossAtFiftyMilliseconds(t *testing.T) {
	s := newSim(t, 1)
	l := func() *link { return &link{s: s, delay: 25 * time.Millisecond, loss: 0.02} }
	a, b := s.connect(testConfig, l(), l())
	a.toWrite = 1 << 30
	s.run(time.Minute, nil)
	st := a.conn.Stats()
	t.Logf("%d kB/s, stall %v, %+v", b.read/60000, b.stall, st)
	if b.read/60 < 300e3 || b.stall > time.Second || st.Timeouts > 0 || st.Spurious > 0 {
		t.Errorf("%d kB/s, stall %v, %+v", b.read/60000, b.stall, st)
	}
}

// With losses the delay varies, as on a wireless network. The target stays, so the flow is not
// slower than by the losses and the delay.
func TestLossOnVaryingDelay(t *testing.T) {
	s := newSim(t, 1)
	l := func() *link { return &link{s: s, delay: 25 * time.Millisecond, rate: 125e6} }
	a, b := s.connect(testConfig, l(), l())
	s.run(time.Second, a.conn.Established)
	var pause func(l *link)
	pause = func(l *link) {
		l.busy = max(l.busy, s.now).Add(time.Duration(s.rng.IntN(40)) * time.Millisecond)
		s.at(s.now.Add(time.Duration(s.rng.IntN(100))*time.Millisecond), func() { pause(l) })
	}
	for _, l := range []*link{a.out, b.out} {
		l.loss = 0.02
		pause(l)
	}
	a.toWrite = 1 << 30
	s.at(s.now, a.step)
	s.run(time.Minute, nil)
	t.Logf("%d kB/s", b.read/60000)
	if b.read/60 < 220e3 {
		t.Errorf("%d kB/s", b.read/60000)
	}
}

// One packet in ten comes late: none is sent again, and the window is not cut.
func TestReorder(t *testing.T) {
	for _, late := range []time.Duration{2 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		s := newSim(t, 1)
		l := func() *link {
			return &link{s: s, rate: 1e6, queue: 400e3, delay: 25 * time.Millisecond, reorder: 0.1, late: late}
		}
		a, b := s.connect(testConfig, l(), l())
		a.toWrite = 1 << 30
		s.run(20*time.Second, nil)
		st := a.conn.Stats()
		t.Logf("%d kB/s, %+v", b.read/20000, st)
		if st.Resent > 0 || b.read/20 < 850e3 || a.out.drops > 0 {
			t.Errorf("late by up to %v: %d kB/s, %d drops, %+v", late, b.read/20000, a.out.drops, st)
		}
	}
}

// A gap of 500 packets is filled without sending again what has arrived.
func TestLongGap(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 50 * time.Millisecond}, &link{s: s, delay: 50 * time.Millisecond})
	a.toWrite = 10 << 20
	lose, lost := 0, 0
	a.alter = func([]byte) bool {
		if lose > 0 {
			lose--
			lost++
			return false
		}
		return true
	}
	s.run(time.Minute, func() bool { return a.conn.flight > 800<<10 })
	lose = 500
	s.run(time.Minute, func() bool { return b.read == 10<<20 })
	if st := a.conn.Stats(); b.read != 10<<20 || lost != 500 || int(st.Resent) != lost || st.Timeouts > 0 || b.conn.Stats().Duplicates > 0 {
		t.Errorf("%d bytes, %d lost, %+v, %+v", b.read, lost, st, b.conn.Stats())
	}
}

// Everything at once, with numbers that wrap: the stream is right, and both ends close.
func TestBadNetwork(t *testing.T) {
	for seed := range uint64(10) {
		s := newSim(t, seed)
		l := func() *link {
			return &link{s: s, rate: 2e6, queue: 60e3, delay: 5 * time.Millisecond, loss: 0.05, copies: 0.05, reorder: 0.2, late: 20 * time.Millisecond, mtu: 1300}
		}
		a, b := s.connect(testConfig, l(), l())
		a.conn = Connect(testConfig, 65535, 65530, s.now)
		b.accept(testConfig, 65500)
		there, back := a.out.loss, b.out.loss
		a.out.loss, b.out.loss = 0, 0 // a SYN is not sent again
		s.run(time.Second, a.conn.Established)
		a.out.loss, b.out.loss = there, back
		a.toWrite, b.toWrite = 1<<20, 300<<10
		a.closing, a.closeAfter, b.closing, b.closeAfter = true, 300<<10, true, 1<<20
		refused := 0
		a.refuse = func(n, segment int) (no, long bool) {
			no = s.rng.IntN(20) == 0
			if no {
				refused++
			}
			return no, false
		}
		s.run(5*time.Minute, func() bool { return a.conn.Done() && b.conn != nil && b.conn.Done() })
		if a.read != 300<<10 || b.read != 1<<20 || !a.conn.Done() || !b.conn.Done() || refused == 0 {
			t.Errorf("seed %d: read %d and %d, %v, %v, done %v %v", seed, a.read, b.read, a.conn.Err(), b.conn.Err(), a.conn.Done(), b.conn.Done())
		}
	}
}

// During a pause of the application the line becomes slower by a factor of a hundred: the old
// window does not fill its queue.
func TestAfterPause(t *testing.T) {
	s := newSim(t, 1)
	up, down := dsl(s, 5e6, 500e3, 20*time.Millisecond)
	a, b := s.connect(testConfig, up, down)
	a.toWrite = 5 << 20
	s.run(10*time.Second, nil)
	up.rate, up.waits, up.drops = 50e3, nil, 0
	a.toWrite = 500e3
	s.at(s.now, a.step)
	s.run(15*time.Second, nil)
	longest := slices.Max(up.waits)
	if b.read != 5<<20+500e3 || longest > 500*time.Millisecond || up.drops > 0 {
		t.Errorf("%d bytes, a queue of %v, %d drops", b.read, longest, up.drops)
	}
}

// A clock that runs 300 millionths fast shifts delays by 90 ms in five minutes, which would
// look like a queue, or hide one.
func TestClockDrift(t *testing.T) {
	for _, drift := range []float64{300e-6, -300e-6} {
		s := newSim(t, 1)
		up, down := dsl(s, 50e3, 500e3, 20*time.Millisecond)
		a, b := s.connect(testConfig, up, down)
		a.toWrite = 1 << 30
		b.drift = drift
		s.run(5*time.Minute, nil)
		up.waits = nil
		carried := up.carried
		s.run(time.Minute, nil)
		use := float64(up.carried-carried) / (50e3 * 60)
		t.Logf("%v (p95), %.3f used", up.waitP95(), use)
		if up.waitP95() > 120*time.Millisecond || use < 0.95 {
			t.Errorf("drift %v: %v in the queue (p95), %.3f of the line used", drift, up.waitP95(), use)
		}
	}
}

// The clock of the other side jumps by ten seconds: the flow goes on.
func TestClockJump(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Second, -10 * time.Second} {
		s := newSim(t, 1)
		up, down := dsl(s, 100e3, 500e3, 20*time.Millisecond)
		a, b := s.connect(testConfig, up, down)
		a.toWrite = 1 << 30
		s.run(20*time.Second, nil)
		b.alter = func(p []byte) bool {
			for _, at := range []int{4, 8} { // both timestamps
				binary.BigEndian.PutUint32(p[at:], binary.BigEndian.Uint32(p[at:])+uint32(jump/time.Microsecond))
			}
			return true
		}
		before := up.carried
		up.waits = nil
		s.run(60*time.Second, nil)
		use := float64(up.carried-before) / (100e3 * 60)
		t.Logf("%v (p95), %.3f used", up.waitP95(), use)
		if use < 0.9 || up.waitP95() > 150*time.Millisecond {
			t.Errorf("jump by %v: %v in the queue (p95), %.3f of the line used", jump, up.waitP95(), use)
		}
	}
}
