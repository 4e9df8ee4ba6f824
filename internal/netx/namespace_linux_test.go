package netx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace runs the calling test again in a network namespace with two interfaces, and returns
// true there:
//
//	vpn 10.9.0.2 -- 10.9.0.1   host "far", with a TCP and UDP echo at port 7000
//	lan 10.8.0.2 -- 10.8.0.1   host "router", to which the default route leads
//
// In the namespace, the interface vpn does not exist at first; see plug.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaceEnv) == t.Name() {
		run(t, "mount --make-rprivate / && mkdir -p /run/netns && mount -t tmpfs none /run/netns")
		run(t, "ip link set lo up; ip netns add far; ip netns add router; ip -n far link set lo up; ip -n router link set lo up")
		run(t, `ip link add lan type veth peer name eth0 netns router
			echo 1 >/proc/sys/net/ipv6/conf/lan/disable_ipv6
			ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'
			ip addr add 10.8.0.2/24 dev lan; ip link set lan up
			ip -n router addr add 10.8.0.1/24 dev eth0; ip -n router link set eth0 up
			ip route add default via 10.8.0.1`)
		return true
	}
	if os.Geteuid() != 0 || exec.Command("unshare", "--net", "--mount", "true").Run() != nil {
		t.Skip("a network namespace cannot be created")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--mount", exe, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("it did not run:\n%s", out)
	}
	return false
}

func run(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// plug adds the interface vpn, with a new index each time.
func plug(t *testing.T) {
	t.Helper()
	run(t, `ip link add vpn type veth peer name eth0 netns far
		ip addr add 10.9.0.2/24 dev vpn; ip link set vpn up
		ip -n far addr add 10.9.0.1/24 dev eth0; ip -n far link set eth0 up
		ip route add default dev vpn via 10.9.0.1 metric 500`)
}

// unplug removes it.
func unplug(t *testing.T) { t.Helper(); run(t, "ip link del vpn") }

// TestEchoForOthers is the echo of the host far, which runs in a process of its own.
func TestEchoForOthers(t *testing.T) {
	if os.Getenv("NETX_ECHO") == "" {
		t.SkipNow()
	}
	u, err := net.ListenPacket("udp4", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 2048)
		for {
			if n, from, err := u.ReadFrom(b); err == nil {
				_, _ = u.WriteTo(b[:n], from)
			}
		}
	}()
	l, err := net.Listen("tcp4", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	for {
		if c, err := l.Accept(); err == nil {
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}
}

// startEcho starts the echo on the host far.
func startEcho(t *testing.T) {
	t.Helper()
	exe, _ := os.Executable()
	cmd := exec.Command("ip", "netns", "exec", "far", exe, "-test.run", "^TestEchoForOthers$", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), "NETX_ECHO=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
}

// capture counts the packets of every kind that an interface sends and receives.
func capture(t *testing.T, name string) (count func() int64) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	}
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "packets")
	var n atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			if _, err := f.Read(b); errors.Is(err, os.ErrClosed) {
				return
			} else if err == nil {
				n.Add(1)
			}
		}
	}()
	t.Cleanup(func() { f.Close(); <-ended })
	return n.Load
}

// changes collects what Config.Changed receives.
type changes chan error

// until waits for a change that ok accepts. An interface that is added is down at first.
func (c changes) until(t *testing.T, ok func(error) bool) {
	t.Helper()
	var err error
	for wait := time.After(time.Minute); ; {
		select {
		case err = <-c:
			if ok(err) {
				return
			}
		case <-wait:
			t.Fatalf("the change was not noticed; the last one: %v", err)
		}
	}
}

func isUp(err error) bool { return err == nil }

func says(text string) func(error) bool {
	return func(err error) bool {
		var e *Error
		return errors.As(err, &e) && errors.Is(err, ErrNoInterface) && strings.Contains(err.Error(), text) && e.Hint != ""
	}
}

var far = netip.MustParseAddrPort("10.9.0.1:7000")

// echoes reports whether a connection and a datagram to the host far are answered.
func echoes(t *testing.T, h *Host) error {
	t.Helper()
	c, err := h.Dial(t.Context(), far)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	got := make(chan struct{}, 1)
	h.UDP()[0].Handle(KRPC, func([]Datagram) {
		select {
		case got <- struct{}{}:
		default:
		}
	})
	for range 100 {
		if err := h.UDP()[0].WriteTo([]byte("ding"), far); err != nil {
			return err
		}
		select {
		case <-got:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("no datagram came back")
}
