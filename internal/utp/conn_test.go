package utp

import (
	"bytes"
	"testing"
	"time"
	"unsafe"

	"seedbed/internal/mono"
)

// BEP 29: a connection opens, both sides send a stream, and a FIN ends each.
func TestConnection(t *testing.T) {
	s := newSim(t, 1)
	line := func() *link { return &link{s: s, delay: 10 * time.Millisecond} }
	a, b := s.connect(testConfig, line(), line())
	a.toWrite, b.toWrite = 3<<20, 1<<20
	a.closing, a.closeAfter, b.closing, b.closeAfter = true, 1<<20, true, 3<<20
	s.run(time.Minute, func() bool { return a.conn.Done() && b.conn != nil && b.conn.Done() })
	if a.read != 1<<20 || b.read != 3<<20 || a.conn.Err() != nil || b.conn.Err() != nil {
		t.Errorf("read %d and %d bytes, %v, %v", a.read, b.read, a.conn.Err(), b.conn.Err())
	}
	if !a.conn.Done() || !b.conn.Done() {
		t.Error("not done")
	}
	if took := s.now.Sub(0); took > 3*time.Second { // half a second of it after the last packet
		t.Errorf("took %v", took)
	}
	for _, e := range []*end{a, b} {
		if st := e.conn.Stats(); st.Resent+st.Lost+st.Timeouts+st.Duplicates > 0 {
			t.Errorf("%+v", st)
		}
	}
}

// BEP 29: the SYN has the id under which its sender receives, all later packets of that
// side have the next id, and the other side sends under the id of the SYN.
func TestConnectionIDs(t *testing.T) {
	a := Connect(testConfig, 65535, 65535, 0)
	syn, _, _ := Parse(one(t, a, 0))
	b := Accept(testConfig, &syn, 9, 0)
	answer, rest, _ := Parse(one(t, b, 0))
	if syn.ConnID != 65535 || syn.Seq != 65535 || answer.ConnID != 65535 || answer.Type != State || answer.Ack != 65535 || answer.Seq != 9 || len(rest) > 0 {
		t.Errorf("%+v, %+v", syn, answer)
	}
	a.Receive(0, answer.Append(nil))
	a.Write([][]byte{[]byte("x")})
	// The answer to the SYN does not use up a sequence number.
	if h, rest, _ := Parse(one(t, a, 0)); h.ConnID != 0 || h.Type != Data || h.Seq != 0 || h.Ack != 8 || string(rest) != "x" {
		t.Errorf("%+v", h)
	}
}

// Small messages are not held back while others are in flight.
func TestSmallMessages(t *testing.T) {
	a, _ := pair(t)
	for i := range mono.Time(20) {
		a.Write([][]byte{[]byte("ha"), []byte("ve")})
		if p := one(t, a, i); len(p) != HeaderLen+4 {
			t.Fatalf("%d bytes", len(p))
		}
	}
}

// Two packets are acknowledged at once, many of one batch together, a single one within
// 100 ms, and one after a gap at once, with a selective ack.
func TestAcknowledgements(t *testing.T) {
	a, b := pair(t)
	a.ledbat.window = 1 << 20
	a.Write([][]byte{make([]byte, 30_000)})
	p := all(a, 0)
	b.Receive(0, p[0])
	if len(all(b, 0)) > 0 {
		t.Error("a single packet is acknowledged at once")
	}
	if at := b.Deadline(); at > 100*millisecond || at <= 0 {
		t.Errorf("acknowledged after %v", at.Sub(0))
	} else if h, _, _ := Parse(one(t, b, at)); h.Ack != 1001 {
		t.Errorf("%+v", h)
	}
	b.Receive(0, p[1])
	b.Receive(0, p[2])
	if h, _, _ := Parse(one(t, b, 0)); h.Ack != 1003 {
		t.Errorf("%+v", h)
	}
	for _, p := range p[3:10] {
		b.Receive(0, p)
	}
	if h, _, _ := Parse(one(t, b, 0)); h.Ack != 1010 {
		t.Errorf("%+v", h)
	}
	b.Receive(0, p[12])
	b.Receive(0, p[15])
	// 1011 is missing; the bits stand for 1012, 1013, ...
	h, sack, _, err := parse(one(t, b, 0))
	if err != nil || h.Ack != 1010 || !bytes.Equal(sack, []byte{1<<1 | 1<<4, 0, 0, 0}) {
		t.Errorf("%+v, %x", h, sack)
	}
}

