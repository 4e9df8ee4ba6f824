package netx

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batcher transfers many datagrams in one system call (recvmmsg, sendmmsg). It keeps the
// headers between calls, so it allocates nothing once there are enough for a batch.
// (ReadBatch of golang.org/x/net/ipv4 allocates an address for each datagram.)
type batcher struct {
	raw     syscall.RawConn
	six     bool
	in, out headers

	segments atomic.Bool // the system cuts segments (UDP_SEGMENT)
}

// maxBatch is the maximum number of datagrams in one call.
const maxBatch = 128

func (b *batcher) init(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		panic(err) // only a nil conn fails here
	}
	b.raw = raw
	b.six = addrPort(c.LocalAddr()).Addr().Is6()
	b.in.init(unix.SYS_RECVMMSG)
	b.out.init(unix.SYS_SENDMMSG)
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		b.segments.Store(err == nil)
	})
}

// Coalesce implements Coalescer.
func (u *udpConn) Coalesce() bool {
	h := &u.batch.in
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = u.batch.raw.Control(func(fd uintptr) {
		h.coalesced = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	})
	return h.coalesced
}

// forbidFragments makes the system send each packet whole (DF) or fail with EMSGSIZE if the
// network interface cannot, whatever it has learned about the path. It is for uTP, which
// finds out by itself how long a packet may be. KRPC messages fit every path.
func forbidFragments(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if addrPort(c.LocalAddr()).Addr().Is6() {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		} else {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
	})
}

// headers holds the arguments of one system call. Only one caller may use it at a time.
type headers struct {
	mu    sync.Mutex
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6 // large enough for either family
	ctrls []control

	coalesced bool // datagrams that were read may have segments

	trap  uintptr
	used  int                // number of msgs passed to the call
	n     int                // number of msgs that the call processed
	errno syscall.Errno      // error of the call
	call  func(uintptr) bool // bound once, because a closure for each call would be allocated
}

// mmsghdr is the system's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// control is a control message with the length of segments: UDP_SEGMENT (16 bits) of one
// that is sent, UDP_GRO (32 bits) of one that was read.
type control struct {
	hdr  unix.Cmsghdr
	data [8]byte
}

func (h *headers) init(trap uintptr) {
	h.trap = trap
	h.call = func(fd uintptr) bool {
		for {
			r, _, errno := syscall.Syscall6(h.trap, fd, uintptr(unsafe.Pointer(&h.msgs[0])), uintptr(h.used), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return false // wait until the socket is ready
			}
			h.n, h.errno = int(r), errno
			return true
		}
	}
}

// prepare points the first len(ms) headers to the buffers of ms.
func (h *headers) prepare(ms []Datagram) {
	if have := len(h.msgs); have < len(ms) {
		h.msgs = make([]mmsghdr, len(ms))
		h.iovs = make([]unix.Iovec, len(ms))
		h.names = make([]unix.RawSockaddrInet6, len(ms))
		h.ctrls = make([]control, len(ms))
		for i := range h.msgs {
			h.msgs[i].hdr.Iov = &h.iovs[i]
			h.msgs[i].hdr.SetIovlen(1)
			h.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&h.names[i]))
		}
	}
	for i := range ms {
		h.iovs[i].Base = unsafe.SliceData(ms[i].Buf)
		h.iovs[i].SetLen(len(ms[i].Buf))
		h.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		h.setControl(i, 0)
	}
	h.used = len(ms)
}

// setControl passes n bytes of the control message i, or none, to the call.
func (h *headers) setControl(i, n int) {
	h.msgs[i].hdr.Control = nil
	if n > 0 {
		h.msgs[i].hdr.Control = (*byte)(unsafe.Pointer(&h.ctrls[i]))
	}
	h.msgs[i].hdr.SetControllen(n)
}

// setSegment makes the system cut the message i.
func (h *headers) setSegment(i, segment int) {
	c := &h.ctrls[i]
	c.hdr.Level, c.hdr.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.hdr.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(c.data[:], uint16(segment))
	h.setControl(i, unix.CmsgSpace(2))
}

// segment returns the length of the segments of the message i that was read, or 0.
func (h *headers) segment(i int) int {
	c := &h.ctrls[i]
	if int(h.msgs[i].hdr.Controllen) < unix.CmsgLen(4) || c.hdr.Level != unix.SOL_UDP || c.hdr.Type != unix.UDP_GRO {
		return 0
	}
	return int(binary.NativeEndian.Uint32(c.data[:]))
}

// release drops the references to the caller's n buffers.
func (h *headers) release(n int) {
	for i := range h.iovs[:n] {
		h.iovs[i].Base = nil
	}
}

func (b *batcher) read(ms []Datagram) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	h := &b.in
	h.mu.Lock()
	defer h.mu.Unlock()
	ms = ms[:min(len(ms), maxBatch)]
	h.prepare(ms)
	defer h.release(len(ms))
	for i := 0; h.coalesced && i < len(ms); i++ {
		h.setControl(i, unix.CmsgSpace(4))
	}
	if err := b.raw.Read(h.call); err != nil {
		return 0, err
	}
	if h.errno != 0 {
		return 0, h.errno
	}
	for i := range ms[:h.n] {
		ms[i].N = int(h.msgs[i].len)
		ms[i].Addr = h.name(i)
		ms[i].Segment = 0
		if h.coalesced {
			ms[i].Segment = h.segment(i)
		}
	}
	return h.n, nil
}

// write sends at least one of ms, or returns why the first could not be sent.
func (b *batcher) write(ms []Datagram) (int, error) {
	h := &b.out
	h.mu.Lock()
	defer h.mu.Unlock()
	ms = ms[:min(len(ms), maxBatch)]
	h.prepare(ms)
	defer h.release(len(ms))
	for i := range ms {
		if err := b.setDestination(h, i, &ms[i]); err != nil {
			if i == 0 {
				return 0, err
			}
			h.used = i
			break
		}
	}
	if err := b.raw.Write(h.call); err != nil {
		return 0, err
	}
	if h.errno != 0 {
		return 0, h.errno
	}
	return h.n, nil
}

// setDestination sets the address and the segments of the message i.
func (b *batcher) setDestination(h *headers, i int, d *Datagram) error {
	if !h.setName(i, d.Addr, b.six) {
		return ErrNoFamily
	}
	if d.isSegmented() {
		if !b.segments.Load() || !d.fitsSegmentation() {
			return errMustCut
		}
		h.setSegment(i, d.Segment)
	}
	return nil
}

// mustCut reports whether err means that the segments of d must be sent one by one.
func (b *batcher) mustCut(d *Datagram, err error) bool {
	switch err {
	case errMustCut:
		return true
	case unix.EIO: // the interface cannot compute the checksums
		b.segments.Store(false)
		return true
	case unix.EINVAL: // older kernels, for segments that are too long for the interface
		return true
	}
	return false
}

func (h *headers) name(i int) netip.AddrPort {
	sa := &h.names[i]
	// sin_port and sin6_port have the same offset.
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), port)
}

func (h *headers) setName(i int, a netip.AddrPort, six bool) bool {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.Is6() != six {
		return false
	}
	sa := &h.names[i]
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], a.Port())
	if six {
		sa.Family, sa.Addr, sa.Flowinfo, sa.Scope_id = unix.AF_INET6, ip.As16(), 0, 0
		h.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	} else {
		sa.Family = unix.AF_INET
		(*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr = ip.As4()
		h.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	return true
}
