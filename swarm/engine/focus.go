package engine

import "seedbed/internal/mono"

// maxFocus is the maximum number of pieces in a focus.
const maxFocus = 1024

// focus lists the pieces that a reader is waiting for. A reader that plays a file needs
// some pieces now and in order, and no others until it reaches them. While there is a
// focus, its pieces are requested first. Other pieces follow only if rest is set, but our
// interest in peers follows everything that is wanted.
type focus struct {
	on       bool
	rest     bool           // other pieces are requested too
	order    []uint32       // most urgent first
	position map[uint32]int // index of each piece in order

	top   float64   // the rate of the fastest peer at topAt, in bytes per second
	topAt mono.Time // see isForFaster
}

// set replaces the focus; nil removes it.
func (f *focus) set(pieces []uint32, rest bool) {
	f.on, f.rest = pieces != nil, rest
	f.order = f.order[:0]
	f.position = make(map[uint32]int, min(len(pieces), maxFocus))
	for _, piece := range pieces[:min(len(pieces), maxFocus)] {
		if !f.has(piece) {
			f.position[piece] = len(f.order)
			f.order = append(f.order, piece)
		}
	}
}

// isOnly reports whether no other pieces are requested.
func (f *focus) isOnly() bool { return f.on && !f.rest }

// has reports whether a piece is in the focus.
func (f *focus) has(piece uint32) bool {
	_, ok := f.position[piece]
	return ok
}

// positionOf returns the index of a piece in the focus, or its length if the piece is not in
// it.
func (f *focus) positionOf(piece uint32) int {
	if at, ok := f.position[piece]; ok {
		return at
	}
	return len(f.order)
}
