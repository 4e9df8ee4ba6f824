package netx

import "errors"

// Limits of a Datagram with segments.
const (
	// CoalescedLen is the length in bytes of a buffer into which any number of datagrams
	// that the system coalesces fits (UDP_GRO).
	CoalescedLen = 64 << 10
	// maxSegments and maxSegmented are how many segments and bytes the system cuts in one
	// call (UDP_MAX_SEGMENTS, and the length of an IPv4 packet without its headers).
	maxSegments  = 64
	maxSegmented = 65507
)

// errMustCut is the error of a batcher for a datagram whose segments the system cannot cut.
var errMustCut = errors.New("the system does not cut this buffer into datagrams")

// isSegmented reports whether d is more than one datagram.
func (d *Datagram) isSegmented() bool { return d.Segment > 0 && len(d.Buf) > d.Segment }

// fitsSegmentation reports whether the system can cut the segments of d.
func (d *Datagram) fitsSegmentation() bool {
	return len(d.Buf) <= maxSegmented && len(d.Buf) <= maxSegments*d.Segment
}

// writeCut sends the segments of d one by one, in batches, with write. It stops at the first
// error, which it returns if nothing was sent.
func (u *udpConn) writeCut(d *Datagram, write func([]Datagram) (int, error)) error {
	u.cutting.Lock()
	defer u.cutting.Unlock()
	defer func() { clear(u.cut) }()
	begun := false
	for rest := d.Buf; len(rest) > 0; {
		u.cut = u.cut[:0]
		for len(rest) > 0 && len(u.cut) < maxSegments {
			n := min(d.Segment, len(rest))
			u.cut = append(u.cut, Datagram{Buf: rest[:n:n], Addr: d.Addr})
			rest = rest[n:]
		}
		for ms := u.cut; len(ms) > 0; {
			n, err := write(ms)
			switch {
			case err != nil && begun:
				return nil
			case err != nil:
				return err
			}
			begun = true
			ms = ms[n:]
		}
	}
	return nil
}
