package engine

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// filesInfo returns a torrent with files of these lengths.
func filesInfo(t testing.TB, pieceLen int64, lengths ...int64) *metainfo.Info {
	plan := metainfo.Plan{Name: "sample", PieceLength: pieceLen}
	total := int64(0)
	for i, n := range lengths {
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprint(i)}, Length: n})
		total += n
	}
	info, err := metainfo.Build(plan, make([]byte, 20*((total+pieceLen-1)/pieceLen)))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// fetch lets c serve what is requested, with all pieces verified, and returns the pieces in
// the order in which they were first requested.
func (r *rig) fetch(c Conn, steps int) (order []uint32) {
	cmds := r.drain()
	for range steps {
		for _, piece := range asked(cmds) {
			if !slices.Contains(order, piece) {
				order = append(order, piece)
			}
		}
		if len(of(cmds, CmdRequest)) == 0 {
			return order
		}
		stored := r.give(c, cmds)
		cmds = append(stored, r.verify(stored, true, nil)...)
	}
	return order
}

const kib64 = 64 << 10

// A peer is asked for what it has of the most urgent files first. The first and last pieces
// of each file come before all others.
func TestUrgentFilesComeFirst(t *testing.T) {
	info := filesInfo(t, kib64, 10*kib64, 10*kib64, 10*kib64, 10*kib64)
	class := func(order []uint32) (out []int) {
		for _, p := range order {
			out = append(out, int(p/10))
		}
		return out
	}
	priorities := []Priority{PriorityLow, PriorityHigh, PriorityNormal, PriorityMaximum}
	r := newRig(t, Config{Budget: 3, ChunkSize: kib64}, 0, 0)
	r.step(&EvOrder{Order{Files: priorities}}) // before the metadata is known
	r.step(&EvInfo{Info: info})
	got := class(r.fetch(r.seed(true), 100))
	if want := slices.Concat(slices.Repeat([]int{3}, 10), slices.Repeat([]int{1}, 10), slices.Repeat([]int{2}, 10), slices.Repeat([]int{0}, 10)); !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}

	r = newRig(t, Config{Budget: 3, ChunkSize: kib64}, 0, 0)
	r.step(&EvInfo{Info: info})
	r.step(&EvOrder{Order{Files: priorities, FirstLast: true}})
	c := r.connect(true)
	some := bitset.New(40)
	for i := range 15 { // of file 0, and a half of file 1
		some.Add(i)
	}
	r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: some.AppendTo(nil)}, wire.Msg{Type: wire.Unchoke})
	order := r.fetch(c, 100)
	edges := slices.Clone(order[:3])
	slices.Sort(edges)
	if !slices.Equal(edges, []uint32{0, 9, 10}) || !slices.Equal(class(order[3:7]), []int{1, 1, 1, 1}) || len(order) != 15 {
		t.Errorf("pieces %v", order)
	}
}

// Pieces are requested by their index, from a piece on, whatever is rare and whatever a peer
// suggests.
func TestSequentialOrder(t *testing.T) {
	r := newRig(t, Config{Budget: 3, ChunkSize: kib64}, 0, 0)
	r.step(&EvOrder{Order{Sequential: true, From: 35}})
	r.info(40, 2*kib64) // two chunks in a piece
	for i := range 20 {
		c := r.connect(true)
		r.msg(c, wire.Msg{Type: wire.Have, Index: uint32(2 * i)})
	}
	c := r.seed(true)
	r.msg(c, wire.Msg{Type: wire.Suggest, Index: 20})
	var want []uint32
	for i := range uint32(40) {
		want = append(want, (35+i)%40)
	}
	if got := r.fetch(c, 1000); !slices.Equal(got, want) {
		t.Errorf("pieces %v", got)
	}
}

// When the order changes, requests for pieces of which nothing has arrived make place for
// more urgent ones. What has begun to arrive is kept.
func TestOrderChanges(t *testing.T) {
	r := newRig(t, Config{Budget: 2, ChunkSize: kib64}, 0, 0)
	r.step(&EvOrder{Order{Sequential: true}})
	r.step(&EvInfo{Info: filesInfo(t, kib64, 10*kib64, 10*kib64)})
	c := r.seed(true)
	first := r.drain()
	if got := asked(first); !slices.Equal(got, []uint32{0, 1}) {
		t.Fatalf("pieces %v", got)
	}
	one := of(first, CmdRequest)[0]
	r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: one.Block, Slot: one.Slot})
	r.step(&EvOrder{Order{Sequential: true, Files: []Priority{PriorityNormal, PriorityHigh}}})
	after := r.drain()
	if got := asked(after); !slices.Equal(got, []uint32{10}) {
		t.Errorf("after the change: pieces %v", got)
	}
	if n := len(of(after, CmdCancel)); n != 4 || r.e.req.pieces.open[0] == nil {
		t.Errorf("%d requests were cancelled, piece 0 is open: %v", n, r.e.req.pieces.open[0] != nil)
	}
	r.step(&EvOrder{})
	if r.e.req.order != nil || r.e.req.pick.class != nil || len(r.e.req.pick.queues) != 1 {
		t.Error("an order remains")
	}
	r.step(&EvOrder{Order{Files: []Priority{PriorityHigh, PriorityHigh, 7, -3}}})
	if r.e.req.order != nil {
		t.Error("equal priorities are an order")
	}
}

