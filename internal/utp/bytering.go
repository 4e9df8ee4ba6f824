package utp

// minRing is the smallest capacity of a byteRing in bytes.
const minRing = 2 << 10

// A byteRing holds a part of a byte stream, which starts at the stream position pos. Its
// memory grows with what it holds. Positions wrap at 32 bits.
type byteRing struct {
	buf []byte // the length is zero or a power of two
	pos uint32 // stream position of the first byte
	n   int    // bytes held
}

func (r *byteRing) append(b []byte) {
	if len(b) == 0 {
		return
	}
	if r.n+len(b) > len(r.buf) {
		r.grow(r.n + len(b))
	}
	i := int(r.pos+uint32(r.n)) & (len(r.buf) - 1)
	k := copy(r.buf[i:], b)
	copy(r.buf, b[k:])
	r.n += len(b)
}

func (r *byteRing) grow(need int) {
	size := max(minRing, len(r.buf))
	for size < need {
		size *= 2
	}
	next := make([]byte, size)
	head, tail := r.slice(r.pos, r.n)
	i := int(r.pos) & (size - 1)
	for _, part := range [2][]byte{head, tail} {
		k := copy(next[i:], part)
		copy(next, part[k:])
		i = (i + len(part)) & (size - 1)
	}
	r.buf = next
}

// slice returns n bytes from the stream position pos, in two parts as the ring may wrap
// between them.
func (r *byteRing) slice(pos uint32, n int) (head, tail []byte) {
	if n == 0 {
		return nil, nil
	}
	i := int(pos) & (len(r.buf) - 1)
	if i+n <= len(r.buf) {
		return r.buf[i : i+n], nil
	}
	return r.buf[i:], r.buf[:i+n-len(r.buf)]
}

// discard removes the first n bytes.
func (r *byteRing) discard(n int) {
	r.pos += uint32(n)
	r.n -= n
}

// release frees the memory of an empty ring.
func (r *byteRing) release() {
	if r.n == 0 {
		r.buf = nil
	}
}
