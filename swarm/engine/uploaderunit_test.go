package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// uploadTester is a peer of an uploadWorld.
type uploadTester struct {
	uploadPeer
	weight  float64
	takes   float64       // bytes per second that it takes
	refuses bool          // maySend returns false
	asked   []Block       // requests in the uploader's queue
	shell   []handedBlock // blocks with the shell, except those in comes
	comes   []Block       // blocks that the shell fetches
	fetches bool          // the shell has fetched blocks, which do not respect the window
	got     int64         // bytes sent to it
	credit  float64
	rate    rate.Meter
}

// uploadWorld is an uploader whose peers and shell are simulated by the test. It keeps
// its own state, derived only from the calls of the sink.
type uploadWorld struct {
	t       rapid.TB
	u       uploader
	now     mono.Time
	peers   []*uploadTester
	order   []Conn // connections of the blocks with the shell
	handed  []Block
	budget  float64 // bytes that the uplink may send now
	all     rate.Meter
	gone    map[uint32]bool // pieces that we no longer have
	classes map[uint32]urgency
	ranked  int // calls of urgency
}

func newUploadWorld(t rapid.TB, limit int64) *uploadWorld {
	w := &uploadWorld{t: t, now: 1, gone: map[uint32]bool{}, classes: map[uint32]urgency{}}
	w.u.setLimit(limit)
	return w
}

func (w *uploadWorld) join(takes float64) *uploadTester {
	p := &uploadTester{weight: 1, takes: takes}
	conn := Conn(1)
	if n := len(w.peers); n > 0 {
		conn = w.peers[n-1].conn + 1
	}
	w.u.join(conn, &p.uploadPeer)
	w.peers = append(w.peers, p)
	return p
}

func (w *uploadWorld) peer(conn Conn) *uploadTester {
	i := slices.IndexFunc(w.peers, func(p *uploadTester) bool { return p.conn == conn })
	if i < 0 {
		w.t.Fatalf("peer %d has left", conn)
	}
	return w.peers[i]
}

func (w *uploadWorld) weight(conn Conn) float64 { return w.peer(conn).weight }

func (w *uploadWorld) takes(conn Conn) float64 { return w.peer(conn).rate.Rate(w.now) }

func (w *uploadWorld) sent() float64 { return w.all.Rate(w.now) }

func (w *uploadWorld) urgency(_ Conn, piece uint32) urgency {
	w.ranked++
	return w.classes[piece]
}

func (w *uploadWorld) maySend(conn Conn, _ uint32) bool { return !w.peer(conn).refuses }

func (w *uploadWorld) upload(conn Conn, b Block) bool {
	p := w.peer(conn)
	i := slices.Index(p.asked, b)
	if i < 0 {
		w.t.Fatalf("handed over %v, which peer %d has not requested", b, conn)
	}
	p.asked = slices.Delete(p.asked, i, i+1)
	if w.gone[b.Piece] {
		return false
	}
	p.shell = append(p.shell, handedBlock{b, w.now})
	w.order = append(w.order, conn)
	w.handed = append(w.handed, b)
	return true
}

func (w *uploadWorld) request(p *uploadTester, b Block) {
	p.asked = append(p.asked, b)
	w.u.add(&p.uploadPeer, b)
}

// requestPieces requests n pieces of the given number of blocks.
func (w *uploadWorld) requestPieces(p *uploadTester, first, n, blocks int) {
	for i := range n * blocks {
		w.request(p, Block{uint32(first + i/blocks), uint32(i%blocks) * blockSize, blockSize})
	}
}

// back makes the shell report block i of p as sent or unsent. Among equal blocks it is
// the first.
func (w *uploadWorld) back(p *uploadTester, i int, sent bool) {
	b := w.take(p, i)
	w.u.done(&p.uploadPeer, b)
	if sent {
		p.got += int64(b.Length)
		p.rate.Add(w.now, int(b.Length))
		w.all.Add(w.now, int(b.Length))
	}
}

// fetch makes the shell report that it fetches block i of p.
func (w *uploadWorld) fetch(p *uploadTester, i int) {
	b := w.take(p, i)
	w.u.fetch(&p.uploadPeer, b)
	p.comes = append(p.comes, b)
}

// fetched makes the shell report that it has fetched block i of p.
func (w *uploadWorld) fetched(p *uploadTester, i int) {
	b := p.comes[i]
	i = slices.Index(p.comes, b)
	p.comes = slices.Delete(p.comes, i, i+1)
	p.fetches = true
	w.u.fetched(w.now, &p.uploadPeer, b)
	p.shell = append(p.shell, handedBlock{b, w.now})
	w.order = append(w.order, p.conn)
}

