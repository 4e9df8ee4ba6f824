package utp

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// checkInvariants compares the counters of c with what they count.
func checkInvariants(t *testing.T, c *Conn, now mono.Time) {
	t.Helper()
	var flight, lost, sacked, bytes int
	for i := range c.inflight.n {
		p := c.inflight.at(i)
		bytes += int(p.size)
		switch {
		case p.is(flagAcked):
			sacked++
		case p.is(flagLost):
			lost++
		default:
			flight += int(p.size)
		}
	}
	if flight != c.flight || lost != c.lost || sacked != c.sacked {
		t.Fatalf("in flight %d, lost %d, acknowledged %d; counted %d, %d, %d", c.flight, c.lost, c.sacked, flight, lost, sacked)
	}
	if c.state != done && (bytes != int(c.unsent-c.send.pos) || bytes > c.send.n) {
		t.Fatalf("%d bytes of %d sent, %d in packets", c.unsent-c.send.pos, c.send.n, bytes)
	}
	held := 0
	for _, s := range c.reorder.slots {
		held += len(s)
	}
	if held != c.reorder.bytes || c.reorder.count > maxReorder || c.recv.n > c.recvLimit || held > c.recvLimit || c.inflight.n > maxInFlight || c.send.n > c.cfg.SendBuffer {
		t.Fatalf("behind a gap %d bytes, %d counted, %d packets; %d received, %d in flight, %d to send", held, c.reorder.bytes, c.reorder.count, c.recv.n, c.inflight.n, c.send.n)
	}
	if c.ledbat.window < float64(minDatagram-HeaderLen) || c.mtu.floor < minDatagram || c.mtu.floor > c.mtu.max {
		t.Fatalf("a window of %f, packets of %d", c.ledbat.window, c.mtu.floor)
	}
}

// A wire holds packets in one direction. What is older than half a second is lost.
type wire struct {
	packets [][]byte
	sent    []mono.Time
}

func (w *wire) take(i int, now mono.Time) []byte {
	p, fresh := w.packets[i], now.Sub(w.sent[i]) < 500*time.Millisecond
	w.packets, w.sent = slices.Delete(w.packets, i, i+1), slices.Delete(w.sent, i, i+1)
	if !fresh {
		return nil
	}
	return p
}

