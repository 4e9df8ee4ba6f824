//go:build linux

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// leaks records the packets of a network interface that should not be there.
type leaks struct {
	t     testing.TB
	what  string
	file  *os.File
	ended chan struct{}

	mu    sync.Mutex
	count int
	first []string // descriptions
}

// watchLeaks records every packet that the interface of a network namespace sends or receives, until the
// test ends. Packets from and to the allowed address are ignored, if it is valid. So is what the kernel
// itself sends: IPv6 neighbor and router discovery, and reports about multicast groups of the link.
func watchLeaks(t testing.TB, namespace, name string, allowed netip.Addr) *leaks {
	t.Helper()
	l := &leaks{t: t, what: name + " of " + namespace, ended: make(chan struct{})}
	inNamespace(t, namespace, func() { l.file = openCapture(t, name, allowed) })
	go l.run()
	t.Cleanup(func() { l.file.Close(); <-l.ended })
	return l
}

// inNamespace runs f on a thread that is in the network namespace. Sockets that f opens stay there.
func inNamespace(t testing.TB, namespace string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	must(t, err)
	defer own.Close()
	other, err := os.Open(filepath.Join("/run/netns", namespace))
	must(t, err)
	defer other.Close()
	must(t, unix.Setns(int(other.Fd()), unix.CLONE_NEWNET))
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // this thread would run other tests
		}
	}()
	f()
}

// openCapture opens a packet socket. The kernel drops the packets of the allowed address, so that a
// download through a proxy does not fill the socket's buffer.
func openCapture(t testing.TB, name string, allowed netip.Addr) *os.File {
	t.Helper()
	device, err := net.InterfaceByName(name)
	must(t, err)
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	if allowed.IsValid() {
		ip := binary.BigEndian.Uint32(allowed.AsSlice())
		code, err := bpf.Assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: 12, Size: 2},
			bpf.JumpIf{Val: unix.ETH_P_IP, SkipTrue: 5},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_ARP, SkipTrue: 8},
			bpf.LoadAbsolute{Off: 28, Size: 4}, // who asks
			bpf.JumpIf{Val: ip, SkipTrue: 7},
			bpf.LoadAbsolute{Off: 38, Size: 4}, // for which address
			bpf.Jump{Skip: 3},
			bpf.LoadAbsolute{Off: 26, Size: 4}, // the source
			bpf.JumpIf{Val: ip, SkipTrue: 3},
			bpf.LoadAbsolute{Off: 30, Size: 4}, // the destination
			bpf.JumpIf{Val: ip, SkipTrue: 1},
			bpf.RetConstant{Val: 1 << 16},
			bpf.RetConstant{Val: 0},
		})
		must(t, err)
		filter := make([]unix.SockFilter, len(code))
		for i, c := range code {
			filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
		}
		must(t, unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}))
	}
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index}))
	return os.NewFile(uintptr(fd), "packets of "+name)
}

func (l *leaks) run() {
	defer close(l.ended)
	b := make([]byte, 64<<10)
	for {
		n, err := l.file.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, unix.ENETDOWN): // reported once for each time that the interface goes down
			continue
		case err != nil:
			l.add(err.Error())
			return
		}
		if text := describe(b[:n]); text != "" {
			l.add(text)
		}
	}
}

func (l *leaks) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; len(l.first) < 10 {
		l.first = append(l.first, text)
	}
}

// seen returns how many packets there were, and describes the first. It waits a moment for those that are on their way.
func (l *leaks) seen() (n int, first []string) {
	l.t.Helper()
	time.Sleep(50 * time.Millisecond)
	raw, err := l.file.SyscallConn()
	must(l.t, err)
	must(l.t, raw.Control(func(fd uintptr) {
		s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		must(l.t, err)
		for range s.Drops { // reading them resets the number
			l.add("a packet that the capture has lost")
		}
	}))
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, slices.Clone(l.first)
}

// none fails the test if there were packets.
func (l *leaks) none() {
	l.t.Helper()
	if n, first := l.seen(); n > 0 {
		l.t.Errorf("%d packets on %s: %q", n, l.what, first)
	}
}

// describe returns what an Ethernet frame is, or "" if the kernel sends such frames by itself.
func describe(b []byte) string {
	if len(b) < 14 {
		return "a short frame"
	}
	kind, p := binary.BigEndian.Uint16(b[12:]), b[14:]
	switch {
	case kind == unix.ETH_P_ARP && len(p) >= 28:
		return fmt.Sprintf("ARP %v asks for %v", netip.AddrFrom4([4]byte(p[14:])), netip.AddrFrom4([4]byte(p[24:])))
	case kind == unix.ETH_P_IP && len(p) >= 20:
		from, to := netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
		return transport(p[9], from, to, p[min(len(p), int(p[0]&15)*4):])
	case kind == unix.ETH_P_IPV6 && len(p) >= 40:
		from, to, next, rest := netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:])), p[6], p[40:]
		if next == unix.IPPROTO_HOPOPTS && len(rest) >= 8 { // reports about groups have a router alert
			next, rest = rest[0], rest[min(len(rest), 8+int(rest[1])*8):]
		}
		if next == unix.IPPROTO_ICMPV6 && isDiscovery(rest) {
			return ""
		}
		return transport(next, from, to, rest)
	}
	return fmt.Sprintf("a frame of type %#04x", kind)
}

// transport describes a packet by its protocol, addresses and ports.
func transport(protocol byte, from, to netip.Addr, b []byte) string {
	name := map[byte]string{unix.IPPROTO_TCP: "TCP", unix.IPPROTO_UDP: "UDP", unix.IPPROTO_ICMP: "ICMP", unix.IPPROTO_ICMPV6: "ICMPv6", unix.IPPROTO_IGMP: "IGMP"}[protocol]
	if (name == "TCP" || name == "UDP") && len(b) >= 4 {
		return fmt.Sprintf("%s %v:%d > %v:%d", name, from, binary.BigEndian.Uint16(b), to, binary.BigEndian.Uint16(b[2:]))
	}
	return fmt.Sprintf("%s (protocol %d) %v > %v % x", name, protocol, from, to, b[:min(len(b), 8)])
}

var siteRouters = netip.MustParseAddr("ff05::2")

// isDiscovery reports whether an ICMPv6 message is one of router or neighbor discovery (RFC 4861), or a
// report (RFC 3810) about groups of the link and of routers only, which the kernel joins by itself.
func isDiscovery(b []byte) bool {
	const routerSolicitation, redirect, report = 133, 137, 143
	if len(b) < 8 {
		return false
	}
	if b[0] != report {
		return routerSolicitation <= b[0] && b[0] <= redirect
	}
	for rest := b[8:]; len(rest) >= 20; rest = rest[20:] {
		group := netip.AddrFrom16([16]byte(rest[4:]))
		if sources := binary.BigEndian.Uint16(rest[2:]); sources > 0 || !group.IsLinkLocalMulticast() && group != siteRouters {
			return false
		}
	}
	return true
}