// take removes block i of p, or the first one that is equal.
func (w *uploadWorld) take(p *uploadTester, i int) Block {
	b := p.shell[i].block
	i = slices.IndexFunc(p.shell, func(x handedBlock) bool { return x.block == b })
	p.shell = slices.Delete(p.shell, i, i+1)
	n := 0
	for k, conn := range w.order {
		if conn != p.conn {
			continue
		}
		if n++; n > i {
			w.order = slices.Delete(w.order, k, k+1)
			break
		}
	}
	return b
}

// play simulates an uplink with the uploader's limit for d. It sends blocks in the order
// of the handover, except that blocks of a peer that currently takes no more wait. refill
// is called at every step.
func (w *uploadWorld) play(d time.Duration, refill func(*uploadTester)) {
	const step = 10 * time.Millisecond
	for end := w.now.Add(d); w.now < end; {
		for _, p := range w.peers {
			refill(p)
		}
		w.u.serve(w.now, w)
		w.check()
		w.now = w.now.Add(step)
		w.budget = min(w.budget+float64(w.u.limit)*step.Seconds(), max(float64(w.u.limit)/20, 2*blockSize))
		for _, p := range w.peers {
			p.credit = min(p.credit+p.takes*step.Seconds(), max(p.takes/20, 2*blockSize))
		}
		waits := map[Conn]int{} // blocks of a peer that were skipped
		for _, conn := range slices.Clone(w.order) {
			p := w.peer(conn)
			n := float64(p.shell[waits[conn]].block.Length)
			if w.budget < n {
				break
			}
			if waits[conn] > 0 || p.takes == 0 || p.credit < n {
				waits[conn]++
				continue
			}
			w.budget -= n
			p.credit -= n
			w.back(p, 0, true)
		}
	}
}

// check compares the state of the uploader with that of the test.
func (w *uploadWorld) check() {
	if len(w.u.peers) != len(w.peers) {
		w.t.Fatalf("%d peers, not %d", len(w.u.peers), len(w.peers))
	}
	for _, p := range w.peers {
		var queue []Block
		for _, b := range p.queue.All() {
			queue = append(queue, b)
		}
		var shell []handedBlock
		bytes := int64(0)
		for _, x := range p.handed.All() {
			shell = append(shell, x)
			bytes += int64(x.block.Length)
		}
		var comes []Block
		for _, b := range p.fetching.All() {
			comes = append(comes, b)
		}
		if !slices.Equal(comes, p.comes) {
			w.t.Fatalf("peer %d waits for %v, not %v", p.conn, comes, p.comes)
		}
		if !slices.Equal(queue, p.asked) || !slices.Equal(shell, p.shell) || bytes != p.inflight {
			w.t.Fatalf("peer %d has requests %v, not %v, and %v (%d bytes) with the shell, not %v", p.conn, queue, p.asked, shell, p.inflight, p.shell)
		}
		if len(shell)+len(comes) > maxHanded || !p.fetches && bytes >= maxWindow+blockSize {
			w.t.Fatalf("peer %d has %d blocks of %d bytes with the shell", p.conn, len(shell), bytes)
		}
	}
}

