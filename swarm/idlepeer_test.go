//go:build linux

package swarm

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// BenchmarkIdlePeer measures what an idle connection costs: a peer that is interested but
// choked. For comparison, the same run measures a bare connection with one reading
// goroutine.
func BenchmarkIdlePeer(b *testing.B) {
	const n = 1000
	inUse := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	// The other ends are bare descriptors, which cost this process almost nothing.
	dial := func(port int, hello []byte) (fds []int) {
		for i := range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				b.Fatal(err)
			}
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				b.Fatal(err)
			}
			if hello != nil {
				hello[60], hello[61] = byte(i>>8), byte(i)
				if _, err := unix.Write(fd, hello); err != nil {
					b.Fatal(err)
				}
			}
			fds = append(fds, fd)
		}
		return fds
	}
	hang := func(fds []int) {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return l
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			l := listen()
			before := inUse()
			accepted := make(chan struct{}, n)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					accepted <- struct{}{}
					go func() {
						var one [1]byte
						_, _ = c.Read(one[:])
						c.Close()
					}()
				}
			}()
			fds := dial(l.Addr().(*net.TCPAddr).Port, nil)
			for range n {
				<-accepted
			}
			time.Sleep(100 * time.Millisecond)
			b.ReportMetric(float64(inUse()-before)/n/1024, "KiB/peer")
			hang(fds)
			l.Close()
			time.Sleep(100 * time.Millisecond)
		}
	})
	b.Run("seedbed", func(b *testing.B) {
		for b.Loop() {
			info, full := makeContent(b, 64<<20, 256<<10)
			sh := NewShared(SharedConfig{Workers: 1})
			t := New(Config{
				Shared: sh, InfoHash: info.Hash, PeerID: id.ID{1}, Info: info, Dialer: &netDialer{}, Budget: 1, HalfOpen: 1, MaxConns: 2 * n, Uploads: 4,
				Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
					return Content{Storage: full, Have: full.verified}, nil
				},
			})
			for !t.Snapshot().Complete {
				time.Sleep(time.Millisecond)
			}
			l := listen()
			before := inUse()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						h, err := ReadHello(c, PreferPlain, nil)
						if err != nil {
							c.Close()
							return
						}
						t.Incoming(h)
					}()
				}
			}()
			hello := wire.Append(wire.AppendHandshake(nil, wire.Reserved{}, info.Hash, id.ID{9}), wire.Msg{Type: wire.Interested})
			fds := dial(l.Addr().(*net.TCPAddr).Port, hello)
			for t.Snapshot().Connected < n {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			b.ReportMetric(float64(inUse()-before)/n/1024, "KiB/peer")
			hang(fds)
			l.Close()
			if err := t.Stop(context.Background()); err != nil {
				b.Error(err)
			}
			sh.Close()
		}
	})
}
