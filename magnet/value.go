package magnet

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxName is the maximal length of a DNS host name (RFC 1035), without the last dot.
const maxName = 253

// endpoint checks the value of x.pe. BEP 9: "hostname:port, ipv4-literal:port
// or [ipv6-literal]:port".
func endpoint(s string) (string, *Error) {
	bad := func(reason string) (string, *Error) {
		return "", &Error{Part: "x.pe=" + s, Reason: reason}
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return bad("has no port: it must be HOST:PORT")
	}
	host, port := s[:colon], s[colon+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !digits(port) {
		return bad("has no port from 1 to 65535 after its last colon")
	}
	port = strconv.FormatUint(n, 10)
	if in, ok := strings.CutPrefix(host, "["); ok {
		in, ok = strings.CutSuffix(in, "]")
		ip, err := netip.ParseAddr(in)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return bad("has no IPv6 address in its brackets")
		}
		return "[" + ip.String() + "]:" + port, nil
	}
	if strings.Contains(host, ":") {
		return bad("has an IPv6 address without brackets: write [address]:port")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String() + ":" + port, nil
	}
	if host == "" || len(host) > maxName || strings.ContainsFunc(host, notInName) {
		return bad("has no host name or address before its port")
	}
	return host + ":" + port, nil
}

// notInName reports whether r is invalid in a host name. Letters beyond ASCII are valid,
// because names in all scripts are written that way.
func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	case r == '-' || r == '.' || r == '_':
		return false
	}
	return r < 0xa1 || r == '\uFFFD' || 0x2000 <= r && r <= 0x206f || r == 0x3000
}

// maxIndex is the largest file index in a link. No torrent has that many files.
const maxIndex = 1<<31 - 1

// ranges parses the value of so, and ignores invalid items. BEP 53: "so=0,2,4,6-8 [...]
// Files are zero-indexed. Dashes mean inclusive ranges".
func (p *parser) ranges(s string) {
	for item := range strings.SplitSeq(s, ",") {
		if item == "" {
			continue
		}
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		lo, err := index(first)
		hi, err2 := index(last)
		switch {
		case err != nil || err2 != nil:
			p.warn(&Error{Part: "so=" + item, Reason: fmt.Sprintf("is neither a file's number, from 0 to %d, nor a range like 6-8", maxIndex)})
		case lo > hi:
			p.warn(&Error{Part: "so=" + item, Reason: "is a range that ends before it begins"})
		default:
			p.l.Select = append(p.l.Select, Range{lo, hi})
		}
	}
}

func index(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return uint32(n), err
}

// merge sorts ranges and joins adjacent ones.
func merge(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
