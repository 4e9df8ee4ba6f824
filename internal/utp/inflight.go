package utp

import "seedbed/internal/mono"

// What a packet's flags say.
const (
	flagAcked uint8 = 1 << iota // acknowledged by a selective ack
	flagLost                    // lost, and not sent again yet
	flagFin                     // ST_FIN
	flagProbe                   // padded to find the path MTU
)

// A packet is what we remember of a sent packet until it is acknowledged.
type packet struct {
	sentAt mono.Time // of the last transmission
	pos    uint32    // stream position of its payload
	size   uint16    // bytes of payload
	sends  uint8     // transmissions; stays at 255
	flags  uint8
}

func (p *packet) is(flag uint8) bool { return p.flags&flag != 0 }

// inflight is a ring of the packets from the oldest that is not acknowledged to the last
// that was sent. Index i is the packet with the sequence number una+i.
type inflight struct {
	ring []packet // the length is zero or a power of two
	una  uint16   // sequence number of the oldest packet, or of the next one to send
	n    int
}

// next returns the sequence number of the next new packet.
func (f *inflight) next() uint16 { return f.una + uint16(f.n) }

// at returns packet i. The pointer is valid until the next push.
func (f *inflight) at(i int) *packet {
	return &f.ring[(int(f.una)+i)&(len(f.ring)-1)]
}

func (f *inflight) push(p packet) {
	if f.n == len(f.ring) {
		old := *f
		f.ring = make([]packet, max(16, 2*f.n))
		for i := range f.n {
			*f.at(i) = *old.at(i)
		}
	}
	f.n++
	*f.at(f.n - 1) = p
}

func (f *inflight) popFront() {
	f.una++
	f.n--
}

func (f *inflight) release() {
	if f.n == 0 {
		f.ring = nil
	}
}
