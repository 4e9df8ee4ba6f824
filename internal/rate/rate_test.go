package rate

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

const second = mono.Time(time.Second)

func TestMeterOfASteadyFlow(t *testing.T) {
	var m Meter
	now := mono.Time(0)
	for range 20 * 100 {
		m.Add(now, 1000)
		now += second / 100
	}
	if r := m.Rate(now); r < 98_000 || r > 102_000 {
		t.Fatalf("rate %.0f of a flow of 100,000 B/s", r)
	}
	if m.Total() != 2_000_000 {
		t.Fatalf("total %d", m.Total())
	}
	if r := m.Rate(now + 30*second); r > 10 {
		t.Fatalf("rate %.0f half a minute after the flow ended", r)
	}
}

// Otherwise a download of two seconds would be shown at half its rate.
func TestMeterOfANewFlowIsCorrectAtOnce(t *testing.T) {
	var m Meter
	for now := mono.Time(0); now < second/2; now += second / 100 {
		m.Add(now, 1000)
		if r := m.Rate(now); now >= second/5 && (r < 90_000 || r > 115_000) {
			t.Fatalf("rate %.0f of a flow of 100,000 B/s after %v", r, now.Sub(0))
		}
	}
}

func TestUnusedMeterReadsZero(t *testing.T) {
	var m Meter
	if r := m.Rate(5 * second); r != 0 {
		t.Fatal(r)
	}
}

func TestBucketAllowsExactlyItsRate(t *testing.T) {
	b := NewBucket(0, 10, 5)
	given := 0
	for now := mono.Time(0); now < 10*second; now += second / 1000 {
		if b.Take(now, 1) {
			given++
		}
	}
	if given < 104 || given > 105 {
		t.Fatalf("%d tokens in 10 s at 10 a second with a burst of 5", given)
	}
}

func TestBucketWait(t *testing.T) {
	b := NewBucket(0, 10, 5)
	if !b.Take(0, 5) || b.Take(0, 1) {
		t.Fatal("the burst is wrong")
	}
	w := b.Wait(0, 2)
	if w != 200*time.Millisecond {
		t.Fatalf("wait %v", w)
	}
	if b.Take(mono.Time(w)-1, 2) || !b.Take(mono.Time(w), 2) {
		t.Fatal("Wait returned the wrong duration")
	}
}