// A peer that chokes us is asked for the most urgent of the pieces that it allows (BEP 6).
func TestOrderOfAllowedPieces(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.step(&EvOrder{Order{Files: []Priority{PriorityLow, PriorityNormal, PriorityHigh}}})
	r.step(&EvInfo{Info: filesInfo(t, kib64, 10*kib64, 10*kib64, 10*kib64)})
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveAll})
	for _, i := range []uint32{3, 14, 25} {
		r.msg(c, wire.Msg{Type: wire.AllowedFast, Index: i})
	}
	if got := r.fetch(c, 10); !slices.Equal(got, []uint32{25, 14, 3}) {
		t.Errorf("pieces %v", got)
	}
}

// A piece has the most urgent class of the wanted files that it belongs to. The ends of a
// file are at least a piece, and a hundredth of it.
func TestClassesAgreeWithFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.Int64Range(0, 40*kib64), 1, 12).Draw(t, "lengths")
		lengths = append(lengths, rapid.SampledFrom([]int64{1, 1000 * kib64}).Draw(t, "large"))
		info := filesInfo(nil, kib64, lengths...)
		o := Order{FirstLast: rapid.Bool().Draw(t, "first and last"),
			Files: rapid.SliceOfN(rapid.Map(rapid.Int8Range(-1, 2), func(p int8) Priority { return Priority(p) }), 0, len(lengths)).Draw(t, "files")}
		var files bitset.Set
		if rapid.Bool().Draw(t, "selection") {
			files = bitset.New(len(lengths))
			files.Add(rapid.IntRange(0, len(lengths)-1).Draw(t, "wanted"))
			files.Add(rapid.IntRange(0, len(lengths)-1).Draw(t, "wanted"))
		}
		got := o.classes(info, files)
		for p := range info.NumPieces() {
			want := uint8(255)
			for s := range info.PieceSpans(p) {
				if files.Len() > 0 && !files.Has(s.File) {
					continue
				}
				c := classNormal
				if s.File < len(o.Files) {
					c = uint8(2 - o.Files[s.File])
				}
				first, end := info.PiecesOf(s.File)
				if n := int((info.Files[s.File].Length/100 + kib64 - 1) / kib64); o.FirstLast && (p < first+max(n, 1) || p >= end-max(n, 1)) {
					c = classMaximum
				}
				want = min(want, c)
			}
			if want == 255 {
				continue // not wanted
			}
			if got != nil && got[p] != want {
				t.Fatalf("piece %d has class %d, not %d", p, got[p], want)
			}
		}
	})
	large := filesInfo(t, 16<<20, 100<<30)
	if n := edgeOf(large, 0); n != 2 {
		t.Errorf("%d pieces of 16 MiB at the ends of 100 GiB", n)
	}
}

// lastOf returns how many of the pieces in got came before the last one of [first, end).
func lastOf(got []uint32, first, end uint32) (n int) {
	for i, p := range got {
		if p >= first && p < end {
			n = i + 1
		}
	}
	return n
}

// In a swarm of seeds, a leecher completes its file of high priority before the others, and
// the one of low priority last. Without priorities it would not.
func TestSwarmCompletesUrgentFilesFirst(t *testing.T) {
	const file = 40 // pieces
	info := filesInfo(t, kib64, file*kib64, file*kib64, file*kib64)
	for seed := range *seedsFlag {
		cfg := simConfig{seed: seed, nodes: 6, seeds: 5, pieces: 3 * file, info: info, budget: 8}
		run := func(o Order) []uint32 {
			cfg.shape = func(n *simNode) { n.fetch = o }
			s := newSim(t, cfg)
			s.run()
			return s.nodes[5].got
		}
		got := run(Order{Files: []Priority{PriorityLow, PriorityHigh, PriorityNormal}})
		if high, normal := lastOf(got, file, 2*file), lastOf(got, 2*file, 3*file); high > file+cfg.budget || normal > 2*file+cfg.budget {
			t.Errorf("seed %d: the high file was complete after %d pieces, the normal one after %d", seed, high, normal)
		}
		if n := lastOf(run(Order{}), file, 2*file); n <= file+cfg.budget {
			t.Errorf("seed %d: without priorities the file was complete after %d pieces", seed, n)
		}
	}
}

