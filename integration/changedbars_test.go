//go:build linux

package integration

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a file that changes is measured with.
const (
	changedSize    = 64 << 20
	changedRecords = 200     // edited
	changedRecord  = 4 << 10 // bytes of each
	changedLog     = 4<<20 + 100
	blockSize      = 16 << 10
)

// A fileChange makes the next content of a file. It returns how many blocks have changed, at their place.
type fileChange struct {
	name   string
	change func(r *rand.Rand, data []byte) (after []byte, blocks int)
}

var fileChanges = []fileChange{
	{"edits", editRecords},
	{"append", func(r *rand.Rand, data []byte) ([]byte, int) {
		more := make([]byte, changedLog)
		fill(r, more)
		first := len(data) / blockSize
		data = append(data, more...)
		return data, (len(data)+blockSize-1)/blockSize - first
	}},
	{"insertion", func(r *rand.Rand, data []byte) ([]byte, int) {
		more := make([]byte, 100)
		fill(r, more)
		data = append(more, data...)
		return data, (len(data) + blockSize - 1) / blockSize
	}},
}

// editRecords overwrites some records, as a database does.
func editRecords(r *rand.Rand, data []byte) (after []byte, blocks int) {
	changed := map[int]bool{}
	for range changedRecords {
		at := r.IntN(len(data)/changedRecord) * changedRecord
		fill(r, data[at:at+changedRecord])
		changed[at/blockSize] = true
	}
	return data, len(changed)
}

func fill(r *rand.Rand, b []byte) {
	for i := 0; i+8 <= len(b); i += 8 {
		v := r.Uint64()
		for k := range 8 {
			b[i+k] = byte(v >> (8 * k))
		}
	}
	for i := len(b) &^ 7; i < len(b); i++ {
		b[i] = byte(r.Uint64())
	}
}

// A transfer is what it took to bring a copy of a file up to date.
type transfer struct {
	wire    int64   // bytes on the loopback interface, with all headers
	seconds float64 // from the change until the copy is up to date
	payload int64   // bytes of the file; of seedbed only
}

// Of a file that has changed, only the changed blocks are downloaded. rsync, which also finds what has moved, and
// hyperdrive, which transfers the whole file again, bring a copy of the same file up to date beside it.
func BenchmarkBarChanged(b *testing.B) {
	needNPM(b, missingHyperdrive(), command("rsync"))
	// Factors of the changed blocks. On the wire also the block hashes (BEP 52) of each changed piece of 1 MiB, and
	// overhead: metadata, DHT, other packets.
	const payloadLimit, wireLimit, pieceHashes, overhead = 1.05, 1.1, 2 << 10, 1 << 20
	for range b.N { // -benchtime 1x
		ctx, cancel := context.WithTimeout(b.Context(), 15*time.Minute)
		ours, rsync, hyper := newOursCopy(ctx, b), newRsync(ctx, b), newHyperCopy(ctx, b)
		r := rand.New(rand.NewPCG(18, 6))
		data := make([]byte, changedSize)
		fill(r, data)
		all := []copier{ours, rsync, hyper}
		for _, c := range all {
			c.transfer(data, nil)
		}
		for _, k := range fileChanges {
			before := bytes.Clone(data)
			var blocks int
			data, blocks = k.change(r, data)
			var got []transfer
			for _, c := range all {
				t := c.transfer(data, before)
				got = append(got, t)
				b.Logf("%s, %d blocks (%s): %T %s on the wire in %.1f s; payload %s", k.name, blocks, size(int64(blocks)*blockSize), c, size(t.wire), t.seconds, size(t.payload))
			}
			changed := float64(blocks) * blockSize
			b.ReportMetric(float64(got[0].payload)/changed, k.name+"-payload-ratio")
			b.ReportMetric(float64(got[0].wire)/1e6, k.name+"-MB")
			b.ReportMetric(float64(got[1].wire)/1e6, k.name+"-rsync-MB")
			b.ReportMetric(float64(got[2].wire)/1e6, k.name+"-hyperdrive-MB")
			if ratio := float64(got[0].payload) / changed; ratio > payloadLimit {
				b.Errorf("%s: %.2f times the changed blocks were downloaded, over the limit of %.2f", k.name, ratio, payloadLimit)
			}
			hashes := float64(min(blocks, len(data)>>20)*pieceHashes + overhead)
			if most := changed*wireLimit + hashes; float64(got[0].wire) > most {
				b.Errorf("%s: %d bytes on the wire, over the limit of %.0f", k.name, got[0].wire, most)
			}
		}
		for _, c := range all {
			c.stop()
		}
		cancel()
		b.ReportMetric(0, "ns/op")
	}
}

// A copier keeps a copy of a file up to date.
type copier interface {
	// transfer changes the content of the file, whose content before is given, and waits for the copy.
	transfer(data, before []byte) transfer
	stop()
}

// onLoopback returns the number of bytes that the loopback interface has received.
func onLoopback(b *testing.B) (n int64) {
	text, err := os.ReadFile("/proc/net/dev")
	must(b, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			_, err := fmt.Sscan(rest, &n)
			must(b, err)
			return n
		}
	}
	b.Fatal("there is no loopback interface")
	return 0
}

// rewrite changes the file where the content differs from before, in place.
func rewrite(b *testing.B, path string, data, before []byte) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	must(b, err)
	const chunk = 4 << 10
	for at := 0; at < len(data); at += chunk {
		end := min(at+chunk, len(data))
		if end <= len(before) && bytes.Equal(data[at:end], before[at:end]) {
			continue
		}
		_, err := f.WriteAt(data[at:end], int64(at))
		must(b, err)
	}
	must(b, f.Close())
}

