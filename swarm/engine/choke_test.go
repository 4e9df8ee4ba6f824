package engine

import (
	"slices"
	"testing"
	"time"

	"seedbed/swarm/wire"
)

func TestTheFirstInterestedAreUnchokedAtOnce(t *testing.T) {
	r := seeding(t, Config{Uploads: 3}, 20)
	for i := range 6 {
		c := r.leecher(true)
		if got := slices.Contains(typesOf(sent(t, r.drain(), c)), wire.Unchoke); got != (i < 4) {
			t.Errorf("interested peer %d: unchoked %v", i, got)
		}
	}
	// A peer that leaves frees its slot for the next.
	r.step(&EvClosed{Conn: 1})
	if !slices.Contains(typesOf(sent(t, r.drain(), 5)), wire.Unchoke) {
		t.Error("the free slot was not assigned")
	}
}

// More slots are used at once; of fewer slots the surplus is choked.
func TestTheNumberOfSlotsChanges(t *testing.T) {
	r := seeding(t, Config{Uploads: 2}, 20)
	for range 8 {
		r.leecher(true)
	}
	r.drain()
	unchoked := func() (n int) {
		for _, p := range r.e.peers {
			if p.choke.unchoked {
				n++
			}
		}
		return n
	}
	for _, uploads := range []int{5, 1, 3} {
		r.step(&EvUploads{Uploads: uploads, SuperSeed: SuperOff})
		r.wait(time.Second) // a surplus is choked by a round that is due at once
		if got := unchoked(); got != uploads+1 {
			t.Errorf("%d peers are unchoked with %d slots", got, uploads)
		}
	}
}

func TestLeecherUnchokesThePeersThatSendMost(t *testing.T) {
	r := newRig(t, Config{Uploads: 2}, 1000, 64<<10)
	for i := range 8 {
		c := r.leecher(true)
		r.e.conns[c].down.rate.Add(r.now, 1) // it delivers, so it is not stalled
		r.e.choker.noteReceived(r.now, &r.e.conns[c].choke, i+1)
	}
	optimistic := map[Conn]bool{}
	for range 60 {
		for i := range 8 {
			r.e.choker.noteReceived(r.now, &r.e.conns[Conn(i+1)].choke, (i+1)*100_000)
		}
		r.wait(10 * time.Second)
		for i := range 8 {
			p := r.e.conns[Conn(i+1)]
			p.lastIn = r.now
			if i >= 6 && !p.choke.unchoked {
				t.Fatalf("at %v peer %d, one of the best two, is choked", time.Duration(r.now), i)
			}
			if i < 6 && p.choke.unchoked {
				optimistic[p.conn] = true
			}
		}
		if r.e.choker.held != 3 {
			t.Fatalf("%d peers are unchoked", r.e.choker.held)
		}
	}
	if len(optimistic) < 5 {
		t.Error("the optimistic unchoke went to", optimistic)
	}
}

func TestASeedServesAllInTurns(t *testing.T) {
	r := seeding(t, Config{Uploads: 2}, 1000)
	for range 12 {
		r.leecher(true)
	}
	served := map[Conn]time.Duration{}
	for range 600 {
		r.wait(2 * time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if p.choke.unchoked {
				served[p.conn] += 2 * time.Second
				p.choke.sent += 2 << 20
				p.choke.total, p.choke.sentAt = p.choke.total+2<<20, r.now
			}
		}
	}
	for c := range Conn(12) {
		if s := served[c+1]; s < 4*time.Minute || s > 6*time.Minute {
			t.Errorf("peer %d was served for %v of 20 minutes, not 5", c+1, s)
		}
	}
}

// A peer that takes nothing loses its slot to peers that wait, for longer each time.
func TestAStalledPeerLosesItsSlot(t *testing.T) {
	r := seeding(t, Config{Uploads: 1}, 1000)
	for range 3 {
		r.leecher(true)
	}
	held := map[Conn]int{}
	for range 600 {
		r.wait(time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if !p.choke.unchoked {
				continue
			}
			held[p.conn]++
			if p.conn == 3 { // the others take nothing
				p.choke.sent += 1 << 20
				p.choke.total, p.choke.sentAt = p.choke.total+1<<20, r.now
			}
		}
	}
	if held[3] < 560 || held[1] == 0 || held[1] > 300 {
		t.Errorf("slots were held for %v of 600 seconds", held)
	}
}

