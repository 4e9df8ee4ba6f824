package engine

// maxFocus bounds a focus, in pieces.
const maxFocus = 1024

// A reader that plays a file wants some pieces now and in order, and the rest
// not at all until it comes to them. The focus is that: while there is one,
// nothing else is asked for, though everything that is wanted stays so in the eyes
// of peers.
type focus struct {
	on    bool
	order []uint32       // most urgent first
	place map[uint32]int // of the pieces of order in it
}

// set replaces the focus; nil is none.
func (f *focus) set(pieces []uint32) {
	f.on = pieces != nil
	f.order = f.order[:0]
	f.place = make(map[uint32]int, min(len(pieces), maxFocus))
	for _, piece := range pieces[:min(len(pieces), maxFocus)] {
		if !f.has(piece) {
			f.place[piece] = len(f.order)
			f.order = append(f.order, piece)
		}
	}
}

// has reports whether a piece is in the focus.
func (f *focus) has(piece uint32) bool {
	_, ok := f.place[piece]
	return ok
}

// placeOf is how many pieces of the focus come before one; all, if it is not in it.
func (f *focus) placeOf(piece uint32) int {
	if at, ok := f.place[piece]; ok {
		return at
	}
	return len(f.order)
}
