//go:build !linux

package netx

import (
	"net"
	"net/netip"
)

// batcher reads and writes one datagram per call.
type batcher struct{ c *net.UDPConn }

func (b *batcher) init(c *net.UDPConn) { b.c = c }

func (b *batcher) read(ms []Datagram) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	n, from, err := b.c.ReadFromUDPAddrPort(ms[0].Buf)
	if err != nil {
		return 0, err
	}
	ms[0].N, ms[0].Segment, ms[0].Addr = n, 0, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (b *batcher) write(ms []Datagram) (int, error) {
	if ms[0].isSegmented() {
		return 0, errMustCut
	}
	if _, err := b.c.WriteToUDPAddrPort(ms[0].Buf, ms[0].Addr); err != nil {
		return 0, err
	}
	return 1, nil
}

// mustCut reports whether err means that the segments of d must be sent one by one.
func (b *batcher) mustCut(_ *Datagram, err error) bool { return err == errMustCut }

// forbidFragments does nothing here, so a packet that is too long for its path arrives in
// fragments or not at all.
func forbidFragments(*net.UDPConn) {}
