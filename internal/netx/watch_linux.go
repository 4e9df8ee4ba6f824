package netx

import (
	"os"

	"golang.org/x/sys/unix"
)

// watchLinks returns a channel that receives a value after the interfaces, addresses or default
// routes of this machine have changed. It is empty again once the value is received, however
// many changes there were. The watch ends when done is closed.
func watchLinks(done <-chan struct{}) <-chan struct{} {
	changed := make(chan struct{}, 1)
	f, err := openNetlink()
	if err != nil {
		return changed // changes are found by the caller's own interval
	}
	go func() {
		<-done
		f.Close()
	}()
	go func() {
		b := make([]byte, 8<<10)
		for {
			_, err := f.Read(b)
			select {
			case <-done:
				return
			default:
			}
			if err != nil && !isExhausted(err) { // ENOBUFS: changes were lost, which is a change too
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// openNetlink opens a socket that receives the kernel's messages about links, addresses and
// routes (rtnetlink(7)). Their content is not read: what is there now is asked afterwards.
func openNetlink() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}
