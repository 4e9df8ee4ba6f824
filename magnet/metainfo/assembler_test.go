package metainfo

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"seedbed/internal/id"

	"pgregory.net/rapid"
)

// metadata returns an info dictionary of n bytes and its hash.
func metadata(t testing.TB, n int) ([]byte, id.ID) {
	pieces := max(1, (n-130)/hashLen)
	for name := "n"; len(name) < 99; name += "n" {
		i, err := Build(Plan{Name: name, PieceLength: BlockSize, Files: []PlanFile{{Length: int64(pieces) * BlockSize}}},
			bytes.Repeat([]byte("0123456789abcdefghij"), pieces))
		if err != nil {
			t.Fatal(err)
		}
		if len(i.Raw) == n {
			return i.Raw, i.Hash
		}
	}
	t.Fatalf("no name gives %d bytes", n)
	return nil, id.ID{}
}

func block(raw []byte, p int) []byte {
	return raw[p*BlockSize : min((p+1)*BlockSize, len(raw))]
}

// all calls Next until it returns no more blocks.
func all(a *Assembler, from uint32) (out []int) {
	for {
		p, ok := a.Next(from)
		if !ok {
			return out
		}
		out = append(out, p)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSizeIsChecked(t *testing.T) {
	a := NewAssembler(id.ID{1}, id.ID32{})
	for _, n := range []int64{0, -1, MaxInfo + 1, 1 << 62} {
		if err := a.Size(1, n); err != ErrSize || err.Error() != "metadata: the size is not between 1 byte and 64 MiB" {
			t.Errorf("size %d: %v", n, err)
		}
	}
	must(t, a.Size(1, 100))
	must(t, a.Size(1, 100))
	if err := a.Size(1, 101); err != ErrResized {
		t.Error(err)
	}
	must(t, a.Size(2, MaxInfo))
}

func TestSilentLiarsAreReplaced(t *testing.T) {
	// Many liars send wrong blocks to the shared assembly, use all assemblies of the group
	// and then send nothing.
	raw, hash := metadata(t, 2<<20)
	size := int64(len(raw))
	a := NewAssembler(hash, id.ID32{})
	const liars = 12
	for s := range uint32(liars) {
		must(t, a.Size(s, size))
	}
	for g := a.groups[0]; !g.solo; {
		for s := range uint32(liars) {
			if p, ok := a.Next(s); ok {
				_, _, err := a.Block(s, p, make([]byte, g.blockLen(p)))
				must(t, err)
			}
		}
	}
	asks := make(map[uint32][]int)
	for s := range uint32(liars) {
		asks[s] = all(a, s)
	}
	must(t, a.Size(99, size))
	if _, ok := a.Next(99); ok {
		t.Error("the group has more assemblies than it should")
	}
	// One timeout is enough to continue.
	for s := range uint32(liars) {
		if len(asks[s]) == 0 {
			continue
		}
		for len(asks[s]) > 0 {
			for _, p := range asks[s] {
				a.Reject(s, p)
			}
			asks[s] = all(a, s)
		}
		break
	}
	done, blamed := fill(t, a, raw, 99)
	if done == nil || len(blamed) != liars {
		t.Error(done != nil, blamed)
	}
	a.Remove(99)
	a.Remove(99)
}

func TestProgressIsThatOfTheMostCompleteAssembly(t *testing.T) {
	a := NewAssembler(id.ID{1}, id.ID32{})
	check := func(have, size int64) {
		t.Helper()
		if h, s := a.Progress(); h != have || s != size {
			t.Errorf("%d of %d, want %d of %d", h, s, have, size)
		}
	}
	check(0, 0)
	must(t, a.Size(1, 5*BlockSize))
	check(0, 5*BlockSize)
	must(t, a.Size(2, 3*BlockSize))
	give := func(s uint32, size int64) {
		p, _ := a.Next(s)
		_, _, err := a.Block(s, p, make([]byte, BlockSize))
		must(t, err)
	}
	give(2, 3*BlockSize)
	check(BlockSize, 3*BlockSize)
	give(1, 5*BlockSize)
	give(1, 5*BlockSize)
	check(2*BlockSize, 5*BlockSize)
	a.Remove(1)
	check(2*BlockSize, 5*BlockSize) // its blocks are kept
	a.Remove(2)
	check(2*BlockSize, 5*BlockSize)
}

func TestSmallMetadataTakesOneRoundTrip(t *testing.T) {
	raw, hash := metadata(t, 10*BlockSize+5)
	n := (len(raw) + BlockSize - 1) / BlockSize
	a := NewAssembler(hash, id.ID32{})
	for s := range uint32(3) {
		must(t, a.Size(s, int64(len(raw))))
	}
	// Different blocks are requested from each of three senders.
	seen := make(map[int]bool)
	asks := make([][]int, 3)
	for k := range n {
		s := uint32(k % 3)
		p, ok := a.Next(s)
		if !ok || seen[p] {
			t.Fatalf("block %d was requested twice and others not at all", p)
		}
		seen[p] = true
		asks[s] = append(asks[s], p)
	}
	var done *Info
	for s, ps := range asks {
		for _, p := range ps {
			i, liars, err := a.Block(uint32(s), p, block(raw, p))
			if len(liars) > 0 || err != nil {
				t.Fatal(liars, err)
			}
			if i != nil {
				done = i
			}
		}
	}
	if done == nil || !bytes.Equal(done.Raw, raw) {
		t.Fatal("not done")
	}
	if have, size := a.Progress(); have != size || size != int64(len(raw)) {
		t.Error(have, size)
	}
	if p, ok := a.Next(0); ok {
		t.Error("requested", p, "after the end")
	}
}

func TestAllBlocksAreRequestedFromASingleSender(t *testing.T) {
	raw, hash := metadata(t, 20*BlockSize)
	a := NewAssembler(hash, id.ID32{})
	must(t, a.Size(7, int64(len(raw))))
	ps := all(a, 7)
	if want := (len(raw) + BlockSize - 1) / BlockSize; len(ps) != want {
		t.Fatalf("%d blocks requested, want %d", len(ps), want)
	}
	for k, p := range ps {
		done, liars, err := a.Block(7, p, block(raw, p))
		if liars != nil || err != nil || (done != nil) != (k == len(ps)-1) {
			t.Fatal(k, done, liars, err)
		}
	}
}

func TestBlocksAreChecked(t *testing.T) {
	raw, hash := metadata(t, 2*BlockSize+9)
	size := int64(len(raw))
	a := NewAssembler(hash, id.ID32{})
	check := func(want error, from uint32, p int, data []byte) {
		t.Helper()
		done, liars, err := a.Block(from, p, data)
		se := (*SenderError)(nil)
		if err != want || done != nil || liars != nil || !errors.As(err, &se) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	check(ErrUnrequested, 1, 0, block(raw, 0))
	must(t, a.Size(1, size))
	check(ErrUnrequested, 1, 0, block(raw, 0))
	all(a, 1)
	check(ErrUnrequested, 1, -1, block(raw, 0))
	check(ErrUnrequested, 1, 99, block(raw, 0))
	check(ErrBlockLen, 1, 0, block(raw, 0)[2:])
	check(ErrBlockLen, 1, 1, block(raw, 0)[1:])
	check(ErrBlockLen, 1, 2, append(block(raw, 2), 0))
	// All three are now marked as refused. Announcing the size again clears this.
	if p, ok := a.Next(1); ok {
		t.Error("requested again:", p)
	}
	must(t, a.Size(1, size))
	if ps := all(a, 1); !slices.Equal(ps, []int{0, 1, 2}) {
		t.Error(ps)
	}
}

func TestARejectedBlockIsRequestedFromOthers(t *testing.T) {
	raw, hash := metadata(t, 100)
	a := NewAssembler(hash, id.ID32{})
	size := int64(len(raw))
	must(t, a.Size(1, size))
	must(t, a.Size(2, size))
	all(a, 1)
	a.Reject(1, 0)
	a.Reject(1, 0)
	a.Reject(1, 5)
	a.Reject(9, 0)
	if _, ok := a.Next(1); ok {
		t.Error("requested again")
	}
	if ps := all(a, 2); !slices.Equal(ps, []int{0}) {
		t.Error(ps)
	}
	// Blocks that arrive late are accepted.
	if done, _, err := a.Block(1, 0, raw); done == nil || err != nil {
		t.Error(err)
	}
}

func TestStalledSendersDelayNoBlock(t *testing.T) {
	raw, hash := metadata(t, 100)
	a := NewAssembler(hash, id.ID32{})
	for s := range uint32(4) {
		must(t, a.Size(s, int64(len(raw))))
	}
	for s := range uint32(3) {
		if ps := all(a, s); !slices.Equal(ps, []int{0}) {
			t.Error(s, ps)
		}
	}
	if ps := all(a, 3); ps != nil {
		t.Error("the block was requested from a fourth sender while three requests are open")
	}
	a.Remove(0)
	if ps := all(a, 3); !slices.Equal(ps, []int{0}) {
		t.Error(ps)
	}
}

func TestASenderOfAllBlocksIsTheLiar(t *testing.T) {
	raw, hash := metadata(t, 3*BlockSize)
	a := NewAssembler(hash, id.ID32{})
	size := int64(len(raw))
	must(t, a.Size(1, size))
	var liars []uint32
	for _, p := range all(a, 1) {
		_, l, err := a.Block(1, p, make([]byte, len(block(raw, p))))
		must(t, err)
		liars = append(liars, l...)
	}
	if !slices.Equal(liars, []uint32{1}) {
		t.Fatal(liars)
	}
	if _, _, err := a.Block(1, 0, block(raw, 0)); err != ErrLiar {
		t.Error(err)
	}
	if _, ok := a.Next(1); ok {
		t.Error("a block was requested from a liar")
	}
	must(t, a.Size(2, size))
	for _, p := range all(a, 2) {
		if done, l, err := a.Block(2, p, block(raw, p)); err != nil || l != nil || (done != nil) != (p == 2) {
			t.Error(p, done, l, err)
		}
	}
}

func TestNoSenderIsBlamedWithoutProof(t *testing.T) {
	raw, hash := metadata(t, 4*BlockSize-50)
	size := int64(len(raw))
	a := NewAssembler(hash, id.ID32{})
	must(t, a.Size(1, size))
	must(t, a.Size(2, size))
	give := func(s uint32, p int, data []byte) (*Info, []uint32) {
		t.Helper()
		done, liars, err := a.Block(s, p, data)
		must(t, err)
		return done, liars
	}
	p, _ := a.Next(1)
	q, _ := a.Next(2)
	give(1, p, block(raw, p))
	give(2, q, make([]byte, BlockSize)) // a lie
	for _, p := range all(a, 1) {
		if done, liars := give(1, p, block(raw, p)); done != nil || liars != nil {
			t.Fatal("blamed too early:", liars)
		}
	}
	// Now each sender has its own assembly, and does not send again what it has sent.
	ps := all(a, 1)
	if len(ps) != 1 || ps[0] != q {
		t.Fatal(ps)
	}
	done, liars := give(1, q, block(raw, q))
	if done == nil || !slices.Equal(liars, []uint32{2}) {
		t.Fatal(done, liars)
	}
}

func TestALiarThatLeftIsStillReported(t *testing.T) {
	raw, hash := metadata(t, 2*BlockSize)
	size := int64(len(raw))
	a := NewAssembler(hash, id.ID32{})
	must(t, a.Size(1, size))
	must(t, a.Size(2, size))
	p, _ := a.Next(1)
	_, _, err := a.Block(1, p, make([]byte, BlockSize))
	must(t, err)
	a.Remove(1)
	var liars []uint32
	var done *Info
	for done == nil {
		ps := all(a, 2)
		if len(ps) == 0 {
			t.Fatal("nothing is requested")
		}
		for _, p := range ps {
			i, l, err := a.Block(2, p, block(raw, p))
			must(t, err)
			liars = append(liars, l...)
			if i != nil {
				done = i
			}
		}
	}
	if !slices.Equal(liars, []uint32{1}) {
		t.Error(liars)
	}
}

func TestInvalidTorrentWithTheRightHashBlamesNoSender(t *testing.T) {
	raw := []byte("d4:name1:xe")
	a := NewAssembler(sha1.Sum(raw), id.ID32{})
	must(t, a.Size(1, int64(len(raw))))
	all(a, 1)
	done, liars, err := a.Block(1, 0, raw)
	if te := (*Error)(nil); done != nil || liars != nil || !errors.As(err, &te) {
		t.Error(done, liars, err)
	}
	if _, ok := a.Next(1); ok {
		t.Error("still requests")
	}
}

func TestHugeSizesExcludeNoSender(t *testing.T) {
	raw, hash := metadata(t, 8<<20)
	a := NewAssembler(hash, id.ID32{})
	// Liars reserve all the memory and then stay silent.
	for s := range uint32(20) {
		must(t, a.Size(s, MaxInfo-int64(s)))
		all(a, s)
	}
	must(t, a.Size(99, int64(len(raw))))
	if done, _ := fill(t, a, raw, 99); done == nil {
		t.Error("the honest sender is excluded")
	}
}

// fill makes one sender answer correctly until nothing more is requested from it.
func fill(t testing.TB, a *Assembler, raw []byte, from uint32) (done *Info, liars []uint32) {
	for {
		ps := all(a, from)
		if len(ps) == 0 {
			return done, liars
		}
		for _, p := range ps {
			i, l, err := a.Block(from, p, block(raw, p))
			must(t, err)
			liars = append(liars, l...)
			if i != nil {
				done = i
			}
		}
		checkMemory(t, a)
	}
}

// checkMemory compares the counters with the memory that is really used.
func checkMemory(t interface {
	Helper()
	Fatalf(string, ...any)
}, a *Assembler) {
	t.Helper()
	var reserved, held int64
	for _, s := range a.activeAssemblies() {
		reserved += s.group.size
		var have int64
		for _, b := range s.assembly.blocks {
			have += int64(len(b))
		}
		if have != s.assembly.have {
			t.Fatalf("an assembly has %d bytes and counts %d", have, s.assembly.have)
		}
		held += have
	}
	if reserved != a.reserved || reserved > MaxInfo || held > reserved {
		t.Fatalf("reserved %d, counted %d, in use %d", a.reserved, reserved, held)
	}
	for _, g := range a.groups {
		if g.solo || !g.shared.active {
			continue
		}
		for p := range g.pending {
			n := 0
			for _, m := range g.members {
				if m.marks != nil && m.marks[p]&requested != 0 {
					n++
				}
			}
			if n != int(g.pending[p]) {
				t.Fatalf("block %d: %d open requests, counted %d", p, n, g.pending[p])
			}
		}
	}
}

// kind is the behavior of a simulated sender.
type kind int

const (
	honest kind = iota
	corrupt
	partly   // corrupts some of its blocks
	resized  // claims another size and sends noise
	silent   // never answers: the caller rejects on its behalf
	rejecter // rejects everything
	leaver   // sends something wrong and leaves
	kinds
)

// TestOneHonestSenderIsEnough simulates swarms of liars with a random order of events.
// The honest sender always completes, and is never blamed.
func TestOneHonestSenderIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		raw := simRaw[rapid.IntRange(0, len(simRaw)-1).Draw(t, "metadata")]
		liars := rapid.SliceOfN(rapid.IntRange(1, int(kinds)-1), 0, 30).Draw(t, "liars")
		simulate(t, rng, raw, liars)
	})
}

