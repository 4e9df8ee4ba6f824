package netx

import (
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToInterface makes a socket send and receive over one interface only. The socket keeps the
// index of an interface that is gone.
func bindToInterface(fd uintptr, network, name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return syscall.ENXIO
	}
	if strings.HasSuffix(network, "6") {
		return os.NewSyscallError("setsockopt IPV6_BOUND_IF", unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF, i.Index))
	}
	return os.NewSyscallError("setsockopt IP_BOUND_IF", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF, i.Index))
}

func isNoDevice(err error) bool { return isAny(err, syscall.ENXIO, syscall.ENODEV) }
