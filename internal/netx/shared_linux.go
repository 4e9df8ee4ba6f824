package netx

import (
	"math/rand/v2"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const canSpread = true

// spread makes the system choose the socket of the group by a hash of the source's IPv4
// address or IPv6 /64, instead of address and port. So all state about a source is in one
// place. The hash has a secret key, so that nobody can direct traffic at one socket. c is
// the first of the n sockets.
func spread(c *net.UDPConn, six bool, n int) error {
	const net0 = 0xfff00000 // SKF_NET_OFF: offsets from the IP header
	op := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	load := func(at uint32) unix.SockFilter { return op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, net0+at) }
	mul := func() unix.SockFilter { return op(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, rand.Uint32()|1) }
	var prog []unix.SockFilter
	if six {
		prog = append(prog, load(8), mul(), op(unix.BPF_ST, 0), load(12), mul(),
			op(unix.BPF_LDX|unix.BPF_W|unix.BPF_MEM, 0), op(unix.BPF_ALU|unix.BPF_ADD|unix.BPF_X, 0))
	} else {
		prog = append(prog, load(12), mul())
	}
	// A single product would send consecutive addresses to consecutive sockets, or all to
	// one.
	prog = append(prog,
		op(unix.BPF_MISC|unix.BPF_TAX, 0), op(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 15), op(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0), mul(),
		op(unix.BPF_MISC|unix.BPF_TAX, 0), op(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 15), op(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0),
		op(unix.BPF_ALU|unix.BPF_MOD|unix.BPF_K, uint32(n)),
		op(unix.BPF_RET|unix.BPF_A, 0))
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	}); err != nil {
		return err
	}
	return failed
}

// meter reads how much of the system's buffer is used by waiting datagrams.
type meter struct {
	info [skMeminfoVars]uint32
	err  syscall.Errno
	call func(uintptr)
}

// The members of SO_MEMINFO (linux/sock_diag.h) that are used here.
const (
	skMeminfoRmemAlloc = 0
	skMeminfoRcvbuf    = 1
	skMeminfoVars      = 9
)

// FillLevel implements FillLeveler.
func (u *udpConn) FillLevel() float64 {
	u.metering.Lock()
	defer u.metering.Unlock()
	m := &u.meter
	if m.call == nil { // only once, because a closure for each call would be allocated
		m.call = func(fd uintptr) {
			size := uint32(unsafe.Sizeof(m.info))
			_, _, m.err = syscall.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&m.info)), uintptr(unsafe.Pointer(&size)), 0)
		}
	}
	if err := u.batch.raw.Control(m.call); err != nil || m.err != 0 || m.info[skMeminfoRcvbuf] == 0 {
		return 0
	}
	return min(1, float64(m.info[skMeminfoRmemAlloc])/float64(m.info[skMeminfoRcvbuf]))
}
