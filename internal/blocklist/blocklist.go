// Package blocklist reads lists of blocked IP addresses in the common formats, and
// reports whether an address is on such a list.
package blocklist

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
	"go4.org/netipx"
)

const (
	maxLine    = 4 << 10
	maxEntries = 4 << 20 // several times the largest list in circulation
)

// List is a set of addresses. The nil and the zero List are empty.
type List struct {
	table   bart.Lite
	entries int
}

// Error is the error for a line that cannot be parsed.
type Error struct {
	Line int // the first is 1
	Text string
	Why  string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d (%q): %s", e.Line, e.Text, e.Why) }

// Contains reports whether the list contains the address.
func (l *List) Contains(a netip.Addr) bool {
	return l != nil && l.table.Contains(a.Unmap().WithZone(""))
}

// Len returns the number of lines that name addresses.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return l.entries
}

// Read adds the addresses of a list, which may be gzipped. A line is one of
//
//	192.0.2.0/24 or 2001:db8::/32 or 192.0.2.7    CIDR
//	192.0.2.0 - 192.0.2.255                       a range
//	a name:192.0.2.0-192.0.2.255                  PeerGuardian (P2P)
//	192.000.002.000 - 192.000.002.255 , 100 , x   eMule (DAT): a level of 128 or more means allowed
//
// Empty lines and lines that begin with # are skipped. Any other line is an *Error: if
// such lines were skipped, addresses would not be blocked that the user wants to block.
func (l *List) Read(r io.Reader) error {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReader(z)
	}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, maxLine)
	n := 0
	for sc.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		rng, blocked, err := parse(line)
		if err == nil && l.entries == maxEntries {
			err = errors.New("the list has too many lines")
		}
		if err != nil {
			return &Error{n, line[:min(len(line), 80)], err.Error()}
		}
		if !blocked {
			continue
		}
		l.entries++
		for _, p := range rng.Prefixes() {
			l.table.Insert(p)
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &Error{n + 1, "...", "the line is too long"}
	} else if err != nil {
		return err
	}
	return nil
}

// parse parses one line.
func parse(line string) (r netipx.IPRange, blocked bool, err error) {
	if p, err := netip.ParsePrefix(line); err == nil {
		return netipx.RangeOfPrefix(p.Masked()), true, nil
	}
	if a, err := netip.ParseAddr(line); err == nil {
		a = a.Unmap().WithZone("")
		return netipx.IPRangeFrom(a, a), true, nil
	}
	text, rest, dat := strings.Cut(line, ",")
	if r, err = addresses(text); err == nil {
		blocked = true
		if level, _, _ := strings.Cut(rest, ","); dat {
			var n int
			if _, err := fmt.Sscanf(strings.TrimSpace(level), "%d", &n); err != nil {
				return r, false, errors.New("the access level after the range is missing")
			}
			blocked = n < 128
		}
		return r, blocked, nil
	}
	// A name may contain colons and commas, and so may IPv6 addresses, so the range may
	// follow any of the colons.
	for i := range len(line) {
		if line[i] != ':' {
			continue
		}
		if r, err := addresses(line[i+1:]); err == nil {
			return r, true, nil
		}
	}
	return r, false, errors.New("not an address or a range of addresses")
}

// addresses parses FIRST-LAST.
func addresses(s string) (netipx.IPRange, error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return netipx.IPRange{}, errors.New("not a range")
	}
	a, err := address(first)
	if err != nil {
		return netipx.IPRange{}, err
	}
	b, err := address(last)
	if err != nil {
		return netipx.IPRange{}, err
	}
	r := netipx.IPRangeFrom(a, b)
	if !r.IsValid() {
		return r, errors.New("the range ends before it begins")
	}
	return r, nil
}

// address parses an address whose numbers may have leading zeros, as eMule writes them.
// The numbers are decimal nevertheless.
func address(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if strings.Count(s, ".") == 3 && !strings.Contains(s, ":") {
		parts := strings.Split(s, ".")
		for i, p := range parts {
			if t := strings.TrimLeft(p, "0"); p != "" && len(p) <= 3 {
				parts[i] = t
				if t == "" {
					parts[i] = "0"
				}
			}
		}
		s = strings.Join(parts, ".")
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err
}
