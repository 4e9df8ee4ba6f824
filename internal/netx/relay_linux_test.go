package netx

import (
	"testing"

	"golang.org/x/sys/unix"

	"seedbed/internal/sockstest"
)

// An association ends with its TCP connection, on which nothing is sent. Only keepalives find out that
// the proxy is gone without having closed it.
func TestTheConnectionOfAnAssociationIsProbed(t *testing.T) {
	s, err := through(sockstest.Start(t, &sockstest.Server{})).associate(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	raw, err := s.control.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		idle, err2 := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		if on == 0 || idle > 60 || err != nil || err2 != nil {
			t.Errorf("keepalive %d after %d s; %v, %v", on, idle, err, err2)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
