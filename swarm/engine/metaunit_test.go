package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// metaOrder is a request that the metadata phase sent.
type metaOrder struct {
	conn  Conn
	block int
	at    mono.Time // when it will be answered
}

// metaWorld is a metadata phase whose peers are simulated by the test; it is also its
// sink.
type metaWorld struct {
	t      rapid.TB
	m      metadataPhase
	info   *metainfo.Info
	now    mono.Time
	peers  map[Conn]*metaPeer
	delay  map[Conn]time.Duration // of answers; negative means never
	orders []metaOrder
}

func newMetaWorld(t rapid.TB, info *metainfo.Info) *metaWorld {
	w := &metaWorld{t: t, info: info, now: 1, peers: map[Conn]*metaPeer{}, delay: map[Conn]time.Duration{}}
	w.m = newMetadataPhase(metainfo.NewAssembler(info.Hash, info.HashV2))
	return w
}

func (w *metaWorld) join(delay time.Duration) *metaPeer {
	p, c := new(metaPeer), Conn(len(w.peers)+1)
	w.m.join(w.now, c, p)
	w.peers[c], w.delay[c] = p, delay
	if err := w.m.offer(p, int64(len(w.info.Raw))); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *metaWorld) requestMetadata(conn Conn, block int) {
	p := w.peers[conn]
	if w.now < p.pause || !slices.Contains(p.asked, block) {
		w.t.Fatalf("invalid request to peer %d for block %d: %+v", conn, block, p)
	}
	at := mono.Never
	if d := w.delay[conn]; d >= 0 {
		at = w.now.Add(d)
	}
	w.orders = append(w.orders, metaOrder{conn, block, at})
}

func (w *metaWorld) ask() {
	w.m.ask(w.now, w)
	busy := 0
	for _, p := range w.m.peers {
		if len(p.asked) > 0 {
			busy++
		}
		sorted := slices.Sorted(slices.Values(p.asked))
		if len(slices.Compact(sorted)) != len(p.asked) || len(p.asked) > maxMetaAsked {
			w.t.Fatalf("requests to peer %d: %v", p.conn, p.asked)
		}
		if len(p.asked) > 0 && w.m.due > p.at.Add(w.m.timeoutOf(p)) {
			w.t.Fatalf("peer %d does not time out soon enough", p.conn)
		}
	}
	if busy > maxMetaPeers {
		w.t.Fatalf("%d peers are asked at once", busy)
	}
}

func (w *metaWorld) block(block int) []byte {
	begin := block * wire.MetadataBlock
	return slices.Clone(w.info.Raw[begin:min(begin+wire.MetadataBlock, len(w.info.Raw))])
}

// With one honest peer the metadata arrives soon, whatever the others do: stay silent,
// answer late, reject, send wrong or unrequested blocks, or leave. An honest peer is
// never called a liar.
func TestMetadataPhaseCompletesWithOneHonestPeer(t *testing.T) {
	info := testInfo(t, 6000, 16<<10, 100, false) // 120 kB: 8 blocks
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w := newMetaWorld(t, info)
		lies, rejects := map[Conn]bool{}, map[Conn]bool{}
		bad := rapid.IntRange(0, 40).Draw(t, "bad peers")
		for range bad {
			p := w.join(time.Duration(rng.IntN(12000)-4000) * time.Millisecond)
			lies[p.conn], rejects[p.conn] = rng.IntN(3) == 0, rng.IntN(4) == 0
		}
		honest := w.join(100 * time.Millisecond)
		began := w.now
		for second := w.now; ; w.now = w.now.Add(50 * time.Millisecond) {
			if w.now.Sub(began) > 2*time.Minute {
				t.Fatalf("no metadata after %v with %d bad peers", w.now.Sub(began), bad)
			}
			if w.now >= second {
				second = second.Add(time.Second)
				for _, p := range slices.Clone(w.m.peers) {
					if f := w.m.upkeep(w.now, p, false); f != FaultNone && !lies[p.conn] {
						t.Fatalf("peer %d is closed: %v", p.conn, f)
					}
				}
			}
			w.ask()
			due := slices.DeleteFunc(slices.Clone(w.orders), func(o metaOrder) bool { return o.at > w.now })
			w.orders = slices.DeleteFunc(w.orders, func(o metaOrder) bool { return o.at <= w.now })
			for _, o := range due {
				p := w.peers[o.conn]
				if rejects[o.conn] && rng.IntN(2) == 0 {
					w.m.noteReject(w.now, p, o.block)
					continue
				}
				data := w.block(o.block)
				if lies[o.conn] && rng.IntN(2) == 0 {
					data[rng.IntN(len(data))] ^= 1
				}
				r := w.m.received(w.now, p, o.block, data)
				for _, l := range r.liars {
					if !lies[l] {
						t.Fatalf("honest peer %d was called a liar", l)
					}
					w.m.leave(w.peers[l])
				}
				switch {
				case r.err != nil && !lies[o.conn] || r.broken != nil:
					t.Fatalf("peer %d: %v, %v", o.conn, r.err, r.broken)
				case r.info != nil && r.info.Hash != info.Hash:
					t.Fatal("the metadata is that of another torrent")
				}
			}
			if rng.IntN(100) == 0 && bad > 0 {
				if p := w.peers[Conn(1+rng.IntN(bad))]; p != honest {
					w.m.leave(p)
				}
			}
			if w.m.done {
				break
			}
		}
		if w.m.peers != nil || w.m.needs(honest) {
			t.Fatal("the phase has not ended although the metadata is known")
		}
	})
}