// Whatever peers and the shell do, a request is either handed over once or withdrawn,
// windows are respected, and nothing waits that may be handed over.
func TestUploaderStaysConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newUploadWorld(t, rapid.SampledFrom([]int64{0, 10_000, 1 << 20, 30 << 20}).Draw(t, "limit"))
		pick := func(t *rapid.T) *uploadTester {
			if len(w.peers) == 0 {
				return w.join(1 << 20)
			}
			return w.peers[rapid.IntRange(0, len(w.peers)-1).Draw(t, "peer")]
		}
		piece := rapid.Uint32Range(0, 9)
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				w.join(1 << 20).weight = rapid.Float64Range(0.01, 100).Draw(t, "weight")
			},
			"leave": func(t *rapid.T) {
				p := pick(t)
				w.u.leave(&p.uploadPeer)
				if p.queue.Len() > 0 {
					t.Fatal("a departed peer still has requests")
				}
				for len(p.shell) > 0 { // blocks with the shell come back later
					w.back(p, rapid.IntRange(0, len(p.shell)-1).Draw(t, "block"), false)
				}
				w.peers = slices.DeleteFunc(w.peers, func(q *uploadTester) bool { return q == p })
			},
			"request": func(t *rapid.T) {
				p, size := pick(t), rapid.SampledFrom([]uint32{1, 1000, blockSize}).Draw(t, "size")
				first, step := piece.Draw(t, "piece"), piece.Draw(t, "step")
				for i := range rapid.Uint32Range(1, 600).Draw(t, "blocks") {
					w.request(p, Block{(first + i*step/16) % 10, i % 16 * blockSize, size})
				}
			},
			"cancel": func(t *rapid.T) {
				p := pick(t)
				b := Block{piece.Draw(t, "piece"), 0, blockSize}
				if len(p.asked) > 0 && rapid.Bool().Draw(t, "requested") {
					b = p.asked[rapid.IntRange(0, len(p.asked)-1).Draw(t, "block")]
				}
				i := slices.Index(p.asked, b)
				if got := w.u.remove(&p.uploadPeer, b); got != (i >= 0) {
					t.Fatalf("%v removed: %v", b, got)
				}
				if i >= 0 {
					p.asked = slices.Delete(p.asked, i, i+1)
				}
			},
			"choke": func(t *rapid.T) {
				p := pick(t)
				for _, want := range p.asked {
					if b, ok := w.u.take(&p.uploadPeer); !ok || b != want {
						t.Fatalf("took %v, not %v", b, want)
					}
				}
				if _, ok := w.u.take(&p.uploadPeer); ok {
					t.Fatal("took more than was requested")
				}
				p.asked = nil
			},
			"back": func(t *rapid.T) {
				p := pick(t)
				for range rapid.IntRange(0, 100).Draw(t, "blocks") {
					if n := len(p.shell); n > 0 {
						w.back(p, rapid.SampledFrom([]int{0, 0, 0, n / 2, n - 1}).Draw(t, "block"), rapid.Bool().Draw(t, "sent"))
					}
				}
			},
			"fetch": func(t *rapid.T) {
				p := pick(t)
				for range rapid.IntRange(0, 100).Draw(t, "blocks") {
					if n := len(p.shell); n > 0 {
						w.fetch(p, rapid.IntRange(0, n-1).Draw(t, "block"))
					}
				}
			},
			"fetched": func(t *rapid.T) {
				p := pick(t)
				for range rapid.IntRange(0, 100).Draw(t, "blocks") {
					if n := len(p.comes); n > 0 {
						w.fetched(p, rapid.IntRange(0, n-1).Draw(t, "block"))
					}
				}
			},
			"away": func(t *rapid.T) {
				p := pick(t)
				if len(p.comes) > 0 && !slices.ContainsFunc(p.shell, func(x handedBlock) bool { return x.block == p.comes[0] }) {
					w.u.done(&p.uploadPeer, p.comes[0])
					p.comes = slices.Delete(p.comes, 0, 1)
				}
			},
			"gone": func(t *rapid.T) { i := piece.Draw(t, "piece"); w.gone[i] = !w.gone[i] },
			"class": func(t *rapid.T) {
				w.classes[piece.Draw(t, "piece")] = urgency{class: rapid.Uint8Range(0, 2).Draw(t, "class")}
			},
			"refuse": func(t *rapid.T) {
				p := pick(t)
				p.refuses = !p.refuses
			},
			"limit": func(t *rapid.T) {
				w.u.setLimit(rapid.SampledFrom([]int64{0, 1, 10_000, 1 << 20, 30 << 20}).Draw(t, "limit"))
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
			},
			"serve": func(t *rapid.T) {
				before := w.withShell()
				w.u.serve(w.now, w)
				w.checkServed(before)
			},
			"awaits": func(t *rapid.T) {
				p, i := pick(t), piece.Draw(t, "piece")
				want := slices.ContainsFunc(p.asked, func(b Block) bool { return b.Piece == i }) ||
					slices.ContainsFunc(p.shell, func(x handedBlock) bool { return x.block.Piece == i }) ||
					slices.ContainsFunc(p.comes, func(b Block) bool { return b.Piece == i })
				if got := w.u.awaits(&p.uploadPeer, i); got != want {
					t.Fatalf("peer %d awaits piece %d: %v, not %v", p.conn, i, got, want)
				}
			},
			"": func(t *rapid.T) { w.check() },
		})
	})
}

