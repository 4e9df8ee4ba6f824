package engine

// maxFocus is the maximum number of pieces in a focus.
const maxFocus = 1024

// focus lists the pieces that a reader is waiting for. A reader that plays a file needs
// some pieces now and in order, and no others until it reaches them. While there is a
// focus, only its pieces are requested, but our interest in peers still follows
// everything that is wanted.
type focus struct {
	on       bool
	order    []uint32       // most urgent first
	position map[uint32]int // index of each piece in order
}

// set replaces the focus; nil removes it.
func (f *focus) set(pieces []uint32) {
	f.on = pieces != nil
	f.order = f.order[:0]
	f.position = make(map[uint32]int, min(len(pieces), maxFocus))
	for _, piece := range pieces[:min(len(pieces), maxFocus)] {
		if !f.has(piece) {
			f.position[piece] = len(f.order)
			f.order = append(f.order, piece)
		}
	}
}

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
