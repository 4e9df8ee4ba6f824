package utp

import (
	"math"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// A cubic is the sender of a TCP flow with CUBIC (RFC 9438) that always has data, and its
// receiver. Each packet is acknowledged by itself, so the model needs no more than the set
// of packets in flight.
type cubic struct {
	s         *sim
	out, back *link
	flight    []tcpPacket
	window    float64 // packets
	threshold float64
	most      float64   // the window before the last cut
	cutAt     mono.Time // 0: none
	srtt      time.Duration
	heard     mono.Time
	received  int // packets
}

type tcpPacket struct {
	sent  mono.Time
	later int // packets that were sent later and are acknowledged
}

func startCubic(s *sim, out, back *link) *cubic {
	f := &cubic{s: s, out: out, back: back, window: 10, threshold: math.Inf(1)}
	f.send()
	return f
}

const tcpPacketSize = 1500

func (f *cubic) send() {
	for float64(len(f.flight)) < f.window {
		sent := f.s.now.Add(time.Duration(f.s.order)) // unique: it is the name of the packet
		f.flight = append(f.flight, tcpPacket{sent: sent})
		f.out.send(tcpPacketSize, func() {
			f.received++
			f.back.send(40, func() { f.acked(sent) })
		})
	}
	f.heard = f.s.now
	at := f.heard
	f.s.at(f.s.now.Add(time.Second), func() {
		if f.heard == at { // nothing happened for a second: all is lost
			f.flight = nil
			f.threshold, f.window = max(2, f.window/2), 2
			f.send()
		}
	})
}

func (f *cubic) acked(sent mono.Time) {
	rest := f.flight[:0]
	lost := false
	for _, p := range f.flight {
		if p.sent < sent {
			p.later++
		}
		if p.sent < sent && p.later >= 3 {
			lost = lost || p.sent > f.cutAt
			continue
		}
		if p.sent != sent {
			rest = append(rest, p)
		}
	}
	f.flight = rest
	rtt := f.s.now.Sub(sent)
	f.srtt += (rtt - f.srtt) / 8
	switch {
	case lost:
		f.cutAt, f.most = f.s.now, f.window
		f.window = max(2, f.window*0.7)
		f.threshold = f.window
	case f.window < f.threshold:
		f.window++
	default:
		t := f.s.now.Sub(f.cutAt).Seconds()
		k := math.Cbrt(f.most * 0.3 / 0.4)
		aim := max(0.4*math.Pow(t-k, 3)+f.most, 0.7*f.most+0.53*t/f.srtt.Seconds())
		if aim > f.window {
			f.window += min(0.5, (aim-f.window)/f.window)
		}
	}
	f.send()
}

// A uTP flow yields to TCP, also where the queue is shorter than the target of BEP 29: the flow of
// TCP keeps nearly all that it has alone.
func TestBesideCUBIC(t *testing.T) {
	const rate, keeps = 1.25e6, 0.95
	for _, queue := range []time.Duration{25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		if raceEnabled && queue > 50*time.Millisecond {
			continue // too slow
		}
		goodput := func(beside bool) float64 {
			s := newSim(t, 3)
			up, down := dsl(s, rate, int(queue.Seconds()*rate), 20*time.Millisecond)
			if beside {
				a, _ := s.connect(testConfig, up, down)
				a.toWrite = 1 << 30
				s.run(10*time.Second, nil)
			}
			f := startCubic(s, up, down)
			s.run(5*time.Second, nil)
			before := f.received
			s.run(40*time.Second, nil)
			return float64((f.received-before)*tcpPacketSize) / 40 / rate
		}
		alone, beside := goodput(false), goodput(true)
		t.Logf("queue of %v: %.3f of the line alone, %.3f beside uTP", queue, alone, beside)
		if alone < 0.95 || beside < keeps*alone {
			t.Errorf("queue of %v: TCP has %.3f of the line alone, %.3f beside uTP", queue, alone, beside)
		}
	}
}