// A silent peer is paused for longer each time. When it sends a block, its timeouts are
// cleared.
func TestMetadataPhasePausesSilentPeers(t *testing.T) {
	w := newMetaWorld(t, testInfo(t, 6000, 16<<10, 100, false))
	p := w.join(-1)
	var pauses []time.Duration
	for len(pauses) < metaPauses+2 {
		w.ask()
		if w.now < p.pause {
			pauses = append(pauses, p.pause.Sub(w.now))
			w.now = p.pause
			w.m.upkeep(w.now, p, false)
			continue
		}
		w.now = w.m.due
	}
	for i, d := range pauses {
		if want := metaPause << min(i, metaPauses); d != want {
			t.Errorf("pause %d is %v, not %v", i+1, d, want)
		}
	}
	o := w.orders[len(w.orders)-1]
	if r := w.m.received(w.now, p, o.block, w.block(o.block)); r.err != nil || p.timeouts != 0 || w.m.timeouts != 0 {
		t.Errorf("after a block it still has %d timeouts: %v", p.timeouts, r.err)
	}
	if w.m.timeoutOf(p) != metaTimeout {
		t.Errorf("the timeout of a peer that has sent a block is %v", w.m.timeoutOf(p))
	}
}

// When connections are nearly used up, a peer without metadata is closed after metaGrace.
func TestMetadataPhaseClosesPeersWithoutMetadata(t *testing.T) {
	w := newMetaWorld(t, testInfo(t, 6000, 16<<10, 100, false))
	useful, none := w.join(-1), new(metaPeer)
	w.m.join(w.now, 99, none)
	at := w.now.Add(metaGrace)
	for _, x := range []struct {
		now     mono.Time
		p       *metaPeer
		crowded bool
		want    Fault
	}{
		{at, none, true, FaultNone},
		{at + 1, none, false, FaultNone},
		{at + 1, none, true, FaultUseless},
		{at + 1, useful, true, FaultNone},
	} {
		if got := w.m.upkeep(x.now, x.p, x.crowded); got != x.want {
			t.Errorf("%v", got)
		}
	}
}

// A peer may fetch the metadata twice at once, and then more at a limited rate.
func TestMetadataIsServedTwice(t *testing.T) {
	raw := make([]byte, 3*wire.MetadataBlock+5)
	var p metaPeer
	if m := p.answer(1, nil, 0); m.Type != wire.MetadataReject {
		t.Error("sent metadata that we do not have")
	}
	bytes, served := 0, 0
	for i := range 100 {
		if m := p.answer(1, raw, i%4); m.Type == wire.MetadataData {
			bytes += len(m.Data)
			served++
		}
	}
	if served != 2*4+8 || bytes != served/4*len(raw) {
		t.Errorf("%d blocks of %d bytes in all", served, bytes)
	}
	if m := p.answer(mono.Time(time.Minute), raw, 4); m.Type != wire.MetadataReject {
		t.Error("sent a block past the end")
	}
	if m := p.answer(mono.Time(time.Minute), raw, 3); m.Type != wire.MetadataData || len(m.Data) != 5 || m.TotalSize != int64(len(raw)) {
		t.Errorf("after a minute block 3 is %v of %d bytes", m.Type, len(m.Data))
	}
}
