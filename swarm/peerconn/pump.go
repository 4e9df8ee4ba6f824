package peerconn

import (
	"net"
	"sync"
)

const (
	// pumpIdle is the size of the buffer that waits for a silent peer, pumpFull that of
	// the buffer used while data flows.
	pumpIdle = 4 << 10
	pumpFull = 64 << 10
	// pumpOut bounds what a pump accepts before the net.Conn has taken it.
	pumpOut = 256 << 10
)

// pump makes any net.Conn a RawConn: one goroutine reads ahead, and another writes while
// there is something to write. It is used on systems without a poller and for connections
// that are not sockets.
type pump struct {
	nc net.Conn

	mu       sync.Mutex
	drained  sync.Cond // in is empty, or the connection was shut down
	in       []byte    // read ahead
	readErr  error
	readable func()

	out      []byte
	writing  bool // a goroutine is writing
	writeErr error
	writable func()
	closed   bool
}

func newPump(nc net.Conn) *pump {
	p := &pump{nc: nc}
	p.drained.L = &p.mu
	go p.read()
	return p
}

// read reads ahead, and waits until that has been consumed.
func (p *pump) read() {
	b := make([]byte, pumpIdle)
	for {
		n, err := p.nc.Read(b)
		p.mu.Lock()
		p.in, p.readErr = b[:n], err
		if f := p.readable; f != nil {
			p.readable = nil
			f()
		}
		for len(p.in) > 0 && !p.closed {
			p.drained.Wait()
		}
		over := err != nil || p.closed
		p.mu.Unlock()
		switch {
		case over:
			return
		case n == len(b) && len(b) < pumpFull:
			b = make([]byte, pumpFull)
		case n <= pumpIdle && len(b) > pumpIdle:
			b = make([]byte, pumpIdle)
		}
	}
}

func (p *pump) TryRead(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, net.ErrClosed
	case len(p.in) == 0:
		return 0, p.readErr
	}
	n := copy(b, p.in)
	if p.in = p.in[n:]; len(p.in) == 0 {
		p.drained.Signal()
	}
	return n, nil
}

func (p *pump) AwaitReadable(ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.in) > 0 || p.readErr != nil {
		ready()
		return
	}
	p.readable = ready
}

func (p *pump) TryWritev(vec [][]byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.writeErr != nil:
		return 0, p.writeErr
	case p.closed:
		return 0, net.ErrClosed
	}
	for _, b := range vec {
		k := min(len(b), pumpOut-len(p.out))
		p.out = append(p.out, b[:k]...)
		n += k
	}
	if len(p.out) > 0 && !p.writing {
		p.writing = true
		go p.write()
	}
	return n, nil
}

// write writes until nothing is waiting.
func (p *pump) write() {
	var spare []byte
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) > 0 && p.writeErr == nil && !p.closed {
		b := p.out
		p.out = spare[:0]
		if f := p.writable; f != nil {
			p.writable = nil
			f()
		}
		p.mu.Unlock()
		_, err := p.nc.Write(b)
		p.mu.Lock()
		p.writeErr, spare = err, b
	}
	p.out, p.writing = nil, false
	if f := p.writable; f != nil {
		p.writable = nil
		f()
	}
}

func (p *pump) AwaitWritable(ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.writeErr != nil || len(p.out) < pumpOut {
		ready()
		return
	}
	p.writable = ready
}

func (p *pump) Shutdown() {
	p.mu.Lock()
	p.closed = true
	p.drained.Signal()
	for _, f := range []*func(){&p.readable, &p.writable} {
		if *f != nil {
			(*f)()
			*f = nil
		}
	}
	p.mu.Unlock()
	p.nc.Close()
}

func (p *pump) Release() {}
