package storage

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"seedbed/internal/bitset"
	"seedbed/internal/simnet"
)

// The power fails during any operation, on a disk that keeps any part of the unsynced
// data. Afterwards no claimed piece fails its hash, no piece made durable by a flush is
// lost, and the download completes.
func TestBatteryPowerCuts(t *testing.T) {
	cuts := 60
	if os.Getenv("SEEDBED_SOAK") != "" {
		cuts = 500
	}
	layouts := []fixture{
		newFixture(t, 16<<10, []string{"one"}, []int64{400_000}),
		newFixture(t, 128<<10, []string{"large pieces"}, []int64{700_000}),
		newFixture(t, 64<<10, []string{"a", "b", "c"}, []int64{100_000, 20, 200_000}),
		newFixture(t, 32<<10, []string{"d/a", "d/b", "e/c", "e/d"}, []int64{70_000, 30_000, 1, 50_000}),
		newFixture(t, 256<<10, []string{"w", "x", "y", "z"}, []int64{5_000, 90_000, 120_000, 40_000}),
	}
	var kept, doubtful, chunks int
	for seed := range uint64(cuts) {
		c := powerCut{t: t, dice: rand.New(rand.NewPCG(seed, 5)), f: layouts[seed%5], disk: simnet.NewDisk(), handles: NewHandles(4)}
		undo := syncFew([]int{128, 2}[seed/5%2])
		c.run()
		undo()
		c.handles.Close()
		kept, doubtful, chunks = kept+c.kept, doubtful+c.doubtful, chunks+c.chunks
		if t.Failed() {
			t.Fatalf("at cut %d", seed)
		}
	}
	t.Logf("battery: %d power cuts over %d layouts: %d pieces claimed by the records, all correct; %d doubtful pieces were correct and kept, and %d chunks",
		cuts, len(layouts), kept, doubtful, chunks)
}

type powerCut struct {
	t       *testing.T
	dice    *rand.Rand
	f       fixture
	disk    *simnet.Disk
	handles *Handles
	s       *Storage

	flushed, marked        bitset.Set
	renamed                bool // since the last flush
	kept, doubtful, chunks int
}

func (c *powerCut) open() {
	o := Options{Dir: "dl", Info: c.f.info, Record: "st/resume", Handles: c.handles, Overwrite: c.renamed}
	o.OpenDisk = func(dir string, _ bool) (Disk, error) {
		if strings.HasSuffix(dir, "dl") {
			return modelDisk{c.disk.Sub("dl")}, nil
		}
		return modelDisk{c.disk.Sub("st")}, nil
	}
	c.s = open(c.t, o)
}

func (c *powerCut) run() {
	n := c.f.info.NumPieces()
	c.flushed, c.marked = bitset.New(n), bitset.New(n)
	c.open()
	after := c.dice.IntN(40 * n)
	c.disk.SetFail(func(string, string) error {
		if after--; after < 0 {
			return syscall.EIO // the power is off
		}
		return nil
	})
	for _, p := range c.dice.Perm(n) {
		if !c.work(p) {
			break
		}
	}
	c.disk.Cut(c.dice)
	c.disk.SetFail(nil)
	c.handles.Close()
	c.handles = NewHandles(4)
	c.open()
	claimed := c.s.Have()
	buf := make([]byte, 1<<14)
	for p := range claimed.All() {
		if ok, err := c.s.HashPiece(p, buf); !ok {
			c.t.Errorf("piece %d is claimed but missing: %v", p, err)
		}
	}
	have, err := c.s.CheckDoubtful(c.t.Context(), nil)
	must(c.t, err)
	if c.flushed.AnyNotIn(have) && !c.renamed {
		c.t.Errorf("of %d durable pieces %d remain", c.flushed.Count(), c.flushed.CountAnd(have))
	}
	for _, k := range c.s.Chunks() {
		off := int64(k.Piece)*c.f.info.PieceLength + int64(k.Begin)
		got := make([]byte, k.Length)
		must(c.t, c.s.ReadAt(got, off))
		if !bytes.Equal(got, c.f.data[off:off+int64(k.Length)]) {
			c.t.Errorf("a chunk of piece %d differs from what was written", k.Piece)
		}
		c.chunks++
	}
	c.kept += claimed.Count()
	c.doubtful += have.Count() - claimed.Count()
	for p := range n {
		if !have.Has(p) {
			c.f.put(c.t, c.s, p)
		}
	}
	must(c.t, c.s.Finish())
	must(c.t, c.s.Flush())
	for p := range n {
		off, want := c.f.piece(p)
		got := make([]byte, len(want))
		must(c.t, c.s.ReadAt(got, off))
		if !bytes.Equal(got, want) {
			c.t.Errorf("piece %d is wrong at the end", p)
		}
	}
	must(c.t, c.s.Close())
}

// work does what a download does with piece p, and occasionally what happens
// concurrently. It returns false at the end.
func (c *powerCut) work(p int) bool {
	off, b := c.f.piece(p)
	const chunk = 64 << 10
	for at := 0; at < len(b); at += chunk {
		part := b[at:min(at+chunk, len(b))]
		if c.s.WriteAt(part, off+int64(at)) != nil {
			return false
		}
		if len(part) < len(b) {
			c.s.MarkChunk(p, uint32(at), part)
		}
		if c.dice.IntN(8) == 0 && !c.flush() {
			return false
		}
	}
	c.s.MarkVerified(p)
	c.marked.Add(p)
	if c.dice.IntN(4) == 0 {
		c.renamed = true
		if c.s.Finish() != nil {
			return false
		}
	}
	return c.dice.IntN(3) > 0 || c.flush()
}

func (c *powerCut) flush() bool {
	marked := c.marked.Clone()
	if c.s.Flush() != nil {
		return false
	}
	c.flushed, c.renamed = marked, false
	return true
}