// aheadBytes and heldTime repeat the rules of the uploader: how many bytes of a limited
// uplink the shell holds, and for how long a block may be with the shell because of the
// uplink alone.
func (w *uploadWorld) aheadBytes() int64 { return max(w.u.limit/4, 4*blockSize) }

func (w *uploadWorld) heldTime() time.Duration {
	slower := min(max(float64(w.u.limit)/max(w.sent(), 1), 1), 4)
	return time.Duration(2 * slower * float64(w.aheadBytes()) / float64(w.u.limit) * 1e9)
}

// withShell returns the bytes with the shell of peers that take what they are sent.
func (w *uploadWorld) withShell() (n int64) {
	for _, p := range w.peers {
		if w.u.limit == 0 || len(p.shell) == 0 || w.now.Sub(w.oldest(p)) <= w.heldTime() {
			n += p.inflight
		}
	}
	return n
}

func (w *uploadWorld) oldest(p *uploadTester) mono.Time {
	return slices.MinFunc(p.shell, func(x, y handedBlock) int { return int(x.since - y.since) }).since
}

// checkServed checks the result of serve; before is what withShell returned before it.
func (w *uploadWorld) checkServed(before int64) {
	after := w.withShell()
	limited := w.u.limit > 0
	if most := max(before, w.aheadBytes()+blockSize-1); limited && after > most {
		w.t.Fatalf("%d bytes are with the shell, more than %d", after, most)
	}
	for _, p := range w.peers {
		window := min(max(int64(w.takes(p.conn)/2), 256<<10), 4<<20)
		full := p.inflight >= window || !limited && p.inflight > window/2
		held := limited && len(p.shell) > 0 && w.now.Sub(w.oldest(p)) > w.heldTime()
		// With a limit, at least a certain part of what the shell may hold is handed over
		// at a time.
		mayServe := !limited || w.aheadBytes()-before >= w.aheadBytes()/aheadPart && after < w.aheadBytes()
		if len(p.asked) > 0 && !full && !held && !p.refuses && len(p.shell)+len(p.comes) < maxHanded && mayServe {
			w.t.Fatalf("peer %d has %d requests and %d bytes with the shell (window %d); %d in total", p.conn, len(p.asked), p.inflight, window, after)
		}
	}
}

// Without a limit, equally urgent requests are handed over in order, and the window
// follows what the peer takes.
func TestUploaderWithoutLimitKeepsTheOrder(t *testing.T) {
	w := newUploadWorld(t, 0)
	p := w.join(0)
	var want []Block
	for i := range uint32(600) {
		b := Block{i * 7 % 11, i * blockSize, blockSize}
		want = append(want, b)
		w.request(p, b)
	}
	most := int64(0)
	for range 200 {
		w.u.serve(w.now, w)
		w.check()
		most = max(most, p.inflight)
		w.now = w.now.Add(5 * time.Millisecond)
		for range min(10, len(p.shell)) {
			w.back(p, 0, true)
		}
	}
	if !slices.Equal(w.handed, want) {
		t.Error("blocks were not handed over in the order of the requests")
	}
	if most <= minWindow+blockSize || most > maxWindow+blockSize {
		t.Errorf("at most %d bytes were with the shell for a peer that takes 32 MB/s", most)
	}
}

// A limited uplink is shared by weight among peers that always have requests.
func TestUploaderSharesByWeight(t *testing.T) {
	for _, depth := range []int{16, 64} { // outstanding requests
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			w := newUploadWorld(t, 512<<10)
			next := 0
			var sum float64
			for _, weight := range []float64{0.5, 1, 1, 4} {
				w.join(1 << 20).weight = weight
				sum += weight
			}
			w.play(400*time.Second, func(p *uploadTester) {
				for len(p.asked)+16 <= depth {
					w.requestPieces(p, next, 1, 16)
					next++
				}
			})
			total := 0.0
			for _, p := range w.peers {
				total += float64(p.got)
			}
			if total < 0.97*400*512<<10 {
				t.Errorf("%v bytes were sent in 400 s", total)
			}
			for _, p := range w.peers {
				if share, want := float64(p.got)/total, p.weight/sum; share < 0.9*want || share > 1.1*want {
					t.Errorf("a peer of weight %v got %.3f of the uplink, not %.3f", p.weight, share, want)
				}
			}
		})
	}
}

