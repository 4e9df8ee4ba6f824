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

// As long as no set overflows, it does what a bucket for each source does.
func TestSourcesAreBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSources(7, 3, 4096)
		twin := map[uint64]*Bucket{}
		now := mono.Time(0)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			now += mono.Time(rapid.IntRange(0, 300).Draw(t, "ms")) * second / 1000
			src := rapid.Uint64Range(1, 8).Draw(t, "source")
			if twin[src] == nil {
				b := NewBucket(now, 7, 3)
				twin[src] = &b
			}
			wait := twin[src].Wait(now, 1)
			_, ok := s.Take(now, src)
			if !ok && wait == 0 && twin[src].Wait(now, 1.000001) == 0 || ok && wait > 10 {
				t.Fatalf("source %d: %v, and its bucket is %v away", src, ok, wait)
			}
			if ok {
				twin[src].tokens--
			}
		}
	})
}

// What a source sent is not forgotten for those that forge addresses.
func TestAFloodOfNewSourcesKeepsTheGreedyInMind(t *testing.T) {
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

func TestANegativeRateIsNone(t *testing.T) {
	s := newSources(-1, 0, 8)
	for range 1000 {
		if _, ok := s.Take(0, 1); !ok {
			t.Fatal("limited")
		}
	}
}

func TestTheNotesOfASourceStay(t *testing.T) {
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
