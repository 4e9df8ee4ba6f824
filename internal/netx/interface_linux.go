package netx

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToInterface makes a socket send and receive over one interface only. The kernel
// resolves the name now: a socket keeps the index of an interface that is gone.
func bindToInterface(fd uintptr, _, name string) error {
	return os.NewSyscallError("setsockopt SO_BINDTODEVICE", unix.BindToDevice(int(fd), name))
}

func isNoDevice(err error) bool { return isAny(err, syscall.ENODEV) }