var simRaw = func() (out [][]byte) {
	for _, n := range []int{0, BlockSize, 5 * BlockSize, 70 * BlockSize} {
		pieces := n/hashLen + 1
		i, err := Build(Plan{Name: "sim", PieceLength: BlockSize, Files: []PlanFile{{Length: int64(pieces) * BlockSize}}}, make([]byte, pieces*hashLen))
		if err != nil {
			panic(err)
		}
		out = append(out, i.Raw)
	}
	return out
}()

type simSender struct {
	id    uint32
	kind  kind
	size  int64
	asks  []int
	gone  bool
	false bool // has sent a false block
}

func simulate(t *rapid.T, rng *rand.Rand, raw []byte, kindsOf []int) {
	a := NewAssembler(sha1.Sum(raw), id.ID32{})
	var ss []*simSender
	for k, kd := range kindsOf {
		s := &simSender{id: uint32(k + 1), kind: kind(kd), size: int64(len(raw))}
		if s.kind == resized {
			s.size = []int64{int64(len(raw)) + 1, 1, MaxInfo, MaxInfo / 3, int64(len(raw))/2 + 1}[rng.IntN(5)]
			if s.size > 4<<20 {
				s.kind = silent // sending so much takes long
			}
		}
		ss = append(ss, s)
	}
	ss = append(ss, &simSender{id: 1000, kind: honest, size: int64(len(raw))})
	rng.Shuffle(len(ss), func(i, j int) { ss[i], ss[j] = ss[j], ss[i] })
	for _, s := range ss {
		if err := a.Size(s.id, s.size); err != nil {
			t.Fatal(err)
		}
	}
	blamed := make(map[uint32]bool)
	quiet := 0
	for step := 0; ; step++ {
		if step > 1_000_000 || quiet > 50*len(ss) {
			t.Fatalf("no end: step %d, quiet %d", step, quiet)
		}
		quiet++
		s := ss[rng.IntN(len(ss))]
		if s.gone {
			continue
		}
		if rng.IntN(3) == 0 {
			if p, ok := a.Next(s.id); ok {
				s.asks = append(s.asks, p)
				quiet = 0
			}
			continue
		}
		if len(s.asks) == 0 {
			continue
		}
		quiet = 0
		k := rng.IntN(len(s.asks))
		p := s.asks[k]
		s.asks = slices.Delete(s.asks, k, k+1)
		data := make([]byte, min(BlockSize, s.size-int64(p)*BlockSize))
		switch s.kind {
		case honest:
			copy(data, block(raw, p))
		case silent, rejecter:
			a.Reject(s.id, p)
			continue
		case partly:
			copy(data, block(raw, p))
			if rng.IntN(4) == 0 {
				data[0]++
				s.false = true
			}
		default:
			data[0] = 'x' // no block of ours begins with it
			s.false = true
		}
		done, liars, err := a.Block(s.id, p, data)
		if err != nil && (err != ErrLiar || s.kind == honest) {
			t.Fatal(s.kind, err)
		}
		for _, l := range liars {
			k := slices.IndexFunc(ss, func(s *simSender) bool { return s.id == l })
			if !ss[k].false {
				t.Fatalf("sender %d of kind %d is blamed but never lied", l, ss[k].kind)
			}
			if blamed[l] {
				t.Fatal("blamed twice")
			}
			blamed[l] = true
		}
		if done != nil {
			if !bytes.Equal(done.Raw, raw) {
				t.Fatal("wrong metadata")
			}
			return
		}
		if s.kind == leaver && rng.IntN(2) == 0 {
			a.Remove(s.id)
			s.gone = true
		}
		if step%16 == 0 {
			checkMemory(t, a)
		}
	}
}

