//go:build linux

package integration

import (
	"crypto/sha1"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These benchmarks produce the tables of docs/performance.md that have no limit. Each prints
// the figures of one run; the tables show the medians of `-count 3`.

// BenchmarkTransfer downloads 1 GiB over loopback between pairs of seedbed, libtorrent and a
// raw peer, which as a leecher neither hashes nor writes.
func BenchmarkTransfer(b *testing.B) {
	for _, piece := range []int{1 << 20, 256 << 10} {
		for _, seeder := range []string{"raw", "seedbed", "libtorrent"} {
			for _, leecher := range []string{"raw", "seedbed", "libtorrent"} {
				if seeder == "raw" && leecher != "seedbed" {
					continue // it serves no metadata, which libtorrent starts without here
				}
				b.Run(fmt.Sprintf("%s_from_%s/%dKiB", leecher, seeder, piece>>10), func(b *testing.B) {
					benchmarkTransfer(b, leecher, seeder, piece)
				})
			}
		}
	}
}

func benchmarkTransfer(b *testing.B, leecher, seeder string, piece int) {
	need(b, libtorrent{})
	ctx := barTime(b)
	const from, to = "10.2.1.1", "10.3.1.1"
	p := big(b, 1<<30, piece)
	switch seeder {
	case "raw":
		seedRaw(b, from, p.hash, p.piece, p.data)
	case "seedbed":
		seedOurs(b, ctx, from, p.payload)
	case "libtorrent":
		seedLibtorrent(b, ctx, from, p.payload)
	}
	b.SetBytes(p.size)
	for range b.N { // -benchtime 1x
		switch leecher {
		case "raw":
			began := time.Now()
			must(b, leechRaw(ctx, to, from, p.hash, p.size, p.piece))
			b.ReportMetric(time.Since(began).Seconds(), "s")
		case "seedbed":
			wall, cpu := timeGet(b, ctx, to, p.torrent, peersAt(from)...)
			b.ReportMetric(wall, "s")
			b.ReportMetric(cpu, "cpu-s")
		case "libtorrent":
			b.ReportMetric(timeLibtorrent(b, ctx, to, b.TempDir(), p.payload, from), "s")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkColdMagnet opens a bare magnet link whose seed can be found only in the DHT, which
// has 32 libtorrent nodes. Times begin before the start of the process.
func BenchmarkColdMagnet(b *testing.B) {
	need(b, libtorrent{}, aria2{})
	ctx := barTime(b)
	dht := &dhtNet{address: "10.4.%d.1", theirs: 32}
	b.Cleanup(dht.close)
	nodes := dht.join(b)
	p := newPayload(b, "cold", 256<<10, false, map[string]int{"": 16 << 20})
	d := libtorrent{}.start(b, "10.2.1.1", nodes[:2]).(*libtorrentDaemon)
	d.seed(ctx, p)
	announced(ctx, b, nodes, p.infohash, "10.2.1.1")
	b.Run("seedbed", func(b *testing.B) {
		for range b.N { // -benchtime 1x
			began := time.Now()
			o := run(b, "10.3.1.1", entered(nodes[:2], "get", p.magnet(), "-d", b.TempDir())...)
			o.ends(ctx, 0)
			for _, e := range []string{"metadata", "first_piece", "complete"} {
				b.ReportMetric(o.first(e).at().Sub(began).Seconds()*1000, e+"-ms")
			}
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("aria2", func(b *testing.B) {
		for range b.N { // -benchtime 1x
			began := time.Now()
			d := aria2{}.start(b, "10.3.2.1", nodes[:2])
			d.leech(ctx, p.magnet(), b.TempDir())
			d.done(ctx)
			b.ReportMetric(time.Since(began).Seconds()*1000, "complete-ms")
		}
		b.ReportMetric(0, "ns/op")
	})
}

var manyTorrents = flag.Int("many", 10_000, "`N` torrents for BenchmarkManyTorrents")

// BenchmarkManyTorrents seeds many torrents of one small file, first without a state directory
// and again with the saved state. The files are in the page cache. For comparison, bare-s is
// the time to read each .torrent file and to stat each data file, one after the other.
func BenchmarkManyTorrents(b *testing.B) {
	need(b)
	ctx := barTime(b)
	n := *manyTorrents
	base := b.TempDir()
	torrents, data := filepath.Join(base, "torrents"), filepath.Join(base, "data")
	must(b, os.Mkdir(torrents, 0o755))
	must(b, os.Mkdir(data, 0o755))
	r := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 16<<10)
	for i := range n {
		r.Read(content)
		name := fmt.Sprintf("file-%06d", i)
		must(b, os.WriteFile(filepath.Join(data, name), content, 0o644))
		hash := sha1.Sum(content)
		info := map[string]any{"length": len(content), "name": name, "piece length": len(content), "pieces": string(hash[:])}
		must(b, os.WriteFile(filepath.Join(torrents, name+".torrent"), bencode(nil, map[string]any{"info": info}), 0o644))
	}
	state := filepath.Join(base, "state")
	share := func(name string) {
		began := time.Now()
		o := run(b, "10.2.1.1", offline("seed", "--torrents", torrents, "-d", data, "--state", state, "--quiet")...)
		o.wait(ctx, "ready")
		b.ReportMetric(time.Since(began).Seconds(), name+"-s")
		time.Sleep(2 * time.Second) // until the garbage has been freed
		kib := anonymous(b, o.cmd.Process.Pid)
		b.ReportMetric(kib/1024, name+"-MiB")
		b.ReportMetric(kib/float64(n), name+"-KiB/torrent")
		before := cpuOf(b, o.cmd.Process.Pid)
		time.Sleep(10 * time.Second)
		b.ReportMetric((cpuOf(b, o.cmd.Process.Pid)-before)*10, name+"-idle-cpu-%")
		o.stop()
		u := o.cmd.ProcessState
		b.ReportMetric((u.UserTime() + u.SystemTime()).Seconds(), name+"-cpu-s")
	}
	for range b.N { // -benchtime 1x
		share("first")
		share("again")
		began := time.Now()
		for i := range n {
			name := fmt.Sprintf("file-%06d", i)
			_, err := os.ReadFile(filepath.Join(torrents, name+".torrent"))
			must(b, err)
			_, err = os.Stat(filepath.Join(data, name))
			must(b, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "bare-s")
	}
	b.ReportMetric(0, "ns/op")
}

// cpuOf returns the CPU time of a running process in seconds.
func cpuOf(b *testing.B, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	must(b, err)
	var user, system float64
	// proc_pid_stat(5): the name of the program, in parentheses, may contain spaces.
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	_, err = fmt.Sscan(fields[11], &user)
	must(b, err)
	_, err = fmt.Sscan(fields[12], &system)
	must(b, err)
	const ticks = 100 // USER_HZ
	return (user + system) / ticks
}
