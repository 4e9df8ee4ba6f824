package option

import (
	"fmt"
	"strconv"
	"strings"
)

// A Size is a flag for a number of bytes.
type Size int64

// Type implements pflag.Value.
func (s *Size) Type() string { return "SIZE" }

// String formats the size as ParseSize reads it, with a unit if that is exact.
func (s *Size) String() string {
	n := int64(*s)
	for shift, unit := range []string{"", "K", "M", "G", "T"} {
		last := shift == 4 || n%(1<<10) != 0 || n == 0
		if last {
			return strconv.FormatInt(n, 10) + unit
		}
		n >>= 10
	}
	return ""
}

// Set implements pflag.Value.
func (s *Size) Set(v string) error {
	n, err := ParseSize(v)
	if err != nil {
		return err
	}
	*s = Size(n)
	return nil
}

// ParseSize parses a number of bytes: plain; with K, M, G, T or KiB, MiB, GiB, TiB for
// powers of 1024; or with KB, MB, GB, TB for powers of 1000. A rate may end in "/s".
func ParseSize(v string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimSuffix(v, "/s"), "/S")
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	unit, ok := unitOf(text[end:])
	if !ok {
		if isBits(text[end:]) {
			return 0, fmt.Errorf("%q is in bits; use bytes, as in 5MB", v)
		}
		return 0, notSize(v)
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil || n > (1<<62)/unit {
		return 0, notSize(v)
	}
	return n * unit, nil
}

func notSize(v string) error {
	return fmt.Errorf("%q is not a valid size; use bytes, or a number with a suffix, as in 500K, 16KiB or 5MB", v)
}

// unitOf returns the number of bytes of a unit.
func unitOf(unit string) (int64, bool) {
	if isBits(unit) {
		return 0, false
	}
	unit = strings.ToUpper(unit)
	if unit == "" || unit == "B" {
		return 1, true
	}
	power := 1 + strings.IndexByte("KMGT", unit[0])
	base := int64(1000)
	switch unit[1:] {
	case "", "IB":
		base = 1024
	case "B":
	default:
		power = 0
	}
	if power == 0 {
		return 0, false
	}
	n := int64(1)
	for range power {
		n *= base
	}
	return n, true
}

// isBits reports whether most people read a unit as bits, such as "Mb", "Mbit", "kbps".
func isBits(unit string) bool {
	if len(unit) < 2 {
		return false
	}
	rest := unit[1:]
	return rest == "b" && unit[0] >= 'A' && unit[0] <= 'Z' || strings.HasPrefix(strings.ToLower(rest), "bit") || strings.EqualFold(rest, "bps")
}

// FormatSize formats n bytes for a person, with the unit that leaves one to four digits: "3.4 MB".
// Units are decimal, as for disks and networks.
func FormatSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/1000, "kMGTPE"
	for v >= 999.5 && len(units) > 1 {
		v /= 1000
		units = units[1:]
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, units[0])
	}
	return fmt.Sprintf("%.0f %cB", v, units[0])
}