// FuzzConn lets the input drive two connections: what the applications do, what the network
// does to the packets, and in the hostile mode which packets a stranger adds. The counters
// stay right and memory bounded. Without a stranger the streams are right, and complete
// once the network behaves again.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0, 0, 7, 7, 2, 2, 1, 0, 200, 7, 2, 3, 7, 2})
	f.Add([]byte{1, 0, 7, 2, 10, 0x21, 3, 0, 0, 9, 9, 10, 0x31, 0, 0, 0, 0, 0})
	for seed := range uint64(40) { // long ones, of the usual operations
		rng := rand.New(rand.NewPCG(seed, 5))
		b := make([]byte, 2000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0] = byte(seed % 2)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 4000 {
			return
		}
		next := func() int {
			if len(program) == 0 {
				return 0
			}
			v := program[0]
			program = program[1:]
			return int(v)
		}
		hostile := next()&1 == 1
		cfg := Config{MaxDatagram: 1472, SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}
		now := mono.Time(time.Hour)
		ends := [2]*Conn{Connect(cfg, 65535, 65530, now), nil}
		var wires [2]wire // wires[i] carries what ends[i] sends
		var wrote, read [2]int
		var closed [2]bool
		buf, data := make([]byte, 0, 64<<10), make([]byte, 20_000)

		output := func(i, refuse int) {
			c := ends[i]
			if c == nil {
				return
			}
			for range 300 {
				n, segment := c.Output(now, buf)
				checkInvariants(t, c, now)
				if n == 0 {
					if at := c.Deadline(); at <= now && at != mono.Never {
						t.Fatalf("Output has nothing to send and the deadline is %v ago", now.Sub(at))
					}
					return
				}
				if segment > 1472 || segment < HeaderLen || n > 64000 {
					t.Fatalf("%d bytes in packets of %d", n, segment)
				}
				if refuse > 0 && segment > refuse*8 {
					c.Refused(now, refuse > 90)
					checkInvariants(t, c, now)
					return
				}
				for p := range slices.Chunk(buf[:n], segment) {
					if len(wires[i].packets) < 2000 {
						wires[i].packets, wires[i].sent = append(wires[i].packets, bytes.Clone(p)), append(wires[i].sent, now)
					}
				}
			}
			t.Fatal("Output does not stop")
		}
		receive := func(i int, p []byte) {
			if ends[i] == nil {
				if h, _, err := Parse(p); err == nil && h.Type == Syn {
					ends[i] = Accept(cfg, &h, 65000, now)
				}
			} else {
				ends[i].Receive(now, p)
				checkInvariants(t, ends[i], now)
			}
		}
		readAll := func(i int) {
			n, _ := ends[i].Read(data)
			for k, v := range data[:n] {
				if !hostile && v != pattern(read[i]+k) {
					t.Fatalf("byte %d is wrong", read[i]+k)
				}
			}
			read[i] += n
		}
		for len(program) > 0 {
			op := next()
			i := op >> 7 // which end
			w := &wires[1-i]
			switch op & 15 {
			case 0:
				if ends[i] != nil {
					n := next() * 64
					for k := range data[:n] {
						data[k] = pattern(wrote[i] + k)
					}
					wrote[i] += ends[i].Write([][]byte{data[:n/2], data[n/2 : n]})
				}
			case 1:
				if ends[i] != nil {
					readAll(i)
				}
			case 2, 3, 4, 5: // the next packets arrive
				for range 1 << (op & 15) {
					if len(w.packets) > 0 {
						receive(i, w.take(0, now))
					}
				}
			case 6: // one is lost
				if len(w.packets) > 0 {
					w.take(0, now)
				}
			case 7: // one arrives before others
				if k := next(); k < len(w.packets) {
					receive(i, w.take(k, now))
				}
			case 8: // one arrives twice
				if len(w.packets) > 0 {
					receive(i, w.packets[0])
				}
			case 9:
				now = now.Add(time.Duration(next()) * time.Millisecond)
			case 10:
				if ends[i] != nil {
					if at := ends[i].Deadline(); at != mono.Never {
						now = max(now, at)
					}
				}
				output(i, 0)
			case 11:
				output(i, next())
			case 12:
				if next() < 8 && ends[i] != nil {
					ends[i].Close(now)
					closed[i] = true
				}
			case 13:
				if hostile && ends[i] != nil {
					h := Header{Type: Type(next() % 5), ConnID: ends[i].recvID, Timestamp: uint32(next()) << 24, TimestampDiff: uint32(next()) << 24, Window: uint32(next()) << next()}
					h.Seq, h.Ack = ends[i].next+uint16(next()), ends[i].inflight.una-1+uint16(next()%16)
					p := h.Append(nil)
					if next()&1 == 1 {
						p[1] = extSelectiveAck
						p = append(p, 0, 4, byte(next()), byte(next()), 0, byte(next()))
					}
					receive(i, append(p, make([]byte, next()*5)...))
				}
			default:
				output(i, 0)
			}
		}
		if hostile || ends[1] == nil {
			return
		}
		for range 5000 {
			at := mono.Never
			for i := range ends {
				output(i, 0)
				for range wires[i].packets {
					receive(1-i, wires[i].take(0, now))
				}
				readAll(i)
			}
			for i := range ends {
				output(i, 0)
				if len(wires[i].packets) > 0 {
					at = now
				}
				at = min(at, ends[i].Deadline())
			}
			if ends[0].Err() != nil || ends[1].Err() != nil || closed[0] || closed[1] || read[1] == wrote[0] && read[0] == wrote[1] {
				return
			}
			now = max(now+mono.Time(time.Millisecond), at)
		}
		t.Fatalf("%d of %d and %d of %d bytes arrived, %+v, %+v", read[1], wrote[0], read[0], wrote[1], ends[0].Stats(), ends[1].Stats())
	})
}
