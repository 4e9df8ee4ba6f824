//go:build linux

package integration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"seedbed/magnet"
)

// wiretap records what a few addresses send and receive on the loopback interface: the payload of
// TCP and UDP, by address and in the order of arrival. The kernel shows each packet twice.
type wiretap struct {
	t     testing.TB
	file  *os.File
	ended chan struct{}

	mu   sync.Mutex
	sent map[netip.Addr][]byte
}

func watchWire(t testing.TB, of ...string) *wiretap {
	t.Helper()
	device, err := net.InterfaceByName("lo")
	must(t, err)
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index}))
	w := &wiretap{t: t, file: os.NewFile(uintptr(fd), "packets of lo"), ended: make(chan struct{}), sent: map[netip.Addr][]byte{}}
	for _, ip := range of {
		w.sent[netip.MustParseAddr(ip)] = nil
	}
	go w.run()
	t.Cleanup(func() { w.file.Close(); <-w.ended })
	return w
}

func (w *wiretap) run() {
	defer close(w.ended)
	b := make([]byte, 128<<10)
	for {
		n, err := w.file.Read(b)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.t.Error(err)
			}
			return
		}
		if n < 34 || binary.BigEndian.Uint16(b[12:]) != unix.ETH_P_IP {
			continue
		}
		p := b[14:n]
		from, to := netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
		head := int(p[0]&15) * 4
		switch p[9] {
		case unix.IPPROTO_TCP:
			if len(p) < head+13 {
				continue
			}
			head += int(p[head+12]>>4) * 4
		case unix.IPPROTO_UDP:
			head += 8
		}
		w.mu.Lock()
		for _, ip := range []netip.Addr{from, to} {
			if had, ok := w.sent[ip]; ok {
				w.sent[ip] = append(had, p[min(head, len(p)):]...)
			}
		}
		w.mu.Unlock()
	}
}

// of returns the payload of an address, and fails if packets were lost.
func (w *wiretap) of(ip string) []byte {
	w.t.Helper()
	raw, err := w.file.SyscallConn()
	must(w.t, err)
	must(w.t, raw.Control(func(fd uintptr) {
		s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		must(w.t, err)
		if s.Drops > 0 {
			w.t.Errorf("the capture has lost %d packets", s.Drops)
		}
	}))
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.sent[netip.MustParseAddr(ip)])
}

// A machine that keeps a private publication alive sees nothing of it: neither its disk nor its
// whole traffic has any content, any name of a file or folder, or the secret to read. The same
// search finds all of that at a follower of a public publication of the same folder.
func TestKeepersSeeNothing(t *testing.T) {
	ctx := timeLimit(t)
	private4.join(t)
	entries := private4.entries(t)
	dir := filepath.Join(t.TempDir(), "roses-diary")
	const phrase = "walked the dog and told nobody about it"
	for i := range 20 {
		at := filepath.Join(dir, "summer-of-love", fmt.Sprintf("monday-%d.txt", i))
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, []byte(strings.Repeat(fmt.Sprint(phrase, ", day ", i, ". "), 200*(i+1))), 0o644))
	}
	const open, keeper = "10.8.5.3", "10.8.5.4"
	w := watchWire(t, open, keeper)
	follow := func(ip, link string) (disks []string) {
		disks = []string{t.TempDir(), t.TempDir()}
		f := run(t, ip, entered(entries, "follow", link, "-d", disks[0], "--state", disks[1], "--keep-alive", "--encryption", "off", "--poll", "5s")...)
		f.wait(ctx, "current", version(1))
		return disks
	}
	p := run(t, "10.8.5.1", entered(entries, "publish", dir, "--key", "open", "--encryption", "off")...)
	openDisks := follow(open, p.wait(ctx, "published", version(1)).Link)
	q := run(t, "10.8.5.2", entered(entries, "publish", dir, "--key", "diary", "--secret", "--encryption", "off")...)
	link, err := magnet.Parse(q.wait(ctx, "published", version(1)).Link)
	must(t, err)
	keeperDisks := follow(keeper, link.ToKeep().String())

	// The keeper serves a reader, too.
	to := t.TempDir()
	reader := run(t, "10.8.5.5", entered(entries, "follow", link.String(), "-d", to, "--encryption", "off", "--poll", "5s")...)
	reader.wait(ctx, "current", version(1))
	want, err := digestOf(dir)
	must(t, err)
	if got, err := digestOf(filepath.Join(to, "current", "roses-diary")); got != want {
		t.Errorf("the reader has something else: %v", err)
	}

	hidden := []string{phrase, "roses-diary", "summer-of-love", "monday-1", link.Secret.Text()}
	for _, text := range hidden[:4] {
		if !bytes.Contains(w.of(open), []byte(text)) {
			t.Errorf("the search does not find %q in the traffic of a public publication", text)
		}
		if !onDisk(t, openDisks, text) {
			t.Errorf("the search does not find %q on the disk of its follower", text)
		}
	}
	traffic := w.of(keeper)
	if len(traffic) < 500_000 {
		t.Errorf("only %d bytes of the keeper's traffic were captured", len(traffic))
	}
	for _, text := range hidden {
		if bytes.Contains(traffic, []byte(text)) {
			t.Errorf("the keeper's traffic shows %q", text)
		}
		if onDisk(t, keeperDisks, text) {
			t.Errorf("the keeper's disk shows %q", text)
		}
	}
}

// onDisk reports whether a name or the content of a file below one of the folders has a text.
func onDisk(t *testing.T, dirs []string, text string) (found bool) {
	t.Helper()
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary file of a running process
			}
			if err != nil {
				return err
			}
			found = found || strings.Contains(d.Name(), text)
			if d.Type().IsRegular() {
				b, err := os.ReadFile(path)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				found = found || bytes.Contains(b, []byte(text))
			}
			return nil
		}))
	}
	return found
}
