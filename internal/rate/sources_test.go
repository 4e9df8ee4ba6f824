package rate

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

func newSources(perSecond, burst float64, places int) *Sources {
	return NewSources(perSecond, burst, places, rand.New(rand.NewPCG(1, 2)))
}

func TestEachSourceHasItsRate(t *testing.T) {
	s := newSources(10, 5, 100)
	given := [3]int{}
	for now := mono.Time(0); now < 10*second; now += second / 1000 {
		for i := range given {
			if _, ok := s.Take(now, uint64(i)+1); ok {
				given[i]++
			}
		}
	}
	for i, n := range given {
		if n < 104 || n > 105 {
			t.Errorf("source %d: %d packets in 10 s at 10 a second with a burst of 5", i, n)
		}
	}
}

// As long as no set overflows, Sources behaves like a bucket for each source. The rates
// are powers of two, so that rounding makes no difference.
func TestSourcesAreBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := float64(int(1) << rapid.IntRange(0, 6).Draw(t, "rate"))
		burst := float64(rapid.IntRange(1, 20).Draw(t, "burst"))
		s := newSources(perSecond, burst, 4096)
		twin := map[uint64]*Bucket{}
		now := mono.Time(0)
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			now += second / 64 * mono.Time(rapid.IntRange(0, 30).Draw(t, "wait"))
			src := rapid.Uint64Range(1<<32+1<<24, 1<<32+1<<24+20).Draw(t, "source")
			if twin[src] == nil {
				b := NewBucket(now, perSecond, burst)
				twin[src] = &b
			}
			if _, got := s.Take(now, src); got != twin[src].Take(now, 1) {
				t.Fatalf("%x at %v: %v, and its bucket says otherwise", src, now, got)
			}
		}
	})
}

func TestNeighboursSpreadOverTheSets(t *testing.T) {
	s := newSources(1, 10, 16384)
	for i := range uint64(8000) { // half of the places
		s.Take(0, 1<<32+10<<24+i)
	}
	kept := 0
	for i := range s.places {
		if s.places[i].key != 0 {
			kept++
		}
	}
	if kept < 7000 {
		t.Error("of 8000 neighbours only", kept, "are kept")
	}
}

// A flood of forged addresses does not make Sources forget a source that sent a lot.
func TestAFloodOfNewSourcesKeepsBusySources(t *testing.T) {
	s := newSources(1, 10, 64)
	for range 10 {
		s.Take(0, 99)
	}
	for i := range uint64(100_000) {
		s.Take(second/10, 1000+i)
	}
	if _, ok := s.Take(second/10, 99); ok {
		t.Fatal("forgotten")
	}
}

func TestANegativeRateMeansNoLimit(t *testing.T) {
	s := newSources(-1, 0, 8)
	for range 1000 {
		if _, ok := s.Take(0, 1); !ok {
			t.Fatal("limited")
		}
	}
}

// Refunded tokens can be taken again, and never more than the burst.
func TestARefundIsTakenAgain(t *testing.T) {
	s := newSources(1, 5, 100)
	take := func(now mono.Time) (n int) {
		for range 20 {
			if _, ok := s.Take(now, 7); ok {
				n++
			}
		}
		return n
	}
	if n := take(second); n != 5 {
		t.Fatal(n)
	}
	s.Refund(second, 7)
	s.Refund(second, 7)
	s.Refund(second, 8) // it is forgotten
	if n := take(second); n != 2 {
		t.Error("after two refunds:", n)
	}
	for range 20 {
		s.Refund(second, 7)
	}
	if n := take(second); n != 5 {
		t.Error("after many refunds:", n)
	}
}

func TestNotedAndAnsweredAreKept(t *testing.T) {
	s := newSources(1, 10, 8)
	st, _ := s.Take(5, 7)
	if st.Noted > -1e9 || st.Answered > -1e9 {
		t.Fatal("a new source has notes of the future")
	}
	st.Noted, st.Answered = 5, 6
	if st, _ = s.Take(6, 7); st.Noted != 5 || st.Answered != 6 {
		t.Fatal(*st)
	}
}

func TestASourceIsAnAddressOrA64(t *testing.T) {
	a := netip.MustParseAddr
	for _, c := range []struct {
		x, y string
		same bool
	}{
		{"1.2.3.4", "1.2.3.4", true},
		{"1.2.3.4", "1.2.3.5", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::", "0.0.0.0", false},
	} {
		if (SourceOf(a(c.x)) == SourceOf(a(c.y))) != c.same {
			t.Error(c)
		}
	}
}

func BenchmarkSources(b *testing.B) {
	s := newSources(10, 1000, 1<<16)
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		s.Take(mono.Time(i)*1000, i%10_000*2654435761+1)
	}
}