// When many peers take nothing, they share a small part of the uplink.
func TestProvenPeersComeFirst(t *testing.T) {
	r := seeding(t, Config{Uploads: 3}, 1000)
	for range 20 {
		r.leecher(true)
	}
	good := r.leecher(true)
	for range 120 {
		r.wait(time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
		}
		if p := r.e.conns[good]; p.choke.unchoked {
			p.choke.sent += 1 << 20
			p.choke.total, p.choke.sentAt = p.choke.total+1<<20, r.now
		}
	}
	if p := r.e.conns[good]; !p.choke.unchoked || !p.choke.isProven() || !r.e.choker.stalled.many {
		t.Fatalf("choking %v, proven %v, many stalled %v", !p.choke.unchoked, p.choke.isProven(), r.e.choker.stalled.many)
	}
	went := 0
	for i := range 100 {
		if p := r.e.conns[1]; r.e.choker.maySend(r.now, &p.choke, blockSize) {
			went += blockSize
		}
		if i%10 == 0 {
			r.now = r.now.Add(time.Second)
			r.e.begin(r.now)
		}
	}
	if most := trialBurst + 11*minTrial; went == 0 || went > most {
		t.Errorf("%d bytes for a peer that took nothing, more than %d", went, most)
	}
}

// A peer that sends many useless messages is banned. Requests that cross a choke do not
// count.
func TestFloodOfUselessMessagesIsBanned(t *testing.T) {
	r := seeding(t, Config{}, 20)
	honest, bad := r.leecher(true), r.leecher(true)
	for i := range 2 * noiseBurst {
		if i < 2048 {
			r.msg(honest, wire.Msg{Type: wire.Request, Index: 1, Begin: uint32(i%4) << 14, Length: 1 << 14})
		}
		r.msg(bad, wire.Msg{Type: wire.KeepAlive})
	}
	if r.e.conns[honest].closing {
		t.Error("two queues of requests were treated as a flood")
	}
	if p := r.e.conns[bad]; !p.closing || !r.e.book.isBanned(r.now, p.addr) {
		t.Error("a flood of keepalives was not banned")
	}
}

// A peer that is not interested keeps its slot while nobody else wants it. Its requests
// are still served within the slots.
func TestSlotsHoldWithoutInterest(t *testing.T) {
	const uploads = 1 // plus the optimistic one
	r := seeding(t, Config{Uploads: uploads}, 1000)
	var conns []Conn
	for range 20 {
		c := r.leecher(true)
		r.msg(c, wire.Msg{Type: wire.NotInterested})
		conns = append(conns, c)
	}
	r.drain()
	next := map[Conn]uint32{}
	served := map[Conn]bool{}
	play := func() {
		for _, c := range conns {
			if p := r.e.conns[c]; p == nil || p.closing {
				continue
			}
			r.block(BlockEvent{Kind: BlockRequested, Conn: c, Block: Block{Piece: next[c] % 1000, Length: 1 << 14}})
			next[c]++
		}
		for _, x := range of(r.drain(), CmdUpload) {
			served[x.Conn] = true
			r.block(BlockEvent{Kind: BlockUploaded, Conn: x.Conn, Block: x.Block})
		}
	}
	for range 20 {
		play()
		if n := r.e.choker.held; n > uploads+1 {
			t.Fatalf("%d peers are unchoked at once", n)
		}
		r.now = r.now.Add(100 * time.Millisecond)
	}
	if len(served) > uploads+1 {
		t.Errorf("%d peers are served in 2 s", len(served))
	}
	// An interested peer gets a slot at once, from a peer that is not interested.
	c := r.leecher(true)
	cmds := r.drain()
	if !slices.Contains(typesOf(sent(t, cmds, c)), wire.Unchoke) {
		t.Error("an interested peer waits for one that is not")
	}
	if n := r.e.choker.held; n > uploads+1 {
		t.Errorf("%d peers are unchoked", n)
	}
}

// A peer whose interest comes and goes gains no advantage over those that wait.
func TestFlappingInterestGainsNothing(t *testing.T) {
	r := seeding(t, Config{Uploads: 1}, 1000)
	for range 10 {
		r.leecher(true)
	}
	held := map[Conn]int{}
	for i := range 1200 {
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if p.choke.unchoked {
				held[p.conn]++
				p.choke.sent += 2 << 20
				p.choke.total, p.choke.sentAt = p.choke.total+2<<20, r.now
			}
		}
		r.wait(500 * time.Millisecond)
		if i%3 == 0 {
			for c := range Conn(3) { // these change their interest
				r.msg(c+1, wire.Msg{Type: wire.NotInterested}, wire.Msg{Type: wire.Interested})
			}
		}
	}
	flapping, steady := 0, 0
	for c, n := range held {
		if c <= 3 {
			flapping += n
		} else {
			steady += n
		}
	}
	if flapping*7 > steady*3*11/10 {
		t.Errorf("peers with changing interest held slots for %d half seconds each, the others for %d", flapping/3, steady/7)
	}
}
