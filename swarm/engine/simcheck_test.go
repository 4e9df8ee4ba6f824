package engine

// check runs after every drain. It compares the engine's slots with the node's.
func (n *simNode) check() {
	c, r := n.e.content, &n.e.req
	if c == nil {
		return
	}
	if r.slots.inUse != len(n.slots) && !n.slotsLag() {
		n.fatal("has %d slots in use, the shell %d", r.slots.inUse, len(n.slots))
	}
	every := 64
	if n.s.cfg.sparse {
		every = 1 << 16
	}
	if n.s.steps%every != 0 {
		return
	}
	n.deepCheck()
}

// slotsLag reports whether the engine has a slot without any request yet, which the node
// does not know.
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

// deepCheck compares the engine's state with values computed from scratch.
func (n *simNode) deepCheck() {
	if n.e.content == nil {
		return
	}
	if len(n.e.peers) != len(n.e.req.peers.all) {
		n.fatal("the requester has %d peers, the engine %d", len(n.e.req.peers.all), len(n.e.peers))
	}
	for i, p := range n.e.peers {
		if d := &p.down; d != n.e.req.peers.all[i] || d.conn != p.conn || d.closing != p.closing || d.origin != p.origin {
			n.fatal("the requester disagrees about conn %d: %+v", p.conn, d)
		}
	}
	checkRequester(&n.e.req, n.fatal)
}

// checkRequester recounts everything that a requester counts: availability, leases,
// blocks, chunks and slots.
func checkRequester(r *requester, fatal func(format string, args ...any)) {
	// Availability must match the peers' pieces.
	for i := range r.n {
		want := 0
		for _, p := range r.peers.all {
			if !p.closing && !p.counted && p.has.Len() == r.n && p.has.Has(i) {
				want++
			}
		}
		if int(r.pick.avail[i]) != want {
			fatal("piece %d: availability %d, not %d", i, r.pick.avail[i], want)
		}
		_, open := r.pieces.open[uint32(i)]
		if idle := r.pick.pos[i] >= 0; idle != (r.need.Has(i) && !open) {
			fatal("piece %d: idle %v, needed %v, open %v", i, idle, r.need.Has(i), open)
		}
	}
	leases, weak, firm, weakChunks := map[Block]int{}, map[*chunk]int{}, 0, 0
	for _, p := range r.peers.all {
		owed := 0
		for l := p.outstanding.oldest; l != nil; l = l.next {
			leases[l.chunk.piece.blockOf(l.block)]++
			if owed++; l.peer != p {
				fatal("conn %d has a lease of another peer", p.conn)
			}
			if p.weak {
				weak[l.chunk]++
			} else {
				firm++
			}
		}
		if owed != p.outstanding.n {
			fatal("conn %d: %d leases, not %d", p.conn, p.outstanding.n, owed)
		}
		if !p.closing && p.has.Len() == r.n && p.want != r.need.CountAnd(p.has) {
			fatal("conn %d: want %d, not %d", p.conn, p.want, r.need.CountAnd(p.has))
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
						fatal("piece %d: block %d is free before next %d", pc.index, b, k.next)
					}
				}
				held := 0
				for l := x.held; l != nil; l = l.other {
					held++
				}
				if got := leases[pc.blockOf(b)]; got != held {
					fatal("block %v: %d leases, not %d", pc.blockOf(b), held, got)
				}
				out += held
				delete(leases, pc.blockOf(b))
			}
			if k.weak > 0 {
				weakChunks++
			}
			if out != k.out || weak[k] != k.weak {
				fatal("piece %d chunk %d: %d leases, %d weak, not %d and %d", pc.index, i, k.out, k.weak, out, weak[k])
			}
			if free != k.free || done != k.done {
				fatal("piece %d chunk %d: free %d done %d, not %d %d", pc.index, i, k.free, k.done, free, done)
			}
			switch k.state {
			case chunkClosed:
				closed++
			case chunkStored:
				stored++
			default:
				held++
			}
			if k.requestable != (k.state == chunkOpen && k.free > 0) {
				fatal("piece %d chunk %d requestable: %v", pc.index, i, k.requestable)
			}
		}
		if closed != pc.closed || stored != pc.stored {
			fatal("piece %d: closed %d stored %d, not %d %d", pc.index, pc.closed, pc.stored, closed, stored)
		}
	}
	if len(leases) > 0 {
		fatal("leases for blocks that are not open: %v", leases)
	}
	if firm != r.outstanding.firm || weakChunks != r.outstanding.weakChunks {
		fatal("%d firm leases and %d weak chunks, not %d and %d", r.outstanding.firm, r.outstanding.weakChunks, firm, weakChunks)
	}
	closed := 0
	for _, pc := range r.pieces.opened {
		closed += pc.closed
	}
	if closed != r.pieces.closed {
		fatal("%d chunks without a slot, not %d", r.pieces.closed, closed)
	}
	if held > r.slots.inUse {
		fatal("%d chunks hold %d slots", held, r.slots.inUse)
	}
}
