package option

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSizesTakeUnits(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1500": 1500, "7B": 7, "16K": 16 << 10, "1M": 1 << 20, "2g": 2 << 30, "1T": 1 << 40,
		"16KiB": 16 << 10, "3mib": 3 << 20, "5MB": 5_000_000, "5mb": 5_000_000, "5kB": 5000,
		"10m/s": 10 << 20, "1MB/s": 1_000_000, "0/s": 0,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "K", "-1", "1.5M", "1P", "99999999999G", "+1", "0x10", "1 M", "1Ki", "/s", "1M/m"} {
		if got, err := ParseSize(in); err == nil || !strings.Contains(err.Error(), "valid size") {
			t.Errorf("ParseSize(%q) = %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"5Mb", "5Mbit", "5mbit/s", "10kbps"} {
		if got, err := ParseSize(in); err == nil || !strings.Contains(err.Error(), "in bits") {
			t.Errorf("ParseSize(%q) = %d, %v", in, got, err)
		}
	}
}

func TestASizeReadsBackAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<40).Draw(t, "n") << rapid.IntRange(0, 20).Draw(t, "shift")
		s := Size(n)
		if got, err := ParseSize(s.String()); err != nil || got != n {
			t.Fatalf("%d is written as %s and read as %d, %v", n, s.String(), got, err)
		}
	})
}
