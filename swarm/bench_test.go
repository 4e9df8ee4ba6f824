//go:build linux

package swarm

import (
	"context"
	"crypto/sha1"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const benchSize = 1 << 30

// fileStorage is a minimal storage: one file, written to the page cache 64 KiB at a time.
type fileStorage struct {
	f *os.File
	n int
}

func (s fileStorage) ReadAt(b []byte, off int64) error { _, err := s.f.ReadAt(b, off); return err }
func (s fileStorage) WriteAt(b []byte, off int64) error {
	for len(b) > 0 {
		n := min(len(b), 64<<10)
		if _, err := s.f.WriteAt(b[:n], off); err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}
func (fileStorage) MarkVerified(int)                              {}
func (fileStorage) MarkChunk(int, uint32, []byte)                 {}
func (fileStorage) Flush() error                                  { return nil }
func (fileStorage) Finish() error                                 { return nil }
func (fileStorage) Complete() (bool, error)                       { return true, nil }
func (s fileStorage) Recheck(context.Context) (bitset.Set, error) { return bitset.New(s.n), nil }
func (s fileStorage) Close() error                                { return s.f.Close() }

// cycleStorage has the same content as the raw peer, for our own seed.
type cycleStorage struct {
	fileStorage
	data []byte
}

func (s cycleStorage) ReadAt(b []byte, off int64) error {
	for len(b) > 0 {
		n := copy(b, s.data[off%cycleLen:])
		b, off = b[n:], off+int64(n)
	}
	return nil
}
func (cycleStorage) Close() error { return nil }

func cycleInfo(tb testing.TB, data []byte, pieceLength int64) *metainfo.Info {
	tb.Helper()
	var one []byte
	for off := int64(0); off < cycleLen; off += pieceLength {
		h := sha1.Sum(data[off : off+pieceLength])
		one = append(one, h[:]...)
	}
	var hashes []byte
	for range benchSize / cycleLen {
		hashes = append(hashes, one...)
	}
	info, err := metainfo.Build(metainfo.Plan{Name: "x", PieceLength: pieceLength,
		Files: []metainfo.PlanFile{{Path: []string{"x"}, Length: benchSize}}}, hashes)
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// anonKiB returns the process's private memory.
func anonKiB() (n int) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range splitLines(string(b)) {
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &n); err == nil {
			return n
		}
	}
	return 0
}

func splitLines(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			i := 0
			for i < len(s) && s[i] != '\n' {
				i++
			}
			if !yield(s[:i]) {
				return
			}
			s = s[min(i+1, len(s)):]
		}
	}
}

// measure runs f once per round and reports what it cost this process.
func measure(b *testing.B, f func(dir string)) {
	b.SetBytes(benchSize)
	var cpu time.Duration
	peak := 0
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		runtime.GC()
		debug.FreeOSMemory()
		base := anonKiB()
		quit := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				case <-time.After(20 * time.Millisecond):
					peak = max(peak, anonKiB()-base)
				}
			}
		})
		before := cpuTime()
		b.StartTimer()
		f(dir)
		b.StopTimer()
		cpu += cpuTime() - before
		close(quit)
		wg.Wait()
		os.RemoveAll(dir)
		b.StartTimer()
	}
	gib := float64(b.N) * benchSize / (1 << 30)
	b.ReportMetric(cpu.Seconds()/gib, "cpu-s/GiB")
	b.ReportMetric(float64(peak)/1024, "anon-MiB")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchLeech(b *testing.B, info *metainfo.Info, dir string, peer netip.AddrPort) {
	sh := NewShared(SharedConfig{})
	defer sh.Close()
	done := make(chan struct{})
	t := New(Config{
		Shared: sh, InfoHash: info.Hash, PeerID: id.ID{'L'}, Info: info, Dialer: &netDialer{}, Version: "bench",
		Budget: sh.Buffers(info.PieceLength), HalfOpen: 8, MaxConns: 50, Uploads: 4,
		Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
			f, err := os.Create(filepath.Join(dir, "x"))
			return Content{Storage: fileStorage{f, info.NumPieces()}}, err
		},
		OnEvent: func(ev Event) {
			if ev.Kind == Complete {
				close(done)
			}
		},
	})
	t.AddCandidates([]engine.Candidate{{Addr: peer, Source: engine.FromHint}})
	select {
	case <-done:
	case <-time.After(time.Minute):
		b.Errorf("%+v", t.Snapshot())
	}
	if err := t.Stop(context.Background()); err != nil {
		b.Error(err)
	}
}

// benchFloor does the minimum of any client: read TCP through a 64 KiB buffer into
// pieces, which two workers hash and write.
func benchFloor(b *testing.B, dir string, port int) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(wire.AppendHandshake(nil, wire.Reserved{}, id.ID{}, id.ID{})); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "x"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	type job struct {
		b   []byte
		off int64
	}
	free := make(chan []byte, 8)
	for range cap(free) {
		free <- make([]byte, 1<<20)
	}
	jobs := make(chan job, 8)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for j := range jobs {
				sha1.Sum(j.b)
				if err := (fileStorage{f: f}).WriteAt(j.b, j.off); err != nil {
					b.Error(err)
				}
				free <- j.b
			}
		})
	}
	buf := make([]byte, 64<<10)
	r, w := 0, 0
	for off := int64(0); off < benchSize; off += 1 << 20 {
		p := <-free
		for n := 0; n < len(p); {
			if r == w {
				k, err := c.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				r, w = 0, k
			}
			k := copy(p[n:], buf[r:w])
			n, r = n+k, r+k
		}
		jobs <- job{p, off}
	}
	close(jobs)
	wg.Wait()
}

// BenchmarkTransfer downloads 1 GiB over loopback. CPU and memory are those of this
// process: the leecher, and in "seedbed" also the seed.
func BenchmarkTransfer(b *testing.B) {
	data := cycle()
	for _, pl := range []int64{1 << 20, 256 << 10} {
		info := cycleInfo(b, data, pl)
		port := startRaw(b, benchSize, pl, info.Hash)
		b.Run(fmt.Sprintf("floor/%dKiB", pl>>10), func(b *testing.B) {
			measure(b, func(dir string) { benchFloor(b, dir, port) })
		})
		b.Run(fmt.Sprintf("raw/%dKiB", pl>>10), func(b *testing.B) {
			measure(b, func(dir string) {
				benchLeech(b, info, dir, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)))
			})
		})
		b.Run(fmt.Sprintf("seedbed/%dKiB", pl>>10), func(b *testing.B) {
			addr, stop := benchSeed(b, info, data)
			defer stop()
			measure(b, func(dir string) { benchLeech(b, info, dir, addr) })
		})
	}
}

func benchSeed(b *testing.B, info *metainfo.Info, data []byte) (netip.AddrPort, func()) {
	sh := NewShared(SharedConfig{})
	have := bitset.New(info.NumPieces())
	have.Fill()
	t := New(Config{
		Shared: sh, InfoHash: info.Hash, PeerID: id.ID{'S'}, Info: info, Dialer: &netDialer{}, Version: "bench",
		Budget: sh.Buffers(info.PieceLength), HalfOpen: 8, MaxConns: 50, Uploads: 4,
		Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
			return Content{Storage: cycleStorage{data: data}, Have: have}, nil
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if h, err := ReadHello(c, NoEncryption, nil); err == nil {
				t.Incoming(h)
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort(), func() {
		l.Close()
		if err := t.Stop(context.Background()); err != nil {
			b.Error(err)
		}
		sh.Close()
	}
}
