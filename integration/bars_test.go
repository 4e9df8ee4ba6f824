//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/swarm/wire"
)

// The bars are required figures. Each compares two measurements from one run, taken one
// after the other, and fails if their ratio exceeds its limit. `make bars` runs them, on
// an otherwise idle machine. They are not tests, because they fail on a busy machine.

// barRuns is how often each side is measured. The medians are compared.
const barRuns = 3

// compare measures ours and theirs alternately, and fails if the ratio of the medians
// exceeds limit.
func compare(b *testing.B, unit string, limit float64, ours, theirs func() float64) {
	b.Helper()
	for range b.N { // -benchtime 1x
		var x, y []float64
		for range barRuns {
			y = append(y, theirs())
			x = append(x, ours())
		}
		mx, my := median(x), median(y)
		b.ReportMetric(mx, unit)
		b.ReportMetric(my, "other-"+unit)
		b.ReportMetric(mx/my, "ratio")
		b.ReportMetric(limit, "limit")
		b.ReportMetric(0, "ns/op")
		if mx/my > limit {
			b.Errorf("%.2f %s where the other takes %.2f: %.2f x, over the limit of %.2f", mx, unit, my, mx/my, limit)
		}
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// barTime bounds one measurement, so that one that hangs fails.
func barTime(b *testing.B) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	b.Cleanup(cancel)
	return ctx
}

// peersAt returns the arguments that name peers.
func peersAt(ips ...string) (args []string) {
	for _, ip := range ips {
		args = append(args, "--peer", endpoint(ip))
	}
	return args
}

// shared is a torrent on disk, with its data in memory.
type shared struct {
	*payload
	hash [20]byte
	data []byte
}

func big(b *testing.B, size, piece int) shared {
	p := newPayload(b, fmt.Sprintf("big %d", piece), piece, false, map[string]int{"": size})
	s := shared{payload: p, data: p.files[0].data}
	_, err := hex.Decode(s.hash[:], []byte(p.infohash))
	must(b, err)
	return s
}

// from returns the magnet link that names peers.
func (p *payload) from(ips ...string) string {
	link := p.magnet()
	for _, ip := range ips {
		link += "&x.pe=" + endpoint(ip)
	}
	return link
}

// timeGet calls timeGetIn with a new folder, which it removes.
func timeGet(b *testing.B, ctx context.Context, ip, link string, args ...string) (wall, cpu float64) {
	b.Helper()
	dir, err := os.MkdirTemp("", "get")
	must(b, err)
	defer os.RemoveAll(dir)
	return timeGetIn(b, ctx, ip, dir, link, args...)
}

// timeGetIn runs seedbed get for a link or a .torrent file in a folder. It returns the
// seconds from before the start of the process to its complete event, and the CPU seconds
// of the process.
func timeGetIn(b *testing.B, ctx context.Context, ip, dir, link string, args ...string) (wall, cpu float64) {
	b.Helper()
	began := time.Now()
	o := run(b, ip, offline(slices.Concat([]string{"get", link, "-d", dir}, args)...)...)
	o.wait(ctx, "complete")
	wall = time.Since(began).Seconds()
	o.ends(ctx, 0)
	u := o.cmd.ProcessState
	return wall, (u.UserTime() + u.SystemTime()).Seconds()
}

// timeLibtorrent is like timeGetIn for libtorrent, measured from when its session runs.
func timeLibtorrent(b *testing.B, ctx context.Context, ip, dir string, p *payload, peer string) float64 {
	b.Helper()
	d := libtorrent{}.with(b, ip, nil, map[string]any{"peers": []string{endpoint(peer)}, "poll": 0.005})
	d.leech(ctx, p.magnet(), dir)
	defer d.stop()
	d.event(ctx, "start")
	began := time.Now()
	d.done(ctx)
	return time.Since(began).Seconds()
}

// seedLibtorrent and seedOurs share p until the benchmark ends.
func seedLibtorrent(b *testing.B, ctx context.Context, ip string, p *payload) *libtorrentDaemon {
	d := libtorrent{}.start(b, ip, nil).(*libtorrentDaemon)
	d.seed(ctx, p)
	return d
}

func seedOurs(b *testing.B, ctx context.Context, ip string, p *payload, args ...string) *ours {
	o := run(b, ip, offline(slices.Concat([]string{"seed", p.torrent, "-d", p.parent}, args)...)...)
	o.wait(ctx, "ready")
	return o
}

// The limit is a libtorrent seed: what a minimal peer downloads from it is the maximum
// possible.
func BenchmarkBarFromLibtorrent(b *testing.B) {
	for _, piece := range []int{1 << 20, 256 << 10} {
		b.Run(strconv.Itoa(piece>>10)+"KiB", func(b *testing.B) {
			need(b, libtorrent{})
			ctx := barTime(b)
			p := big(b, 1<<30, piece)
			seedLibtorrent(b, ctx, "10.2.1.1", p.payload)
			compare(b, "s", 1.12,
				func() float64 { wall, _ := timeGet(b, ctx, "10.3.1.1", p.from("10.2.1.1")); return wall },
				func() float64 {
					began := time.Now()
					must(b, leechRaw(ctx, "10.3.2.1", "10.2.1.1", p.hash, p.size, p.piece))
					return time.Since(began).Seconds()
				})
		})
	}
}

// Ten thousand small files, each with its own pieces if the torrent is a hybrid.
//
// Nothing that was downloaded is removed before the end: for minutes ext4 does not reuse
// the inodes of removed files, and skips all of them for every new file. Creating ten
// thousand files then takes several seconds, with every client.
func BenchmarkBarManyFiles(b *testing.B) {
	parent := b
	for _, kind := range []string{"v1", "hybrid"} {
		b.Run(kind, func(b *testing.B) {
			need(b, libtorrent{})
			ctx := barTime(b)
			p := manyFiles(b, ctx, parent.TempDir(), kind, 10_000)
			seedOurs(b, ctx, "10.2.1.1", p)
			seedLibtorrent(b, ctx, "10.2.2.1", p)
			compare(b, "s", 1,
				func() float64 {
					wall, _ := timeGetIn(b, ctx, "10.3.1.1", parent.TempDir(), p.from("10.2.1.1"))
					return wall
				},
				func() float64 { return timeLibtorrent(b, ctx, "10.3.2.1", parent.TempDir(), p, "10.2.2.1") })
		})
	}
}

// manyFiles returns a folder of files of 100 bytes to 10 KB, in a torrent made by
// libtorrent.
func manyFiles(b *testing.B, ctx context.Context, dir, kind string, n int) *payload {
	p := &payload{name: "many", parent: dir}
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 10_000)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for i := range n {
		dir := filepath.Join(p.parent, p.name, fmt.Sprintf("%02d", i%100))
		must(b, os.MkdirAll(dir, 0o755))
		size := 100 + rng.IntN(len(data)-100)
		copy(data, strconv.Itoa(i)) // all files differ
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d", i)), data[:size], 0o644))
	}
	p.torrent = filepath.Join(b.TempDir(), "many.torrent")
	out := start(b, "create", nil, systemPython, "peers/create_torrent.py", filepath.Join(p.parent, p.name), p.torrent, strconv.Itoa(64<<10), kind)
	if out.exit(ctx) != 0 {
		b.Fatal("libtorrent did not make the torrent")
	}
	for line := range strings.Lines(out.tail()) {
		if f := strings.Fields(line); len(f) == 2 && len(f[0]) == 40 {
			p.infohash = f[0]
		}
	}
	return p
}

