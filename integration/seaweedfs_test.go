//go:build linux

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"seedbed/internal/objectstore"
)

// seaweedFS is a SeaweedFS: a master, three volume servers, and a filer with an S3 gateway. It has two replicas of everything.
type seaweedFS struct {
	*objectStore
	volumes []*process
}

// startSeaweedFS starts a SeaweedFS with an empty bucket, on addresses that begin with those of a network.
func startSeaweedFS(ctx context.Context, t testing.TB, network string) *seaweedFS {
	t.Helper()
	needCommands(t, "s3cmd")
	weed := filepath.Join(npmPath("seaweedfs"), "weed")
	if _, err := os.Stat(weed); err != nil {
		skipIfMissing(t, []string{"there is no SeaweedFS (`make soak` builds it)"})
	}
	base := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(base, name)
		must(t, os.Mkdir(path, 0o755))
		return path
	}
	run := func(role string, host int, args ...string) *process {
		ip := fmt.Sprintf("%s.%d", network, host)
		return start(t, fmt.Sprint("weed ", role, " ", host), nil, slices.Concat([]string{weed, "-logtostderr", role, "-ip=" + ip}, args)...)
	}
	run("master", 1, "-mdir="+folder("master"), "-peers=none", "-defaultReplication=001", "-volumeSizeLimitMB=64", "-telemetry=false")
	master := "-master=" + network + ".1:9333"
	s := new(seaweedFS)
	for i := range 3 {
		s.volumes = append(s.volumes, run("volume", 11+i, master, "-dir="+folder(fmt.Sprint("volume", i)), "-max=40", "-minFreeSpace=0"))
	}
	keys := filepath.Join(base, "keys.json")
	must(t, os.WriteFile(keys, fmt.Appendf(nil, `{"identities": [{"name": "tests", "credentials": [{"accessKey": %q, "secretKey": %q}],
"actions": ["Admin", "Read", "Write", "List"]}]}`, accessKey, secretKey), 0o600))
	s.objectStore = newObjectStore(t, net.JoinHostPort(network+".2", "8333"), weed, "-logtostderr", "filer", "-ip="+network+".2", master,
		"-defaultStoreDir="+folder("filer"), "-localSocket="+filepath.Join(shortDir(t), "s"), "-s3", "-s3.config="+keys, "-s3.port.iceberg=0", "-iam=false")
	s.start(ctx)
	s.poll(ctx, "SeaweedFS", func() bool {
		return exec.CommandContext(ctx, "s3cmd", "--config", s.config, "mb", "s3://"+bucket).Run() == nil
	})
	// Until the filer knows who gives out locks, a write waits for a minute.
	s.poll(ctx, "SeaweedFS to write", func() bool {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return exec.CommandContext(ctx, "s3cmd", "--config", s.config, "put", s.config, "s3://"+bucket+"/first").Run() == nil
	})
	return s
}

// The rows of docs/performance.md about a real object store of several servers. It takes minutes to build, so it only runs
// with SEEDBED_SOAK.
func TestBatterySeaweedFS(t *testing.T) {
	if os.Getenv("SEEDBED_SOAK") == "" {
		t.Skip("only `make soak` builds SeaweedFS")
	}
	need(t, libtorrent{})
	ctx := timeLimit(t)
	s := startSeaweedFS(ctx, t, "10.20.60")
	t.Run("a download into it", func(t *testing.T) {
		s.download(ctx, t, tree(t, "downloaded objects", 24<<20), "10.20.61.1", "10.20.61.2")
	})
	t.Run("races for an object", func(t *testing.T) { s.races(ctx, t, 1000) })
	t.Run("races of publishers", func(t *testing.T) { s.racePublishers(ctx, t, "10.20.68", 1000) })
	t.Run("a catalogue", func(t *testing.T) { s.catalogue(ctx, t, 3000) })
	t.Run("faults at random", func(t *testing.T) { s.failsAtRandom(ctx, t, "10.20.64") })
	t.Run("away for a minute", func(t *testing.T) { s.goesAway(ctx, t, "10.20.65", time.Minute) })
	t.Run("a node of a fleet is killed", func(t *testing.T) { s.losesNode(ctx, t, "10.20.66") })
	t.Run("a volume server hangs", func(t *testing.T) {
		s.losesVolume(ctx, t, "10.20.67", syscall.SIGSTOP)
		must(t, syscall.Kill(-s.volumes[1].cmd.Process.Pid, syscall.SIGCONT))
	})
	t.Run("a volume server is killed", func(t *testing.T) { s.losesVolume(ctx, t, "10.20.63", syscall.SIGKILL) })
}

