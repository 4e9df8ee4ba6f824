package respond

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

func v4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// The twin keeps a token bucket of each source for ever.
func TestLimiterAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Powers of two, so that no rounding tells the two apart.
		perSecond := float64(int(1) << rapid.IntRange(0, 6).Draw(t, "rate"))
		burst := float64(rapid.IntRange(1, 20).Draw(t, "burst"))
		l := newLimiter(perSecond, burst, rand.New(rand.NewPCG(1, 2)))
		twin := map[netip.Addr]*rate.Bucket{}
		now := mono.Time(0)
		for range rapid.IntRange(1, 300).Draw(t, "queries") {
			now += mono.Time(time.Second/64) * mono.Time(rapid.IntRange(0, 30).Draw(t, "wait"))
			a := v4(rapid.Uint32Range(1<<24, 1<<24+20).Draw(t, "source"))
			b := twin[a]
			if b == nil {
				n := rate.NewBucket(now, perSecond, burst)
				b = &n
				twin[a] = b
			}
			if got, want := l.allow(now, a), b.Take(now, 1); got != want {
				t.Fatalf("%v at %v: %v, want %v", a, time.Duration(now), got, want)
			}
		}
	})
}

func TestAFloodOfNewSourcesDoesNotFreeTheBusyOnes(t *testing.T) {
	l := newLimiter(1, 10, rand.New(rand.NewPCG(1, 2)))
	busy := v4(5)
	for l.allow(0, busy) {
	}
	for i := range uint32(1_000_000) {
		if !l.allow(0, v4(1<<24+i)) {
			t.Fatal("a new source is limited:", i)
		}
	}
	if l.allow(0, busy) {
		t.Error("a busy source was forgotten")
	}
}

func TestNeighboursSpreadOverTheSets(t *testing.T) {
	l := newLimiter(1, 10, rand.New(rand.NewPCG(3, 4)))
	for i := range uint32(8000) { // half of the slots
		l.allow(0, v4(10<<24+i))
	}
	kept := 0
	for _, s := range l.slots {
		if s.source != 0 {
			kept++
		}
	}
	if kept < 7000 {
		t.Error("of 8000 neighbours only", kept, "are kept")
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newLimiter(25, 100, rand.New(rand.NewPCG(1, 2)))
	b.ReportAllocs()
	from := make([]netip.Addr, 10_000)
	for i := range from {
		from[i] = v4(10<<24 + uint32(i))
	}
	i := 0
	for b.Loop() {
		i++
		l.allow(mono.Time(i)*1000, from[i%len(from)])
	}
}