// Peers that never send a block cost almost nothing beside one that does.
func BenchmarkBarMutePeers(b *testing.B) {
	const mute = 20
	ctx := barTime(b)
	need(b)
	p := big(b, 32<<20, 256<<10)
	seedRaw(b, "10.2.1.1", p.hash, p.piece, p.data)
	peers := []string{"10.2.1.1"}
	for i := range mute {
		ip := fmt.Sprintf("10.2.%d.1", 2+i)
		muteRaw(b, ip, p.hash)
		peers = append(peers, ip)
	}
	get := func(peers ...string) float64 {
		wall, _ := timeGet(b, ctx, "10.3.1.1", p.torrent, peersAt(peers...)...)
		return wall
	}
	// The limit is 1.5 times plus 5 s: the time without them is so short that the 5 s are
	// most of it.
	alone := get(peers[0])
	compare(b, "s", (1.5*alone+5)/alone, func() float64 { return get(peers...) }, func() float64 { return get(peers[0]) })
}

// The lower bound of a download is TCP, SHA-1 and a write in two stages: what a minimal
// peer sends at full speed, hashed and written with the least possible code.
func BenchmarkBarFromRaw(b *testing.B) {
	need(b)
	ctx := barTime(b)
	p := big(b, 1<<30, 1<<20)
	seedRaw(b, "10.2.1.1", p.hash, p.piece, p.data)
	var cpu, floorCPU []float64
	compare(b, "s", 1.25,
		func() float64 {
			wall, c := timeGet(b, ctx, "10.3.1.1", p.torrent, peersAt("10.2.1.1")...)
			cpu = append(cpu, c)
			return wall
		},
		func() float64 {
			began, before := time.Now(), usedCPU()
			dir := b.TempDir()
			defer os.RemoveAll(dir)
			must(b, floorOf(ctx, dir, p))
			floorCPU = append(floorCPU, usedCPU()-before)
			return time.Since(began).Seconds()
		})
	b.ReportMetric(median(cpu), "cpu-s")
	b.ReportMetric(median(floorCPU), "other-cpu-s")
}