// A peer that requested or took nothing for a while gets only its normal share
// afterwards.
func TestUnusedSharesAreNotSaved(t *testing.T) {
	for _, idle := range []string{"requests nothing", "takes nothing", "may not be sent anything"} {
		t.Run(idle, func(t *testing.T) {
			w := newUploadWorld(t, 512<<10)
			a, b := w.join(1<<20), w.join(1<<20)
			next, awake := 0, false
			request := func(p *uploadTester) {
				for len(p.asked) < 32 && (p == a || awake || idle != "requests nothing") {
					w.requestPieces(p, next, 1, 16)
					next++
				}
			}
			switch idle {
			case "takes nothing":
				b.takes = 0
			case "may not be sent anything":
				b.refuses = true
			}
			w.play(100*time.Second, request)
			awake, b.takes, b.refuses = true, 1<<20, false
			before, got := a.got, b.got
			w.play(40*time.Second, request)
			if x, y := a.got-before, b.got-got; float64(x) < 0.8*float64(y) {
				t.Errorf("after a pause a peer was sent %d bytes, the other one %d", y, x)
			}
		})
	}
}

// A piece is sent completely before the next, if it is requested completely.
func TestUploaderSendsAPieceAtATime(t *testing.T) {
	w := newUploadWorld(t, 512<<10)
	for i := range 5 {
		p := w.join(1 << 20)
		p.weight = float64(i + 1)
		for b := range 16 { // requests of four pieces are interleaved
			for piece := range 4 {
				w.request(p, Block{uint32(10*i + piece), uint32(b) * blockSize, blockSize})
			}
		}
	}
	w.play(15*time.Second, func(*uploadTester) {})
	if len(w.handed) != 5*64 {
		t.Fatalf("%d blocks were handed over, not %d", len(w.handed), 5*64)
	}
	for i := 0; i < len(w.handed); i += 16 {
		for k, b := range w.handed[i : i+16] {
			if want := (Block{w.handed[i].Piece, uint32(k) * blockSize, blockSize}); b != want {
				t.Fatalf("%v was handed over as block %d, not %v", b, i+k, want)
			}
		}
	}
}

// Peers that take nothing do not idle the uplink, even if they cancel and repeat their
// waiting requests.
func TestHeldPeersDoNotIdleTheUplink(t *testing.T) {
	skipUnderRace(t)
	for _, limit := range []int64{20 << 10, 512 << 10, 8 << 20} {
		for _, cancels := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d KiB/s, cancels %v", limit>>10, cancels), func(t *testing.T) {
				w := newUploadWorld(t, limit)
				for i := range 5 {
					w.join(map[bool]float64{true: 0, false: 2 * float64(limit)}[i < 3])
				}
				next := 0
				play := func(d time.Duration) (sent int64) {
					before := w.peers[3].got + w.peers[4].got
					w.play(d, func(p *uploadTester) {
						if n := len(p.shell); cancels && p.takes == 0 && n > 1 { // except what is being sent
							b := p.shell[n-1].block
							w.back(p, n-1, false)
							w.request(p, b)
						}
						for len(p.asked) < 128 {
							w.requestPieces(p, next, 1, 16)
							next++
						}
					})
					return w.peers[3].got + w.peers[4].got - before
				}
				play(time.Duration(40 * float64(w.aheadBytes()) / float64(limit) * 1e9))
				for range 10 {
					if sent := play(20 * time.Second); float64(sent) < 0.95*20*float64(limit) {
						t.Errorf("%d bytes were sent in 20 s, of %d", sent, 20*limit)
					}
				}
			})
		}
	}
}

// For a slow uplink, the shell holds at most a fraction of a second's worth, or four
// blocks, for peers that take what they are sent.
func TestUploaderKeepsLittleAheadOfASlowUplink(t *testing.T) {
	for _, limit := range []int64{10 << 10, 100 << 10, 1 << 20} {
		t.Run(fmt.Sprint(limit>>10), func(t *testing.T) {
			w := newUploadWorld(t, limit)
			for range 20 {
				w.join(float64(limit))
			}
			next, most := 0, 0
			w.play(100*time.Second, func(p *uploadTester) {
				for len(p.asked) < 32 {
					w.requestPieces(p, next, 1, 16)
					next++
				}
				most = max(most, len(w.order))
			})
			if int64(most)*blockSize >= w.aheadBytes()+blockSize {
				t.Errorf("%d blocks were with the shell for an uplink of %d bytes/s", most, limit)
			}
		})
	}
}

