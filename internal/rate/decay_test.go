package rate

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

// The naive implementation keeps every part and its age.
func TestDecayAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type part struct {
			at mono.Time
			n  float64
		}
		var (
			d     Decay
			parts []part
			now   mono.Time
		)
		over := time.Duration(rapid.IntRange(1, 600).Draw(t, "over")) * time.Second
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pause")))
			n := rapid.Float64Range(0, 1<<20).Draw(t, "n")
			d.Add(now, over, n)
			parts = append(parts, part{now, n})
			want := 0.0
			for _, p := range parts {
				want += p.n * math.Exp(-float64(now.Sub(p.at))/float64(over))
			}
			if got := d.Sum(now, over); math.Abs(got-want) > 1e-6*max(want, 1) {
				t.Fatalf("%v, not %v", got, want)
			}
		}
	})
}
