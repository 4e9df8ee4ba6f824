//go:build linux

// Package udpload measures what the answers of a UDP server cost: processor time and
// allocations per query, compared with an echo server that only reads and writes batches.
//
// Servers run in separate processes (the test binary, started again), so that the cost of
// the load is not counted. They run on another processor than the load, because packets
// from a network are not in its cache either. The load comes from 10,000 addresses of the
// loopback network through one socket.
package udpload

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"seedbed/internal/netx"
)

// Sources is the number of addresses that queries come from.
const Sources = 10_000

// Source returns address i.
func Source(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1 + byte(i>>16), byte(i >> 8), 1 + byte(i)%200})
}

const childEnv = "SEEDBED_UDPLOAD"

// Child reports whether this process was started as the server with that name.
func Child(name string) bool { return os.Getenv(childEnv) == name }

// Serve runs in the child once its server listens at addr. It reports the resources used
// whenever it is asked, and ends when its parent ends.
func Serve(addr netip.AddrPort) {
	// Garbage collections would be counted although no query causes them.
	debug.SetGCPercent(-1)
	fmt.Printf("udpload %v\n", addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var ru unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
			panic(err)
		}
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		fmt.Printf("udpload %d %d\n", ru.Utime.Nano()+ru.Stime.Nano(), ms.Mallocs)
	}
	os.Exit(0)
}

// Server is a child process.
type Server struct {
	testing.TB
	Addr netip.AddrPort
	in   io.WriteCloser
	out  *bufio.Scanner
}

// Start starts the test binary again to run one test, which must call Serve.
func Start(t testing.TB, test, name string) *Server {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	onProcessor(1, func() { err = cmd.Start() }) // the child inherits it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	s := &Server{TB: t, in: in, out: bufio.NewScanner(out)}
	s.Addr = netip.MustParseAddrPort(s.line())
	return s
}

// onProcessor calls f on one of the processors available to us, if there are several.
func onProcessor(n int, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err == nil && all.Count() > 1 {
		for cpu := 0; ; cpu++ {
			if !all.IsSet(cpu) {
				continue
			}
			if n--; n < 0 {
				one.Set(cpu)
				break
			}
		}
		if unix.SchedSetaffinity(0, &one) == nil {
			defer unix.SchedSetaffinity(0, &all)
		}
	}
	f()
}

// line returns the next line that Serve printed.
func (s *Server) line() string {
	for s.out.Scan() {
		if l, ok := strings.CutPrefix(s.out.Text(), "udpload "); ok {
			return l
		}
	}
	s.Fatal("the server has ended")
	return ""
}

// Used returns the resources that the server has used so far.
func (s *Server) Used() (cpu time.Duration, mallocs uint64) {
	fmt.Fprintln(s.in)
	if _, err := fmt.Sscan(s.line(), &cpu, &mallocs); err != nil {
		s.Fatal(err)
	}
	return cpu, mallocs
}

// Echo sends every datagram back, a batch at a time, until the socket is closed.
func Echo(c netx.PacketConn, batch int) {
	in := make([]netx.Datagram, batch)
	for i := range in {
		in[i].Buf = make([]byte, 2048)
	}
	out := make([]netx.Datagram, batch)
	for {
		n, err := c.ReadBatch(in)
		if err != nil {
			return
		}
		for i := range in[:n] {
			out[i] = netx.Datagram{Buf: in[i].Buf[:in[i].N], Addr: in[i].Addr}
		}
		c.WriteBatch(out[:n])
	}
}

// Load sends queries and receives the answers.
type Load struct {
	testing.TB
	c       *net.UDPConn
	p       *ipv4.PacketConn
	control [Sources][]byte
	out, in []ipv4.Message
	next    int
}

const (
	batchLen = 64  // datagrams per call
	window   = 512 // unanswered queries
)

// NewLoad opens the socket from which everything is sent.
func NewLoad(t testing.TB) *Load {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadBuffer(4 << 20)
	l := &Load{TB: t, c: c, p: ipv4.NewPacketConn(c), out: make([]ipv4.Message, batchLen), in: make([]ipv4.Message, batchLen)}
	for i := range l.control {
		l.control[i] = (&ipv4.ControlMessage{Src: Source(i).AsSlice()}).Marshal()
	}
	for i := range l.in {
		l.in[i].Buffers = [][]byte{make([]byte, 2048)}
		l.out[i].Buffers = make([][]byte, 1)
	}
	return l
}

