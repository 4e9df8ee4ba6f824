package report

import "testing"

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 16384: "16 kB",
		999_999: "1.0 MB", 12_345_678: "12 MB", 5_800_000_000: "5.8 GB", 1 << 62: "4.6 EB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTimeLeftForPeople(t *testing.T) {
	for _, c := range []struct {
		left int64
		rate float64
		want string
	}{{100, 0, ""}, {0, 5, ""}, {10, 10, "1s"}, {90, 1, "1m30s"}, {7384, 1, "2h03m"}, {400_000, 1, "4 days"}, {1 << 60, 1, ""}} {
		if got := TimeLeft(c.left, c.rate); got != c.want {
			t.Errorf("TimeLeft(%d, %g) = %q, want %q", c.left, c.rate, got, c.want)
		}
	}
}

func TestCountsForPeople(t *testing.T) {
	for _, c := range []struct {
		n          int
		noun, want string
	}{{0, "peer", "0 peers"}, {1, "peer", "1 peer"}, {2, "peer", "2 peers"}, {1, "infohash", "1 infohash"}, {2, "infohash", "2 infohashes"},
		{1, "category", "1 category"}, {2, "category", "2 categories"}} {
		if got := Plural(c.n, c.noun); got != c.want {
			t.Errorf("Plural(%d, %q) = %q, want %q", c.n, c.noun, got, c.want)
		}
	}
}