// usedCPU returns the CPU seconds that this process has used.
func usedCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// floorOf sends p's data over TCP to a reader that hands each piece to a second
// goroutine, which hashes and writes it.
func floorOf(ctx context.Context, dir string, p shared) error {
	l, err := net.Listen("tcp", "10.2.9.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = nc.Write(p.data)
	}()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer nc.Close()
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return err
	}
	defer f.Close()
	free, full := make(chan []byte, 8), make(chan []byte, 8)
	for range cap(free) {
		free <- make([]byte, p.piece)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- hashAndWrite(f, full, free) }()
	for range int(p.size / p.piece) {
		b := <-free
		if _, err := io.ReadFull(nc, b); err != nil {
			close(full)
			<-wrote
			return err
		}
		full <- b
	}
	close(full)
	return <-wrote
}

func hashAndWrite(f *os.File, full <-chan []byte, free chan<- []byte) (err error) {
	off := int64(0)
	for b := range full {
		sha1.Sum(b)
		// Longer writes get large folios, which cost three times as much here.
		for part := range slices.Chunk(b, 64<<10) {
			if err == nil {
				_, err = f.WriteAt(part, off)
			}
			off += int64(len(part))
		}
		free <- b
	}
	return err
}

// A crowd completes soon after the fluid bound, and contributors complete before free
// riders, without the seed sending everything several times.
func BenchmarkBarCrowd(b *testing.B) {
	for _, c := range []struct {
		leechers, mib, kib int
		free               int     // number of leechers that upload at a tenth
		last               float64 // maximum, as a multiple of the fluid bound
		givers             float64 // maximum, as a multiple of the free riders' median
		copies             float64 // maximum number of copies that the seed sends until the first leecher is complete
	}{
		{leechers: 16, mib: 16, kib: 512, last: 1.2},
		{leechers: 16, mib: 64, kib: 1024, last: 1.1},
		{leechers: 16, mib: 16, kib: 512, free: 8, last: 1.3, givers: 0.7, copies: 1.3},
	} {
		name := fmt.Sprintf("%dx%dx%d", c.leechers, c.mib, c.kib)
		if c.free > 0 {
			name += fmt.Sprintf("x%d", c.free)
		}
		b.Run(name, func(b *testing.B) {
			need(b)
			ctx := barTime(b)
			b.ReportMetric(0, "ns/op")
			for range b.N { // -benchtime 1x
				up := c.kib << 10
				crowd := newCrowd(b, oneFile(b, "crowd "+name, c.mib<<20, 256<<10), "seedbed", up)
				crowd.add(c.free, "seedbed", up/10).add(c.leechers-c.free, "seedbed", up)
				crowd.run(ctx)
				atMost(b, "last/limit", crowd.last()/crowd.fluid(), c.last)
				if c.free > 0 {
					free, givers := crowd.leechers()[:c.free], crowd.leechers()[c.free:]
					atMost(b, "givers/free", median(crowd.seconds(givers))/median(crowd.seconds(free)), c.givers)
					atMost(b, "seed-copies", crowd.copies(), c.copies)
				}
			}
		})
	}
}