func checkCopy(b *testing.B, path string, data []byte) {
	got, err := os.ReadFile(path)
	must(b, err)
	if !bytes.Equal(got, data) {
		b.Fatalf("%s differs from the file", path)
	}
}

// oursCopy publishes a folder with the file, and follows it.
type oursCopy struct {
	b         *testing.B
	ctx       context.Context
	entries   []string
	from, to  string
	publisher *ours
	follower  *ours
	seq       int64
}

func newOursCopy(ctx context.Context, b *testing.B) *oursCopy {
	all := private4.join(b)
	return &oursCopy{b: b, ctx: ctx, entries: []string{all[0], all[private4.ours]}, from: filepath.Join(b.TempDir(), "data"), to: b.TempDir()}
}

func (c *oursCopy) transfer(data, before []byte) (t transfer) {
	path := filepath.Join(c.from, "file")
	c.seq++
	if before == nil {
		must(c.b, os.MkdirAll(c.from, 0o755))
		rewrite(c.b, path, data, nil)
		c.publisher = run(c.b, "10.8.72.1", entered(c.entries, "publish", c.from, "--key", "changed", "--watch", "--watch-every", "500ms")...)
		link := c.publisher.wait(c.ctx, "published", version(1)).Link
		c.follower = run(c.b, "10.8.72.2", entered(c.entries, "follow", link, "-d", c.to, "--poll", "1h")...)
	}
	began, was := time.Now(), onLoopback(c.b)
	if before != nil {
		rewrite(c.b, path, data, before)
	}
	e := c.follower.wait(c.ctx, "current", version(c.seq))
	t = transfer{wire: onLoopback(c.b) - was, seconds: e.at().Sub(began).Seconds(), payload: e.Fetched}
	checkCopy(c.b, filepath.Join(c.to, "current", "data", "file"), data)
	return t
}

func (c *oursCopy) stop() {
	c.follower.stop()
	c.publisher.stop()
}

// rsyncCopy copies the file from an rsync daemon, on whose side it changes.
type rsyncCopy struct {
	b      *testing.B
	ctx    context.Context
	from   string
	to     string
	daemon *process
}

const rsyncAddr, rsyncPort = "10.8.72.3", "8730"

func newRsync(ctx context.Context, b *testing.B) *rsyncCopy {
	c := &rsyncCopy{b: b, ctx: ctx, from: b.TempDir(), to: b.TempDir()}
	config := filepath.Join(b.TempDir(), "rsyncd.conf")
	must(b, os.WriteFile(config, fmt.Appendf(nil, "use chroot = no\nreverse lookup = no\nuid = root\ngid = root\n[files]\npath = %s\n", c.from), 0o644))
	c.daemon = start(b, "rsync daemon", func(p *process, line string) { p.logf(line) },
		"rsync", "--daemon", "--no-detach", "--config", config, "--address", rsyncAddr, "--port", rsyncPort)
	return c
}

func (c *rsyncCopy) transfer(data, before []byte) (t transfer) {
	path := filepath.Join(c.from, "file")
	rewrite(c.b, path, data, before)
	began, was := time.Now(), onLoopback(c.b)
	c.daemon.poll(c.ctx, "the rsync daemon", func() bool {
		p := start(c.b, "rsync", func(p *process, line string) { p.logf(line) }, "rsync", "--no-whole-file", "--ignore-times", "rsync://"+rsyncAddr+":"+rsyncPort+"/files/file", c.to)
		return p.exit(c.ctx) == 0
	})
	t = transfer{wire: onLoopback(c.b) - was, seconds: time.Since(began).Seconds()}
	checkCopy(c.b, filepath.Join(c.to, "file"), data)
	return t
}

func (c *rsyncCopy) stop() { c.daemon.stop() }

// hyperCopy puts the file into a hyperdrive, and reads it from another one.
type hyperCopy struct {
	b            *testing.B
	ctx          context.Context
	path, copy   string
	source, sink *hyperdrive
	version      int64
}

//go:embed peers/hyperdrive/file.mjs
var hyperfileScript string

var hyperfilePath = sync.OnceValues(func() (string, error) { return npmScript("hyperdrive", hyperfileScript) })

func newHyperCopy(ctx context.Context, b *testing.B) *hyperCopy {
	c := &hyperCopy{b: b, ctx: ctx, path: filepath.Join(b.TempDir(), "file"), copy: filepath.Join(b.TempDir(), "file"), version: 1}
	c.source = startHyperdriveWith(b, hyperfilePath, "hyperdrive source", map[string]any{"role": "source", "dir": b.TempDir(), "file": c.path})
	ready := c.source.wait(ctx, "ready", 0)
	c.sink = startHyperdriveWith(b, hyperfilePath, "hyperdrive copy", map[string]any{"role": "copy", "dir": b.TempDir(), "file": c.copy, "key": ready.Key, "port": ready.Port})
	return c
}

func (c *hyperCopy) transfer(data, before []byte) (t transfer) {
	rewrite(c.b, c.path, data, before)
	was := onLoopback(c.b)
	c.version++
	_, err := c.source.in.Write([]byte("put\n"))
	must(c.b, err)
	began := c.source.wait(c.ctx, "put", c.version).at()
	t = transfer{seconds: c.sink.wait(c.ctx, "adopted", c.version).at().Sub(began).Seconds(), wire: onLoopback(c.b) - was}
	checkCopy(c.b, c.copy, data)
	return t
}

func (c *hyperCopy) stop() {
	c.sink.stop()
	c.source.stop()
}