// Run sends queries for the duration d and returns the number of answers. query returns
// the datagram of source i. each is called with every answer unless it is nil.
func (l *Load) Run(to netip.AddrPort, d time.Duration, query func(i int) []byte, each func(answer []byte)) (answered int) {
	onProcessor(0, func() { answered = l.run(to, time.Now().Add(d), -1, query, each) })
	return answered
}

// Once sends one query from each source.
func (l *Load) Once(to netip.AddrPort, query func(i int) []byte, each func(answer []byte)) int {
	l.next = 0
	return l.run(to, time.Now().Add(time.Minute), Sources, query, each)
}

func (l *Load) run(to netip.AddrPort, end time.Time, left int, query func(i int) []byte, each func(answer []byte)) (answered int) {
	addr := net.UDPAddrFromAddrPort(to)
	waiting := 0
	for now := time.Now(); now.Before(end) && left != 0 || waiting > 0; now = time.Now() {
		for waiting < window && now.Before(end) && left != 0 {
			n := 0
			for ; n < batchLen && left != 0; n++ {
				m := &l.out[n]
				m.Addr, m.OOB, m.Buffers[0] = addr, l.control[l.next], query(l.next)
				l.next = (l.next + 1) % Sources
				left--
			}
			sent, err := l.p.WriteBatch(l.out[:n], 0)
			if err != nil {
				l.Fatal(err)
			}
			waiting += sent
		}
		l.c.SetReadDeadline(now.Add(100 * time.Millisecond))
		n, err := l.p.ReadBatch(l.in, 0)
		if err != nil {
			waiting = 0 // lost
			continue
		}
		for i := range l.in[:n] {
			b := l.in[i].Buffers[0][:l.in[i].N]
			if isPing(b) || l.in[i].Addr.(*net.UDPAddr).Port != addr.Port { // late, for another query
				continue
			}
			answered++
			waiting--
			if each != nil {
				each(b)
			}
		}
		waiting = max(waiting, 0)
	}
	return answered
}

// isPing reports whether b is a query by the server itself, and not an echo of ours.
func isPing(b []byte) bool { return bytes.Contains(b[:min(len(b), 64)], []byte("1:q4:ping1:t")) }

// Cost is the cost of one query.
type Cost struct {
	CPU    time.Duration
	Allocs float64
}

// Result compares the cost of a server with that of the echo.
type Result struct {
	Echo, Server Cost
	Ratio        float64 // processor time of the echo divided by that of the server
}

// Compare measures the server and the echo alternately, so that other activity of the
// machine affects both. Such activity only adds to the cost, so the 20th percentile of
// the turns counts. check is called with some of the answers.
func (l *Load) Compare(echo, server *Server, turns int, turn time.Duration, query func(i int) []byte, check func(answer []byte) error) (r Result) {
	l.Helper()
	measure := func(s *Server, check func([]byte) error) Cost {
		var wrong error
		n := 0
		cpu0, mallocs0 := s.Used()
		answered := l.Run(s.Addr, turn, query, func(b []byte) {
			if n++; n%1000 == 1 && wrong == nil && check != nil {
				wrong = check(b)
			}
		})
		cpu1, mallocs1 := s.Used() // Used itself allocates a little
		if wrong != nil {
			l.Fatal(wrong)
		}
		if answered < 1000 {
			l.Fatalf("%d answers in %v", answered, turn)
		}
		return Cost{(cpu1 - cpu0) / time.Duration(answered), float64(mallocs1-mallocs0) / float64(answered)}
	}
	var echoes, servers []Cost
	for range turns {
		echoes = append(echoes, measure(echo, nil))
		servers = append(servers, measure(server, check))
	}
	r = Result{Echo: percentile20(echoes), Server: percentile20(servers)}
	r.Ratio = float64(r.Echo.CPU) / float64(r.Server.CPU)
	return r
}

// percentile20 returns the 20th percentile by CPU time.
func percentile20(c []Cost) Cost {
	slices.SortFunc(c, func(a, b Cost) int { return int(a.CPU - b.CPU) })
	return c[len(c)/5]
}

// Report reports the result as metrics of the benchmark.
func (r Result) Report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(r.Echo.CPU), "echo-cpu-ns/query")
	b.ReportMetric(float64(r.Server.CPU), "cpu-ns/query")
	b.ReportMetric(r.Ratio, "of-echo")
	b.ReportMetric(r.Server.Allocs, "allocs/query")
}