// In crowds of several clients, seedbed does not delay anyone: with a seedbed seed all
// leechers complete before those of a crowd of libtorrent alone, and with a libtorrent
// seed no later. One seedbed among libtorrent clients completes when they do.
func BenchmarkBarMixedCrowds(b *testing.B) {
	need(b, libtorrent{}, transmission{})
	b.ReportMetric(0, "ns/op")
	run := func(c *crowd) *crowd {
		c.run(barTime(b))
		return c
	}
	for range b.N { // -benchtime 1x
		theirs := run(newCrowdOf(b, "libtorrent").add(8, "libtorrent", crowdUp))
		ours := run(newCrowdOf(b, "seedbed").add(8, "seedbed", crowdUp))
		atMost(b, "seedbed/libtorrent", ours.last()/theirs.last(), 0.9)

		mixed, fromTheirs := run(newMixedCrowd(b, "seedbed")), run(newMixedCrowd(b, "libtorrent"))
		atMost(b, "mixed-copies", mixed.copies(), 1.4)
		for _, kind := range []string{"seedbed", "libtorrent", "transmission"} {
			atMost(b, kind+"/alone", mixed.median(kind)/theirs.median(), 1.2)
			atMost(b, kind+"-from-libtorrent/alone", fromTheirs.median(kind)/theirs.median(), 1.2)
		}
		// seedbed first serves peers that pass pieces on, and these are other seedbeds:
		// libtorrent has parts of many pieces before it completes one, and transmission
		// 3.00 requests late.
		atMost(b, "libtorrent/seedbed", mixed.median("libtorrent")/mixed.median("seedbed"), 1.7)
		atMost(b, "transmission/seedbed", mixed.median("transmission")/mixed.median("seedbed"), 1.8)
		atMost(b, "mixed-last/median", mixed.last()/mixed.median(), 1.4)
		atMost(b, "from-libtorrent-last/seedbed", fromTheirs.last()/fromTheirs.median("seedbed"), 1.3)

		one := run(newCrowdOf(b, "libtorrent").add(1, "seedbed", crowdUp).add(8, "libtorrent", crowdUp))
		atMost(b, "one/libtorrent", one.median("seedbed")/one.median("libtorrent"), 1.1)
	}
}

// atMost reports a figure and fails if it exceeds its limit.
func atMost(b *testing.B, what string, got, limit float64) {
	b.Helper()
	b.ReportMetric(got, what)
	if got > limit {
		b.Errorf("%s is %.2f, over the limit of %.2f", what, got, limit)
	}
}

// An idle connection should cost no more than in libtorrent, which is known for its small
// connections.
func BenchmarkBarIdlePeers(b *testing.B) {
	const peers = 2500
	need(b, libtorrent{})
	ctx := barTime(b)
	p := big(b, 64<<20, 256<<10)
	host := byte(0)
	measure := func(pid int, ip string) float64 {
		before := anonymous(b, pid)
		conns := idlePeers(b, ctx, ip, p.hash, host, peers)
		host++
		time.Sleep(4 * time.Second) // until buffers are freed
		after := anonymous(b, pid)
		for _, nc := range conns {
			nc.Close()
		}
		return (after - before) / float64(len(conns))
	}
	// Each is measured in a separate process.
	compare(b, "KiB", 4.2/3.8,
		func() float64 {
			o := seedOurs(b, ctx, "10.2.1.1", p.payload, "--connections", "3000")
			defer o.stop()
			time.Sleep(time.Second)
			return measure(o.cmd.Process.Pid, "10.2.1.1")
		},
		func() float64 {
			d := libtorrent{}.with(b, "10.2.2.1", nil, map[string]any{"connections": 20_000})
			d.seed(ctx, p.payload)
			defer d.stop()
			time.Sleep(time.Second)
			return measure(d.cmd.Process.Pid, "10.2.2.1")
		})
}

// idlePeers opens connections from as many addresses. Each is interested and then silent.
func idlePeers(b *testing.B, ctx context.Context, to string, infohash [20]byte, group byte, n int) (conns []net.Conn) {
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 5+group, byte(i>>8), byte(i))}}
		nc, err := d.DialContext(ctx, "tcp", endpoint(to))
		must(b, err)
		id := [20]byte{'-', 'R', 'A', '0', '0', '0', '1', '-', byte(i), byte(i >> 8)}
		h := wire.AppendHandshake(nil, wire.Reserved{}, infohash, id)
		_, err = nc.Write(h)
		must(b, err)
		var answer [wire.HandshakeLen]byte
		_, err = io.ReadFull(nc, answer[:])
		must(b, err)
		_, err = nc.Write(wire.Append(nil, wire.Msg{Type: wire.Interested}))
		must(b, err)
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		conns = append(conns, nc)
		time.Sleep(time.Millisecond) // avoid flooding either client
	}
	return conns
}

// anonymous returns the private memory of a process in KiB.
func anonymous(b testing.TB, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(b, err)
	s := bufio.NewScanner(bytes.NewReader(status))
	for s.Scan() {
		if f := strings.Fields(s.Text()); len(f) > 1 && f[0] == "RssAnon:" {
			n, err := strconv.ParseFloat(f[1], 64)
			must(b, err)
			return n
		}
	}
	b.Fatal("/proc/PID/status has no RssAnon")
	return 0
}
