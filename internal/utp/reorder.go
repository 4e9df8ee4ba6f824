package utp

const (
	// maxSack is the length in bytes of the longest selective ack: a multiple of 4 (BEP 29)
	// that fits the one byte of its length.
	maxSack = 252
	// maxReorder is the number of packets past a gap that we keep: as many as a selective
	// ack can name. libutp keeps 1,024.
	maxReorder = 8 * maxSack
)

// reorderBuffer keeps the packets that arrived after a gap. A packet is named by its
// distance from the next packet in order: 0 is that packet itself.
type reorderBuffer struct {
	slots [][]byte // ring by sequence number; the length is zero or a power of two
	count int
	bytes int // of payload
	top   int // the distance of the farthest packet, if count > 0
}

// has reports whether the packet at distance d after next is there.
func (r *reorderBuffer) has(next uint16, d int) bool {
	return d < len(r.slots) && r.slots[r.index(next, d)] != nil
}

func (r *reorderBuffer) index(next uint16, d int) int {
	return (int(next) + d) & (len(r.slots) - 1)
}

// put keeps a copy of a payload at distance d, which is below maxReorder.
func (r *reorderBuffer) put(next uint16, d int, payload []byte) {
	if d >= len(r.slots) {
		old := *r
		size := max(64, len(r.slots))
		for size <= d {
			size *= 2
		}
		r.slots = make([][]byte, size)
		for i := range old.slots {
			r.slots[r.index(next, i)] = old.slots[old.index(next, i)]
		}
	}
	r.slots[r.index(next, d)] = append(make([]byte, 0, len(payload)), payload...)
	if r.count == 0 || d > r.top {
		r.top = d
	}
	r.count++
	r.bytes += len(payload)
}

// take removes the packet at distance 0. The caller then advances next by one.
func (r *reorderBuffer) take(next uint16) (payload []byte, ok bool) {
	r.top--
	if r.count == 0 {
		return nil, false
	}
	slot := &r.slots[r.index(next, 0)]
	if *slot == nil {
		return nil, false
	}
	payload, *slot = *slot, nil
	r.count--
	r.bytes -= len(payload)
	return payload, true
}

// sack appends the bits of a selective ack (BEP 29): the first bit stands for distance 1,
// the lowest bit of a byte comes first, and the length is a multiple of 4 bytes.
func (r *reorderBuffer) sack(next uint16, b []byte) []byte {
	size := min(maxSack, (r.top+31)/32*4)
	start := len(b)
	b = append(b, make([]byte, size)...)
	for d := 1; d <= min(r.top, 8*size); d++ {
		if r.has(next, d) {
			b[start+(d-1)/8] |= 1 << ((d - 1) % 8)
		}
	}
	return b
}

func (r *reorderBuffer) release() {
	if r.count == 0 {
		r.slots = nil
	}
}