// More urgent pieces come first, but nobody starves: a peer that requests nothing urgent
// is served within plainEvery turns.
func TestUploaderStarvesNobody(t *testing.T) {
	w := newUploadWorld(t, 512<<10)
	for range 4 {
		w.join(1 << 20)
	}
	plain := w.peers[2]
	next, dull := 0, 1<<20
	served, last, most := 0, uint32(0), uint32(0)
	w.play(400*time.Second, func(p *uploadTester) {
		for len(p.asked) < 32 {
			if p == plain {
				w.classes[uint32(dull)] = urgency{class: 2}
				w.requestPieces(p, dull, 1, 16)
				dull++
			} else {
				w.requestPieces(p, next, 1, 16)
				next++
			}
		}
		for _, b := range w.handed {
			if b.Piece >= 1<<20 {
				served++
				most = max(most, w.u.turns-last)
				last = w.u.turns
			}
		}
		w.handed = w.handed[:0]
	})
	if most > plainEvery || served > int(w.u.turns)*16/plainEvery+16 || served == 0 {
		t.Errorf("in %d turns %d non-urgent blocks were handed over, up to %d turns apart", w.u.turns, served, most)
	}
}

// A turn ranks at most maxRanked requests of each peer, however they are mixed.
func TestUploaderTurnsAreCheap(t *testing.T) {
	w := newUploadWorld(t, 512<<10)
	for i := range uint32(2000) {
		w.classes[i] = urgency{class: 2}
	}
	for range 10 {
		p := w.join(1 << 20)
		for i := range uint32(ourReqq) {
			piece := i
			if i == maxRanked {
				piece = 0
			}
			w.request(p, Block{piece, 0, blockSize})
		}
	}
	w.u.serve(w.now, w)
	if most := int(w.u.turns) * len(w.peers) * maxRanked; w.ranked > most {
		t.Errorf("%d requests were ranked in %d turns, more than %d", w.ranked, w.u.turns, most)
	}
}

// A limit that is removed and set again while blocks are with the shell applies from then
// on, and nothing is lost.
func TestUploaderFollowsTheLimit(t *testing.T) {
	w := newUploadWorld(t, 64<<10)
	next := 0
	for range 3 {
		w.join(1 << 20)
	}
	refill := func(p *uploadTester) {
		for len(p.asked) < 64 {
			w.requestPieces(p, next, 1, 16)
			next++
		}
	}
	for range 4 {
		w.u.setLimit(64 << 10)
		w.play(30*time.Second, refill) // blocks handed over before are sent
		before := w.peers[0].got + w.peers[1].got + w.peers[2].got
		w.play(20*time.Second, refill)
		if sent := w.peers[0].got + w.peers[1].got + w.peers[2].got - before; float64(sent) < 0.95*20*(64<<10) {
			t.Errorf("%d bytes were sent in 20 s", sent)
		}
		if n := w.withShell(); n >= w.aheadBytes()+blockSize {
			t.Errorf("%d bytes are with the shell", n)
		}
		w.u.setLimit(0)
		w.u.serve(w.now, w)
		w.check()
		for _, p := range w.peers {
			if p.inflight < minWindow/2 {
				t.Errorf("peer %d has %d bytes with the shell without a limit", p.conn, p.inflight)
			}
		}
	}
}

// However small blocks are, and however much the shell may hold, the window of a peer is
// respected. Of long pieces each peer is sent turnLength's worth per turn.
func TestUploaderKeepsWindows(t *testing.T) {
	for _, limit := range []int64{0, 64 << 20} {
		w := newUploadWorld(t, limit)
		tiny, large := w.join(0), w.join(0)
		for i := range uint32(2 * maxHanded) {
			w.request(tiny, Block{0, i, 1})
			w.request(large, Block{1, i * blockSize, blockSize})
		}
		w.u.serve(w.now, w)
		if n := len(tiny.shell); n != maxHanded {
			t.Errorf("limit %d: %d one-byte blocks are with the shell, not %d", limit, n, maxHanded)
		}
		if large.inflight != minWindow {
			t.Errorf("limit %d: %d bytes are with the shell, window %d", limit, large.inflight, minWindow)
		}
	}
	w := newUploadWorld(t, 512<<10)
	for i := range uint32(2) {
		p := w.join(1 << 20)
		for b := range uint32(256) {
			w.request(p, Block{i, b * blockSize, blockSize})
		}
	}
	w.play(20*time.Second, func(*uploadTester) {})
	for i, b := range w.handed {
		if want := uint32(i) / 32 % 2; b.Piece != want {
			t.Fatalf("block %d handed over belongs to piece %d, not %d", i, b.Piece, want)
		}
	}
}