// A burst is at most 20 packets of one length, and a quarter of the window.
func TestBursts(t *testing.T) {
	a, b := pair(t)
	chunk, buf := make([]byte, 1<<20), make([]byte, 0, 64<<10)
	a.Write([][]byte{chunk})
	var answers [][]byte // of the last 10 ms
	var due []mono.Time
	for now := mono.Time(0); now < 1000*millisecond; now += millisecond {
		for len(due) > 0 && due[0] <= now {
			a.Receive(now, answers[0])
			answers, due = answers[1:], due[1:]
		}
		for {
			n, segment := a.Output(now, buf)
			if n == 0 {
				break
			}
			if count := (n + segment - 1) / segment; count > 20 || count > 1 && n-count*HeaderLen > int(a.ledbat.window)/4 || segment > 1472 {
				t.Fatalf("%d packets of %d bytes with a window of %.0f", count, segment, a.ledbat.window)
			}
			for i := 0; i < n; i += segment {
				b.Receive(now, buf[i:min(n, i+segment)])
			}
		}
		b.Read(chunk)
		for _, p := range all(b, now) {
			answers, due = append(answers, p), append(due, now+10*millisecond)
		}
		a.Write([][]byte{chunk})
	}
	if a.ledbat.window < 1<<20 {
		t.Errorf("the window only grew to %.0f", a.ledbat.window)
	}
}

// Output stays within the capacity of the buffer.
func TestOutputBuffer(t *testing.T) {
	a, _ := pair(t)
	a.ledbat.window = 1 << 20
	a.Write([][]byte{make([]byte, 100_000)})
	buf := make([]byte, 0, 4000)
	a.Output(0, buf) // a probe
	if n, segment := a.Output(0, buf); n != 7*segment || segment != minDatagram {
		t.Errorf("%d bytes in packets of %d", n, segment)
	}
}

// An idle connection uses little memory, also after it was busy.
func TestIdleMemory(t *testing.T) {
	s := newSim(t, 1)
	a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond, loss: 0.01}, &link{s: s, delay: 10 * time.Millisecond})
	a.toWrite, b.toWrite = 2<<20, 2<<20
	s.run(2*time.Minute, nil)
	for _, c := range []*Conn{a.conn, b.conn} {
		size := int(unsafe.Sizeof(*c)) + len(c.send.buf) + len(c.recv.buf) + len(c.inflight.ring)*int(unsafe.Sizeof(packet{})) + 24*len(c.reorder.slots)
		if size > 900 || c.Stats().PacketsSent < 1000 {
			t.Errorf("%d bytes, the structure alone %d", size, unsafe.Sizeof(*c))
		}
	}
}

// The receive window grows only for an application that reads.
func TestReceiveWindowGrows(t *testing.T) {
	for _, reads := range []bool{true, false} {
		s := newSim(t, 1)
		a, b := s.connect(testConfig, &link{s: s, delay: 10 * time.Millisecond}, &link{s: s, delay: 10 * time.Millisecond})
		a.toWrite = 4 << 20
		b.mute = !reads
		s.run(10*time.Second, nil)
		want := testConfig.ReceiveBuffer
		if !reads {
			want = firstReceiveWindow
		}
		if b.conn.recvLimit != want || b.conn.recv.n > want {
			t.Errorf("reads %v: a window of %d, %d bytes wait", reads, b.conn.recvLimit, b.conn.recv.n)
		}
	}
}

// Nor for one that reads and never catches up.
func TestReceiveWindowOfSlowReader(t *testing.T) {
	c := newConn(testConfig, connected, 1, 2, 1, 0)
	c.recv.append(make([]byte, 10_000))
	for range 100 {
		c.recv.append(make([]byte, 5000))
		c.Read(make([]byte, 5000))
	}
	if c.recvLimit != firstReceiveWindow {
		t.Errorf("a window of %d", c.recvLimit)
	}
}

// transfer moves n bytes from a to b without a network.
func transfer(a, b *Conn, now *mono.Time, n int, chunk, buf []byte) {
	for got := 0; got < n; {
		*now += 20_000
		a.Write([][]byte{chunk})
		for {
			n, segment := a.Output(*now, buf)
			if n == 0 {
				break
			}
			for i := 0; i < n; i += segment {
				b.Receive(*now, buf[i:min(n, i+segment)])
			}
		}
		*now += 20_000
		for {
			k, _ := b.Read(chunk)
			if k == 0 {
				break
			}
			got += k
		}
		for {
			n, _ := b.Output(*now, buf)
			if n == 0 {
				break
			}
			a.Receive(*now, buf[:n])
		}
	}
}

// Nothing on the way of the data allocates.
func TestNoAllocations(t *testing.T) {
	a, b := pair(t)
	var now mono.Time
	chunk, buf := make([]byte, 64<<10), make([]byte, 0, 64<<10)
	transfer(a, b, &now, 8<<20, chunk, buf)
	if n := testing.AllocsPerRun(5, func() { transfer(a, b, &now, 1<<20, chunk, buf) }); n > 8 { // the slices of Write
		t.Errorf("%.0f allocations in 1 MiB", n)
	}
}

// BenchmarkTransfer measures both sides of a connection without a network.
func BenchmarkTransfer(b *testing.B) {
	x := Connect(testConfig, 100, 1000, 0)
	buf := make([]byte, 0, 64<<10)
	n, _ := x.Output(0, buf)
	syn, _, _ := Parse(buf[:n])
	y := Accept(testConfig, &syn, 2000, 0)
	n, _ = y.Output(0, buf)
	x.Receive(0, buf[:n])
	chunk := make([]byte, 64<<10)
	var now mono.Time
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		transfer(x, y, &now, 1<<20, chunk, buf)
	}
}
