package netx

import (
	"testing"

	"golang.org/x/sys/unix"
)

// forceCut makes c cut segments itself, as on a system without UDP_SEGMENT.
func forceCut(c *udpConn) { c.batch.segments.Store(false) }

// The packets of a Host must not be fragmented: uTP finds out how long they may be.
func TestPacketsAreNotFragmented(t *testing.T) {
	for _, c := range []struct {
		addr                 string
		level, option, value int
	}{
		{"127.0.0.1:0", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
		{"[::1]:0", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE},
	} {
		if c.addr == "[::1]:0" && !hasIPv6() {
			continue
		}
		from, _ := pair(t, c.addr)
		if err := from.batch.raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), c.level, c.option); got != c.value || err != nil {
				t.Errorf("%s: %d, %v", c.addr, got, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