// races has two clients add a line to an object again and again, each on the condition that it is still the one that it has
// read. Exactly one of them succeeds each time, and no line is lost.
func (s *seaweedFS) races(ctx context.Context, t *testing.T, rounds int) {
	const name = "record"
	store := s.open("races/")
	must(t, store.CheckConditions(ctx, "check/"))
	began := time.Now()
	var lines []byte
	for i := range rounds {
		when := objectstore.Condition{Absent: i == 0}
		if i > 0 {
			b, o, err := store.Load(ctx, name, 1<<20)
			must(t, err)
			if !bytes.Equal(b, lines) {
				t.Fatalf("round %d: the object has %q at its end", i, b[max(0, len(b)-40):])
			}
			when.ETag = o.ETag
		}
		var written [2][]byte
		var errs [2]error
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				written[k] = fmt.Appendf(slices.Clone(lines), "%d by %d\n", i, k)
				_, errs[k] = store.Write(ctx, name, written[k], "text/plain", when)
			})
		}
		wg.Wait()
		won := slices.Index(errs[:], nil)
		if won < 0 || objectstore.KindOf(errs[1-won]) != objectstore.Changed {
			t.Fatalf("round %d: %v", i, errs)
		}
		lines = written[won]
	}
	t.Logf("battery: %d races of two conditional writes to SeaweedFS, one of each succeeded, in %.0f s", rounds, time.Since(began).Seconds())
}

// catalogue has a daemon share some thousand torrents of the store, and serve one of them on demand.
func (s *seaweedFS) catalogue(ctx context.Context, t *testing.T, torrents int) {
	wanted := single(t, "wanted film", 4<<20)
	s.put(ctx, wanted, "films/")
	store := s.open("films/.seedbed/torrents/")
	names := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range names {
				info := map[string]any{"name": fmt.Sprint("film ", i), "length": 1000, "piece length": piece, "pieces": strings.Repeat("x", 20)}
				if _, err := store.Write(ctx, fmt.Sprint(i, ".torrent"), bencode(nil, map[string]any{"info": info}), "", objectstore.Condition{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range torrents - 1 {
		names <- i
	}
	close(names)
	wg.Wait()
	output(ctx, t, append(s.command(), "catalogue", "add", wanted.torrent, "--store", inStore)...)

	began := time.Now()
	d := serveAs(t, ctx, s.command(), "10.20.62.1", filepath.Join(shortDir(t), "s"), t.TempDir(), "--store", inStore, "--cache", t.TempDir(), "--cache-size", "1G")
	poll(ctx, t, "the catalogue", func() bool {
		c, err := d.rest.Catalogue(ctx)
		must(t, err)
		return c.Torrents == torrents
	})
	listed := time.Since(began)
	dir := t.TempDir()
	began = time.Now()
	run(t, "10.20.62.2", offline(slices.Concat([]string{"get", wanted.torrent, "-d", dir}, peersAt("10.20.62.1"))...)...).ends(ctx, 0)
	wanted.same(t, dir, true)
	t.Logf("battery: a daemon has %d torrents of SeaweedFS %.1f s after its start, and a peer one of them after %.1f s",
		torrents, listed.Seconds(), time.Since(began).Seconds())
}

// losesVolume sends a signal to a volume server while three clients download. All bytes are right, and they come on. Addresses of them
// begin with those of a network.
func (s *seaweedFS) losesVolume(ctx context.Context, t *testing.T, network string, signal syscall.Signal) {
	const longest = 10 * time.Second
	p := single(t, fmt.Sprint("film on three servers, ", signal), 192<<20)
	s.put(ctx, p, "films/")
	p.torrent = s.create(ctx, t, p)
	proxy := s.proxied(t, network+".1")
	s.seedStore(ctx, t, network+".2", p, t.TempDir(), "--up-limit", "12M")

	var answers rawAnswers
	var err error
	var raw sync.WaitGroup
	raw.Go(func() { answers, err = askRaw(ctx, network+".3", network+".2", p, 20) })
	theirs, own := t.TempDir(), t.TempDir()
	l := libtorrent{}.with(t, network+".4", nil, map[string]any{"peers": []string{endpoint(network + ".2")}, "sequential": true})
	l.leech(ctx, p.torrent, theirs)
	get := run(t, network+".5", offline(slices.Concat([]string{"get", p.torrent, "-d", own, "--sequential"}, peersAt(network+".2"))...)...)
	get.wait(ctx, "progress", func(e event) bool { return e.Have > p.size/4 })
	before := proxy.read.Load()
	must(t, syscall.Kill(-s.volumes[1].cmd.Process.Pid, signal))

	get.ends(ctx, 0)
	p.same(t, own, true)
	l.done(ctx)
	p.same(t, theirs, false)
	raw.Wait()
	must(t, errors.Join(err, ctx.Err()))
	stall := stallOf(get)
	t.Logf("battery: %v came to a volume server of SeaweedFS after %.0f%% of the bytes; %d blocks, of which %d were wrong; the longest stalls were %.1f s and %.1f s; %.2f of the size was read in %d requests",
		signal, 100*float64(before)/float64(p.size), answers.blocks, answers.wrong, answers.stall.Seconds(), stall.Seconds(), float64(proxy.read.Load())/float64(p.size), proxy.gets.Load())
	if answers.wrong > 0 || answers.missing() > 0 || max(answers.stall, stall) > longest {
		t.Errorf("%+v, and a stall of %v", answers, stall)
	}
	if before*10 > p.size*8 {
		t.Errorf("%d of %d bytes had been read when it was killed, so that it was hardly needed", before, p.size)
	}
}

// stallOf returns the longest time in which a download did not get on.
func stallOf(o *ours) (longest time.Duration) {
	var last event
	for _, e := range o.every("progress") {
		if e.Have == last.Have {
			continue
		}
		if last.Have > 0 {
			longest = max(longest, e.at().Sub(last.at()))
		}
		last = e
	}
	return longest
}