// A leecher that fetches in sequence has each piece at most the size of its memory early or
// late. It may change its mind.
func TestSwarmDeliversInSequence(t *testing.T) {
	for seed := range *seedsFlag {
		const pieces = 120
		cfg := simConfig{seed: seed, nodes: 6, seeds: 5, pieces: pieces, budget: 8, shape: func(n *simNode) { n.fetch.Sequential = true }}
		s := newSim(t, cfg)
		s.run()
		for at, p := range s.nodes[5].got {
			if at < int(p)-cfg.budget {
				t.Fatalf("seed %d: piece %d came as number %d", seed, p, at)
			}
		}
		s = newSim(t, cfg)
		leecher, changed := s.nodes[5], 0
		change := func() {
			if changed == 0 && len(leecher.got) >= 30 {
				changed = len(leecher.got)
				leecher.step(&EvOrder{Order{Sequential: true, From: 90}})
			}
		}
		for i := range 10000 {
			s.at(mono.Time(i)*mono.Time(10*time.Millisecond), change)
		}
		s.run()
		if changed == 0 || changed > 60 {
			t.Fatalf("seed %d: the order changed after %d pieces", seed, changed)
		}
		if n := lastOf(leecher.got, 90, 120); n > changed+30+2*cfg.budget {
			t.Errorf("seed %d: the end was complete after %d pieces, although it was first from piece %d on", seed, n, changed)
		}
	}
}

// An order of two million pieces and 100,000 files costs a few times as much to set as the
// wanted pieces do, and the pieces of a peer are found about as fast as without.
func TestOrderOfAHugeTorrentIsCheap(t *testing.T) {
	skipUnderRace(t)
	runtime.LockOSThread() // for cpuTime
	defer runtime.UnlockOSThread()
	const files = 100_000
	lengths := make([]int64, files)
	priorities := make([]Priority, files)
	for i := range lengths {
		lengths[i] = costPieces / files * (16 << 10)
		priorities[i] = Priority(i%4 - 1)
	}
	r := newRig(t, Config{}, 0, 0)
	r.step(&EvInfo{Info: filesInfo(t, 16<<10, lengths...)})
	least := func(f func()) (best time.Duration) {
		for range 3 {
			began := cpuTime()
			f()
			if took := cpuTime() - began; best == 0 || took < best {
				best = took
			}
		}
		return best
	}
	some := bitset.New(costPieces) // the last pieces only
	for i := costPieces - 1000; i < costPieces; i++ {
		some.Add(i)
	}
	peers := []*requestPeer{{has: r.e.req.peers.full}, {has: some}}
	choose := func() time.Duration {
		r.e.req.nHave = randomFirst
		return least(func() {
			for range 1000 {
				for _, p := range peers {
					if _, ok := r.e.req.choose(p); !ok {
						t.Fatal("nothing to request")
					}
				}
			}
		})
	}
	wanted, plain := least(func() { r.step(&EvWanted{}) }), choose()
	for name, o := range map[string]Order{
		"priorities": {Files: priorities, FirstLast: true},
		"sequential": {Files: priorities, Sequential: true, From: costPieces / 2},
	} {
		set := least(func() { r.step(&EvOrder{o}) })
		chosen := choose()
		t.Logf("%s: setting the wanted pieces takes %v, the order %v; 2000 choices %v and %v", name, wanted, set, plain, chosen)
		if set > 12*wanted || chosen > 12*plain {
			t.Errorf("%s: setting it takes %v (the wanted pieces %v), a choice %v (without %v)", name, set, wanted, chosen, plain)
		}
	}
}

// What a reader is waiting for comes before the most urgent file.
func TestFocusComesBeforeTheOrder(t *testing.T) {
	r := newRig(t, Config{Budget: 3, ChunkSize: kib64}, 0, 0)
	r.step(&EvOrder{Order{Files: []Priority{PriorityHigh, PriorityNormal, PriorityLow}}})
	r.step(&EvInfo{Info: filesInfo(t, kib64, 10*kib64, 10*kib64, 10*kib64)})
	r.step(&EvFocus{Pieces: []uint32{25, 26}, Rest: true})
	order := r.fetch(r.seed(true), 100)
	high := slices.Clone(order[2:12])
	slices.Sort(high)
	if !slices.Equal(order[:2], []uint32{25, 26}) || !slices.Equal(high, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) || len(order) != 30 {
		t.Errorf("pieces %v", order)
	}
}