// FuzzAssembler executes a script of events, three bytes each: sender, event, parameter.
func FuzzAssembler(f *testing.F) {
	for _, script := range []string{
		"", "a0a0b0", "\x00\x00\x02\x00\x01\x00\x00\x02\x00", "\x01\x00\x00\x02\x00\x00\x01\x01\x00\x02\x01\x00\x01\x03\x00\x02\x02\x00\x01\x01\x00\x01\x02\x00",
		"\x01\x00\x01\x01\x01\x00\x01\x04\x00\x01\x05\x00\x01\x00\x01",
	} {
		f.Add([]byte(script))
	}
	raw := simRaw[2]
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 600)]
		a := NewAssembler(sha1.Sum(raw), id.ID32{})
		sizes := []int64{int64(len(raw)), 1, BlockSize, MaxInfo, MaxInfo / 2, int64(len(raw)) + 1, 0, -1}
		size := make(map[uint32]int64)
		open := make(map[uint32][]int)
		lied := make(map[uint32]bool)
		for ; len(script) >= 3; script = script[3:] {
			from, how := uint32(script[0]%5), script[2]
			switch script[1] % 6 {
			case 0:
				n := sizes[int(how)%len(sizes)]
				if a.Size(from, n) == nil {
					size[from] = n
				}
			case 1:
				if p, ok := a.Next(from); ok {
					if slices.Contains(open[from], p) {
						t.Fatal("requested twice")
					}
					open[from] = append(open[from], p)
				}
			case 2, 3: // a correct block, or a wrong one
				p := int(how)
				if o := open[from]; len(o) > 0 {
					p = o[int(how)%len(o)]
				}
				data := make([]byte, max(0, min(BlockSize, size[from]-int64(p)*BlockSize)))
				if p*BlockSize < len(raw) {
					copy(data, block(raw, p))
				}
				if size[from] == int64(len(raw)) && script[1]%6 == 3 && len(data) > 0 {
					data[0] ^= 0xff
				}
				if size[from] != int64(len(raw)) || p*BlockSize >= len(raw) || !bytes.Equal(data, block(raw, p)) {
					lied[from] = true // in its data or its size
				}
				done, liars, err := a.Block(from, p, data)
				if se := (*SenderError)(nil); err != nil && !errors.As(err, &se) {
					t.Fatal(err)
				}
				if done != nil && !bytes.Equal(done.Raw, raw) {
					t.Fatal("wrong metadata")
				}
				for _, l := range liars {
					if !lied[l] {
						t.Fatal("blamed without a lie:", l)
					}
				}
				open[from] = slices.DeleteFunc(open[from], func(o int) bool { return o == p })
			case 4:
				p := int(how)
				if o := open[from]; len(o) > 0 {
					p = o[0]
					open[from] = o[1:]
				}
				a.Reject(from, p)
			case 5:
				a.Remove(from)
				delete(size, from)
				delete(open, from)
			}
			checkMemory(t, a)
			if have, size := a.Progress(); have < 0 || have > size {
				t.Fatal(have, size)
			}
		}
	})
}

