package engine

// check is made after every drain: the books agree with the memory.
func (n *simNode) check() {
	c, r := n.e.content, &n.e.req
	if c == nil {
		return
	}
	if r.slots.inUse != len(n.slots) && !n.slotsLag() {
		n.fatal("has %d slots out, the shell %d", r.slots.inUse, len(n.slots))
	}
	if n.s.steps%64 != 0 {
		return
	}
	n.deepCheck()
}

// slotsLag: a slot whose first request was never made is known to the engine alone.
func (n *simNode) slotsLag() bool {
	for _, pc := range n.e.req.pieces.opened {
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.state == chunkOpen && n.slots[k.slot] == nil {
				return true
			}
		}
	}
	return false
}

func (n *simNode) deepCheck() {
	c, r := n.e.content, &n.e.req
	// Availability is what the peers have.
	for i := range c.n {
		want := 0
		for _, p := range n.e.peers {
			if !p.closing && !p.down.counted && p.down.has.Len() == c.n && p.down.has.Has(i) {
				want++
			}
		}
		if int(r.pick.avail[i]) != want {
			n.fatal("piece %d: availability %d, not %d", i, r.pick.avail[i], want)
		}
		_, open := r.pieces.open[uint32(i)]
		if idle := r.pick.pos[i] >= 0; idle != (r.need.Has(i) && !open) {
			n.fatal("piece %d: idle %v, needed %v, open %v", i, idle, r.need.Has(i), open)
		}
	}
	leases, weak, firm, weakChunks := map[Block]int{}, map[*chunk]int{}, 0, 0
	for _, p := range n.e.peers {
		owed := 0
		for l := p.down.leases.oldest; l != nil; l = l.next {
			leases[l.chunk.piece.blockOf(l.block)]++
			if owed++; l.peer != &p.down {
				n.fatal("conn %d has the lease of another", p.conn)
			}
			if p.down.weak {
				weak[l.chunk]++
			} else {
				firm++
			}
		}
		if owed != p.down.leases.n {
			n.fatal("conn %d: %d leases, not %d", p.conn, p.down.leases.n, owed)
		}
		if !p.closing && p.down.has.Len() == c.n && p.down.want != r.need.CountAnd(p.down.has) {
			n.fatal("conn %d: want %d, not %d", p.conn, p.down.want, r.need.CountAnd(p.down.has))
		}
	}
	held := 0
	for _, pc := range r.pieces.opened {
		closed, stored := 0, 0
		for i := range pc.chunk {
			k := &pc.chunk[i]
			free, done, out := uint32(0), uint32(0), 0
			for b := k.first; b < k.first+k.blocks; b++ {
				x := &pc.block[b]
				if x.done {
					done++
				} else if x.held == nil {
					free++
					if b < k.next {
						n.fatal("piece %d: block %d is free before next %d", pc.index, b, k.next)
					}
				}
				held := 0
				for l := x.held; l != nil; l = l.other {
					held++
				}
				if got := leases[pc.blockOf(b)]; got != held {
					n.fatal("block %v: %d leases, not %d", pc.blockOf(b), held, got)
				}
				out += held
				delete(leases, pc.blockOf(b))
			}
			if k.weak > 0 {
				weakChunks++
			}
			if out != k.out || weak[k] != k.weak {
				n.fatal("piece %d chunk %d: %d leases, %d weak, not %d and %d", pc.index, i, k.out, k.weak, out, weak[k])
			}
			if free != k.free || done != k.done {
				n.fatal("piece %d chunk %d: free %d done %d, not %d %d", pc.index, i, k.free, k.done, free, done)
			}
			switch k.state {
			case chunkClosed:
				closed++
			case chunkStored:
				stored++
			default:
				held++
			}
			if k.needy != (k.state == chunkOpen && k.free > 0) {
				n.fatal("piece %d chunk %d is needy: %v", pc.index, i, k.needy)
			}
		}
		if closed != pc.closed || stored != pc.stored {
			n.fatal("piece %d: closed %d stored %d, not %d %d", pc.index, pc.closed, pc.stored, closed, stored)
		}
	}
	if len(leases) > 0 {
		n.fatal("leases of blocks that are not open: %v", leases)
	}
	if firm != r.leases.firm || weakChunks != r.leases.weakChunks {
		n.fatal("%d firm leases and %d weak chunks, not %d and %d", r.leases.firm, r.leases.weakChunks, firm, weakChunks)
	}
	closed := 0
	for _, pc := range r.pieces.opened {
		closed += pc.closed
	}
	if closed != r.pieces.closed {
		n.fatal("%d chunks without a slot, not %d", r.pieces.closed, closed)
	}
	if held > r.slots.inUse {
		n.fatal("%d chunks hold %d slots", held, r.slots.inUse)
	}
}
