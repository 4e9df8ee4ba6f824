package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

// layerWorld is a layer phase whose peers are simulated by the test; it is also its sink.
type layerWorld struct {
	t     rapid.TB
	y     layerPhase
	now   mono.Time
	peers []*layerPeer
	owed  map[Conn][]metainfo.HashRequest // unanswered requests of each peer
}

func (w *layerWorld) requestHashes(c Conn, q metainfo.HashRequest) {
	if p := w.peers[c-1]; w.now < p.pause {
		w.t.Fatalf("peer %d was asked during its pause", c)
	}
	w.owed[c] = append(w.owed[c], q)
}

// Whatever peers do, each layer is requested from at most one peer at a time, and all
// layers arrive once an honest peer answers.
func TestLayerPhaseCompletesBesideAnyPeers(t *testing.T) {
	whole, _ := v2Info(t)
	rapid.Check(t, func(t *rapid.T) {
		lacking, err := metainfo.ParseInfo(whole.Raw)
		if err != nil || !lacking.LacksLayers() {
			t.Fatal("the torrent lacks no layers", err)
		}
		w := &layerWorld{t: t, now: 1, owed: map[Conn][]metainfo.HashRequest{}}
		w.y.begin(lacking)
		asks := len(w.y.askedOf)
		answer := func(c Conn, what int) (done bool) {
			q := w.owed[c][0]
			w.owed[c] = w.owed[c][1:]
			hashes, ok := whole.Hashes(nil, q)
			if !ok {
				t.Fatal("invalid request")
			}
			if what == 2 {
				hashes = slices.Clone(hashes)
				hashes[0] ^= 1
			}
			r := w.y.received(w.now, w.peers[c-1], q, what == 1, hashes)
			if r.isWrong != (what == 2 && r.wasAsked) {
				t.Fatalf("answer judged wrong: %v", r.isWrong)
			}
			return r.info != nil
		}
		join := func() Conn {
			p := new(layerPeer)
			w.peers = append(w.peers, p)
			w.y.join(Conn(len(w.peers)), p)
			return p.conn
		}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				join()
			case 1:
				w.y.ask(w.now, w)
			case 2:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
				w.y.upkeep(w.now)
			case 3:
				if len(w.y.peers) > 0 {
					w.y.leave(rapid.SampledFrom(w.y.peers).Draw(t, "peer"))
				}
			case 4:
				for c := range Conn(len(w.peers)) {
					if len(w.owed[c+1]) > 0 && answer(c+1, rapid.IntRange(0, 2).Draw(t, "answer")) {
						return
					}
				}
			}
			for _, p := range w.y.peers {
				if len(p.asked) > maxLayersAsked {
					t.Fatalf("%d outstanding requests at one peer", len(p.asked))
				}
				for _, k := range p.asked {
					if w.y.askedOf[k] != p.conn {
						t.Fatalf("request %d is outstanding at %d and at %d", k, p.conn, w.y.askedOf[k])
					}
				}
			}
		}
		for _, p := range slices.Clone(w.y.peers) {
			w.y.leave(p)
		}
		honest := join()
		for range asks + 1 {
			w.y.ask(w.now, w)
			if len(w.owed[honest]) == 0 {
				t.Fatal("nothing is requested although layers are missing")
			}
			if answer(honest, 0) {
				if w.y.isOpen() {
					t.Fatal("the phase has not ended")
				}
				return
			}
		}
		t.Fatal("an honest peer sent all layers, but some are missing")
	})
}