func BenchmarkAssembler(b *testing.B) {
	raw, hash := metadata(b, 100*BlockSize)
	size := int64(len(raw))
	b.ReportAllocs()
	b.SetBytes(size)
	for b.Loop() {
		a := NewAssembler(hash, id.ID32{})
		for s := range uint32(5) {
			must(b, a.Size(s, size))
		}
		for done := false; !done; {
			for s := range uint32(5) {
				if p, ok := a.Next(s); ok {
					i, _, err := a.Block(s, p, block(raw, p))
					must(b, err)
					done = done || i != nil
				}
			}
		}
	}
}

func ExampleAssembler() {
	raw := []byte("d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:....................e")
	a := NewAssembler(sha1.Sum(raw), id.ID32{})
	const peer = 1
	if err := a.Size(peer, int64(len(raw))); err != nil {
		fmt.Println(err)
		return
	}
	for {
		piece, ok := a.Next(peer)
		if !ok {
			return
		}
		// The request is sent to the peer, and the answer arrives.
		done, _, err := a.Block(peer, piece, raw)
		if err != nil {
			fmt.Println(err)
			return
		}
		if done != nil {
			fmt.Println(done.Name, done.Length)
		}
	}
	// Output: a 5
}

// Wrong metadata takes only memory of its own size, because it is hashed in place.
func TestWrongMetadataIsNotCopied(t *testing.T) {
	const size = 16 << 20
	a := NewAssembler(id.ID{1}, id.ID32{})
	must(t, a.Size(1, size))
	data := make([]byte, BlockSize)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for {
		p, ok := a.Next(1)
		if !ok {
			break
		}
		if _, _, err := a.Block(1, p, data); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size*5/4 {
		t.Errorf("%d bytes were allocated for %d", n, size)
	}
}
