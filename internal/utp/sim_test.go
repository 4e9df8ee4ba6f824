package utp

import (
	"container/heap"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// A sim is a network in virtual time. It runs on one goroutine and is the same at each run.
type sim struct {
	t      *testing.T
	now    mono.Time
	events events
	order  int
	rng    *rand.Rand
}

func newSim(t *testing.T, seed uint64) *sim {
	return &sim{t: t, rng: rand.New(rand.NewPCG(seed, 17))}
}

type event struct {
	at    mono.Time
	order int // events of one moment happen in the order in which they were added
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *sim) at(t mono.Time, do func()) {
	s.order++
	heap.Push(&s.events, event{max(t, s.now), s.order, do})
}

// run runs the network until stop reports true or the time has passed.
func (s *sim) run(d time.Duration, stop func() bool) {
	end := s.now.Add(d)
	for len(s.events) > 0 && s.events[0].at <= end && (stop == nil || !stop()) {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	if stop == nil {
		s.now = end
	}
}

// udpOverhead is the length in bytes of the headers of IPv4 and UDP.
const udpOverhead = 28

// A link carries packets in one direction: a queue in front of a line.
type link struct {
	s       *sim
	rate    float64       // bytes/s; 0: no limit
	delay   time.Duration // of the line
	queue   int           // bytes that may wait; 0: no limit
	mtu     int           // longer IP packets vanish; 0: no limit
	loss    float64       // share of packets that are lost
	copies  float64       // share of packets that arrive twice
	reorder float64       // share of packets that are late
	late    time.Duration // at most by this

	busy    mono.Time
	carried int // bytes
	drops   int // packets that found the queue full, or were lost
	tooLong int // packets that were longer than mtu
	waits   []time.Duration
}

func (l *link) backlog() time.Duration { return max(0, l.busy.Sub(l.s.now)) }

// send carries a packet of size bytes, and calls arrive when it has arrived.
func (l *link) send(size int, arrive func()) {
	s := l.s
	switch {
	case l.mtu > 0 && size > l.mtu:
		l.tooLong++
		return
	case l.loss > 0 && s.rng.Float64() < l.loss,
		l.queue > 0 && l.backlog().Seconds()*l.rate+float64(size) > float64(l.queue):
		l.drops++
		return
	}
	at := s.now
	if l.rate > 0 {
		l.waits = append(l.waits, l.backlog())
		l.busy = max(l.busy, s.now).Add(time.Duration(float64(size) / l.rate * 1e9))
		at = l.busy
	}
	l.carried += size
	at = at.Add(l.delay)
	if l.reorder > 0 && s.rng.Float64() < l.reorder {
		at = at.Add(time.Duration(s.rng.Int64N(int64(l.late))))
	}
	s.at(at, arrive)
	if l.copies > 0 && s.rng.Float64() < l.copies {
		s.at(at.Add(time.Millisecond), arrive)
	}
}

// waitP95 returns the 95th percentile of the time that packets waited.
func (l *link) waitP95() time.Duration {
	w := slices.Clone(l.waits)
	slices.Sort(w)
	return w[len(w)*95/100]
}

// An end is one side of a connection with its application: it writes a stream of bytes
// that depend on their position, and checks those that it reads.
type end struct {
	s      *sim
	conn   *Conn
	out    *link
	peer   *end
	drift  float64                              // of this clock
	alter  func(b []byte) (keep bool)           // changes what is sent
	refuse func(n, segment int) (no, long bool) // the socket refuses to send

	acceptConn func(syn []byte)

	toWrite    int  // bytes that are still to be written
	closing    bool // close once everything is written and closeAfter bytes are read
	closeAfter int
	wrote      int
	read       int
	mute       bool // the application does not read
	eof        bool
	err        error
	timer      mono.Time
	lastRead   mono.Time
	stall      time.Duration // the longest time between two reads
	buf        []byte
}

var testConfig = Config{MaxDatagram: 1472, SendBuffer: 1 << 20, ReceiveBuffer: 1 << 20}

// connect opens a connection between two ends over the links.
func (s *sim) connect(cfg Config, there, back *link) (a, b *end) {
	a = &end{s: s, out: there, timer: mono.Never, lastRead: s.now, buf: make([]byte, 0, 64<<10)}
	b = &end{s: s, out: back, peer: a, timer: mono.Never, lastRead: s.now, buf: make([]byte, 0, 64<<10)}
	a.peer = b
	a.conn = Connect(cfg, uint16(s.rng.Uint32()), uint16(s.rng.Uint32()), s.now)
	seq := uint16(s.rng.Uint32())
	b.accept(cfg, seq)
	s.at(s.now, a.step)
	return a, b
}

// accept makes the end accept the first SYN that arrives.
func (e *end) accept(cfg Config, seq uint16) {
	e.acceptConn = func(b []byte) {
		h, _, err := Parse(b)
		if err == nil && h.Type == Syn {
			e.conn = Accept(cfg, &h, seq, e.clock())
		}
	}
}

func (e *end) clock() mono.Time {
	return e.s.now.Add(time.Duration(float64(e.s.now) * e.drift))
}

func pattern(pos int) byte { return byte(pos>>16*31 ^ pos>>8*7 ^ pos) }

// step lets the application work, sends what is to be sent and sets the timer.
func (e *end) step() {
	if e.conn == nil {
		return
	}
	var b [16 << 10]byte
	for e.toWrite > 0 && e.conn.Writable() {
		n := min(e.toWrite, len(b))
		for i := range b[:n] {
			b[i] = pattern(e.wrote + i)
		}
		n = e.conn.Write([][]byte{b[:n/3], b[n/3 : n]})
		if n == 0 {
			break
		}
		e.wrote += n
		e.toWrite -= n
	}
	for !e.mute && !e.eof && e.err == nil {
		n, err := e.conn.Read(b[:])
		for i, v := range b[:n] {
			if v != pattern(e.read+i) {
				e.s.t.Fatalf("byte %d is wrong", e.read+i)
			}
		}
		e.read += n
		if n > 0 {
			e.stall = max(e.stall, e.s.now.Sub(e.lastRead))
			e.lastRead = e.s.now
		}
		if err == io.EOF {
			e.eof = true
		} else if err != nil {
			e.err = err
		} else if n == 0 {
			break
		}
	}
	if e.closing && e.toWrite == 0 && e.read >= e.closeAfter {
		e.conn.Close(e.clock())
	}
	e.flush()
}

func (e *end) flush() {
	for range 10_000 {
		n, segment := e.conn.Output(e.clock(), e.buf)
		if n == 0 {
			e.setTimer()
			return
		}
		if e.refuse != nil {
			if no, long := e.refuse(n, segment); no {
				e.conn.Refused(e.clock(), long)
				if !long {
					e.setTimer()
					return
				}
				continue
			}
		}
		for packet := range slices.Chunk(e.buf[:n], segment) {
			p := slices.Clone(packet)
			if e.alter != nil && !e.alter(p) {
				continue
			}
			e.out.send(len(p)+udpOverhead, func() { e.peer.receive(p) })
		}
	}
	e.s.t.Fatal("Output does not stop")
}

func (e *end) receive(p []byte) {
	if e.conn == nil {
		e.acceptConn(p)
	} else {
		e.conn.Receive(e.clock(), p)
	}
	e.step()
}

// setTimer calls step again at the deadline.
func (e *end) setTimer() {
	at := e.conn.Deadline()
	if at == mono.Never {
		return
	}
	// The clocks differ, but the length of an interval is nearly the same.
	at = e.s.now.Add(at.Sub(e.clock()))
	at = max(at, e.s.now+1)
	if at >= e.timer && e.timer > e.s.now {
		return
	}
	e.timer = at
	e.s.at(at, func() {
		if e.timer == at {
			e.timer = mono.Never
			e.step()
		}
	})
}
