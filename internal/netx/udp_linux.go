package netx

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
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
}

// headers holds the arguments of one system call. Only one caller may use it at a time.
type headers struct {
	mu    sync.Mutex
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6 // large enough for either family

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
	}
	h.used = len(ms)
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
	if err := b.raw.Read(h.call); err != nil {
		return 0, err
	}
	if h.errno != 0 {
		return 0, h.errno
	}
	for i := range ms[:h.n] {
		ms[i].N = int(h.msgs[i].len)
		ms[i].Addr = h.name(i)
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
		if !h.setName(i, ms[i].Addr, b.six) {
			if i == 0 {
				return 0, ErrNoFamily
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
