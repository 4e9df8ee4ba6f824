//go:build linux

package integration

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
	"seedbed/node/view"
)

// The bars of the daemon: the time in which it answers other programs, even while the disk hangs.

// stoppable mounts a folder at another path through a process. While the process is stopped,
// all access to that path hangs.
func stoppable(b *testing.B, ctx context.Context, folder string) (dir string, stop, resume func()) {
	b.Helper()
	needCommands(b, "bindfs")
	dir = filepath.Join(shortDir(b), "m")
	must(b, os.Mkdir(dir, 0o755))
	p := start(b, "bindfs", nil, "bindfs", "-f", "--no-allow-other", folder, dir)
	resume = func() { p.cmd.Process.Signal(syscall.SIGCONT) }
	b.Cleanup(func() {
		resume()
		exec.Command("umount", "-l", dir).Run()
	})
	poll(ctx, b, "the mount", func() bool {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		return err == nil && bytes.Contains(mounts, []byte(dir))
	})
	return dir, func() { p.cmd.Process.Signal(syscall.SIGSTOP) }, resume
}

// daemonBarTime returns a context that limits the time of one of these measurements.
func daemonBarTime(b *testing.B) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), 15*time.Minute)
	b.Cleanup(cancel)
	return ctx
}

// webFields are the fields that a web page requests.
var webFields = strings.Fields(`id hashString name status error errorString eta isFinished isStalled leftUntilDone metadataPercentComplete
	peersConnected peersGettingFromUs peersSendingToUs percentDone queuePosition rateDownload rateUpload recheckProgress
	seedRatioMode seedRatioLimit sizeWhenDone totalSize downloadDir`)

// A mix sends the requests of several programs at once, on all interfaces.
type mix struct {
	*service
	hashes []string // torrents to change
}

const mixClients = 4

// mixPause is the time between two requests of a client: together they are as many as a hundred programs
// that poll every second. Without a pause, the clients and the daemon would compete for the processor, and
// the answers would measure that.
const mixPause = 40 * time.Millisecond

// during sends requests until the time has passed and returns how long each took, in milliseconds.
func (m *mix) during(ctx context.Context, d time.Duration) []float64 {
	var mu sync.Mutex
	var took []float64
	slowest, slowestMS := "", 0.0
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for i := range mixClients {
		dice := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
		rpc := &transmissionRPC{service: m.service}
		if _, err := rpc.call(ctx, "session-get", nil); err != nil {
			m.t.Fatal(err)
		}
		wg.Go(func() {
			for time.Now().Before(end) {
				began := time.Now()
				what, err := m.one(ctx, dice, rpc)
				ms := time.Since(began).Seconds() * 1000
				if err != nil {
					m.t.Errorf("%s: %v", what, err)
				}
				mu.Lock()
				took = append(took, ms)
				if ms > slowestMS {
					slowest, slowestMS = what, ms
				}
				mu.Unlock()
				time.Sleep(mixPause)
			}
		})
	}
	wg.Wait()
	m.t.Logf("%d requests; the slowest, %s, took %.1f ms", len(took), slowest, slowestMS)
	slices.Sort(took)
	return took
}

// one sends one request and returns its description.
func (m *mix) one(ctx context.Context, dice *rand.Rand, rpc *transmissionRPC) (what string, err error) {
	hash := m.hashes[dice.IntN(len(m.hashes))]
	form := url.Values{"hashes": {hash}}
	switch dice.IntN(12) {
	case 0:
		_, err = m.send(ctx, "GET", "/v1/torrents", "", nil)
		return "list", err
	case 1:
		_, err = m.rest.Torrent(ctx, hash)
		return "show", err
	case 2:
		_, err = m.send(ctx, "POST", "/v1/torrents/"+hash+"/pause", "", nil)
		return "pause", err
	case 3:
		_, err = m.send(ctx, "POST", "/v1/torrents/"+hash+"/resume", "", nil)
		return "resume", err
	case 4:
		_, err = m.send(ctx, "PATCH", "/v1/torrents/"+hash, "application/json", []byte(encode(api.TorrentChange{Labels: &[]string{fmt.Sprint(dice.IntN(100))}})))
		return "label", err
	case 5:
		o, _, err := m.rest.Add(ctx, api.AddBody{Link: magnetOf(dice.Int()), Paused: true})
		if err == nil { // otherwise the lists grow
			_, err = m.send(ctx, "DELETE", "/v1/torrents/"+o.InfoHash, "", nil)
		}
		return "add and remove", err
	case 6:
		_, err = rpc.call(ctx, "torrent-get", map[string]any{"fields": webFields})
		return "torrent-get", err
	case 7:
		_, err = rpc.call(ctx, "torrent-set", map[string]any{"ids": []string{hash}, "uploadLimit": dice.IntN(1000), "uploadLimited": true})
		return "torrent-set", err
	case 8:
		_, err = rpc.call(ctx, "torrent-verify", map[string]any{"ids": []string{hash}})
		return "torrent-verify", err
	case 9:
		_, err = m.webAPI(ctx, "sync/maindata", url.Values{})
		return "maindata", err
	case 10:
		_, err = m.webAPI(ctx, "torrents/stop", form)
		return "stop", err
	default:
		_, err = m.webAPI(ctx, "torrents/start", form)
		return "start", err
	}
}

// p99 is the 99th percentile of a sorted list.
func p99(v []float64) float64 { return v[len(v)*99/100] }

// maxAnswer is the bar for the 99th percentile of the time to answer, in milliseconds.
const maxAnswer = 20

// The daemon answers in time while the disk of the data hangs for ten seconds, and while a large
// torrent is copied. The state directory is on another disk, which works.
func BenchmarkBarDaemonAnswersWhileTheDiskHangs(b *testing.B) {
	need(b)
	ctx := daemonBarTime(b)
	base := b.TempDir()
	dir, hang, resume := stoppable(b, ctx, base)
	s := serve(b, ctx, "10.2.91.1", filepath.Join(shortDir(b), "s"), dir)
	m := &mix{service: s}
	for _, t := range smallTorrents(b, base, 100, 64<<10) {
		o, _, err := s.rest.Add(ctx, api.AddBody{Torrent: t, Dir: dir})
		must(b, err)
		m.hashes = append(m.hashes, o.InfoHash)
	}
	// A download that writes all the time.
	p := newPayload(b, "written", 256<<10, false, map[string]int{"": 256 << 20})
	seedOurs(b, ctx, "10.2.92.1", p, "--up-limit", "4M")
	_, _, err := s.rest.Add(ctx, api.AddBody{Link: p.from("10.2.92.1"), Dir: dir})
	must(b, err)
	poll(ctx, b, "the download", func() bool {
		o, err := s.rest.Torrent(ctx, p.infohash)
		return err == nil && o.Have > 1<<20
	})
	for range b.N { // -benchtime 1x
		before := p99(m.during(ctx, 5*time.Second))
		b.Logf("p99 before the disk hangs: %.1f ms", before) // a bar that fails reports no metrics
		b.ReportMetric(before, "p99-ms")
		hang()
		took := m.during(ctx, 10*time.Second)
		resume()
		b.ReportMetric(float64(len(took)), "requests")
		atMost(b, "hanging-p99-ms", p99(took), maxAnswer)
	}
	b.ReportMetric(0, "ns/op")
}

// movedGiB is the size of the torrent that BenchmarkBarDaemonAnswersDuringAMove moves.
const movedGiB = 10

func BenchmarkBarDaemonAnswersDuringAMove(b *testing.B) {
	need(b)
	ctx := daemonBarTime(b)
	base, other := b.TempDir(), b.TempDir()
	to, _, _ := stoppable(b, ctx, other) // another file system
	s := serve(b, ctx, "10.2.93.1", filepath.Join(shortDir(b), "s"), base, "--allow-path", to)
	m := &mix{service: s}
	for _, t := range smallTorrents(b, base, 100, 64<<10) {
		o, _, err := s.rest.Add(ctx, api.AddBody{Torrent: t})
		must(b, err)
		m.hashes = append(m.hashes, o.InfoHash)
	}
	const piece = 16 << 20
	content := bytes.Repeat([]byte("a piece "), piece/8)
	f, err := os.Create(filepath.Join(base, "large"))
	must(b, err)
	for range movedGiB << 30 / piece {
		_, err := f.Write(content)
		must(b, err)
	}
	must(b, f.Close())
	hash := sha1.Sum(content)
	large, _, err := s.rest.Add(ctx, api.AddBody{Torrent: bencode(nil, map[string]any{"info": map[string]any{
		"length": movedGiB << 30, "name": "large", "piece length": piece, "pieces": strings.Repeat(string(hash[:]), movedGiB<<30/piece)}})})
	must(b, err)
	until := func(what string, ok func(*view.Torrent) bool) {
		poll(ctx, b, what, func() bool {
			o, err := s.rest.Torrent(ctx, large.InfoHash)
			must(b, err)
			return ok(o)
		})
	}
	until("the torrent to be checked", func(o *view.Torrent) bool { return o.State == "seeding" })
	for range b.N { // -benchtime 1x
		_, err := s.send(ctx, "POST", "/v1/torrents/"+large.InfoHash+"/move", "application/json", []byte(encode(map[string]string{"dir": to})))
		must(b, err)
		var took []float64
		moving := func() bool {
			o, err := s.rest.Torrent(ctx, large.InfoHash)
			must(b, err)
			return o.State == "moving"
		}
		until("the move", func(*view.Torrent) bool { return moving() })
		began := time.Now()
		for moving() {
			took = append(took, m.during(ctx, time.Second)...)
		}
		slices.Sort(took)
		b.ReportMetric(time.Since(began).Seconds(), "move-s")
		b.ReportMetric(float64(len(took)), "requests")
		atMost(b, "moving-p99-ms", p99(took), maxAnswer)
	}
	b.ReportMetric(0, "ns/op")
}

// Ten thousand links are added over each interface in at most five seconds. Then nothing changes,
// and a program that asks what has changed gets a short answer at once. Ten thousand torrents that
// are complete and idle take at most 80 MiB.
func BenchmarkBarDaemonTenThousand(b *testing.B) {
	const count = 10_000
	need(b)
	ctx := daemonBarTime(b)
	b.ReportMetric(0, "ns/op")
	for range b.N { // -benchtime 1x
		for name, add := range map[string]func(s *service, rpc *transmissionRPC){
			"rest": func(s *service, _ *transmissionRPC) {
				var g errgroup.Group
				for i := range mixClients {
					g.Go(func() error {
						for k := i; k < count; k += mixClients {
							if _, _, err := s.rest.Add(ctx, api.AddBody{Link: magnetOf(k + 1), Paused: true}); err != nil {
								return err
							}
						}
						return nil
					})
				}
				must(b, g.Wait())
			},
			"transmission": func(_ *service, rpc *transmissionRPC) {
				for k := range count {
					_, err := rpc.call(ctx, "torrent-add", map[string]any{"filename": magnetOf(k + 1), "paused": true})
					must(b, err)
				}
			},
			"webapi": func(s *service, _ *transmissionRPC) {
				const each = 100 // links in a request
				for k := 0; k < count; k += each {
					var links []string
					for i := range each {
						links = append(links, magnetOf(k+i+1))
					}
					_, err := s.webAPI(ctx, "torrents/add", url.Values{"urls": {strings.Join(links, "\n")}, "stopped": {"true"}})
					must(b, err)
				}
			},
		} {
			s := serve(b, ctx, "10.2.94.1", filepath.Join(shortDir(b), "s"), b.TempDir())
			rpc := &transmissionRPC{service: s}
			_, err := rpc.call(ctx, "session-get", nil)
			must(b, err)
			began := time.Now()
			add(s, rpc)
			atMost(b, "add-"+name+"-s", time.Since(began).Seconds(), 5)
			list, err := rpc.call(ctx, "torrent-get", map[string]any{"fields": []string{"id"}, "format": "table"})
			must(b, err)
			if rows := bytes.Count(list, []byte("[")) - 2; rows != count {
				b.Errorf("%s: there are %d torrents", name, rows)
			}
			b.ReportMetric(anonymous(b, s.cmd.Process.Pid)/1024, name+"-links-MiB")
			if name == "rest" {
				nothingChanged(b, ctx, s)
			}
			s.stop()
		}
		parked(b, ctx, count)
	}
}

// nothingChanged measures the answers to a program that asks what has changed, when nothing has.
func nothingChanged(b *testing.B, ctx context.Context, s *service) {
	b.Helper()
	time.Sleep(61 * time.Second) // until no torrent counts as recently active
	rpc := &transmissionRPC{service: s}
	full, err := s.webAPI(ctx, "sync/maindata", url.Values{})
	must(b, err)
	b.ReportMetric(float64(len(full)), "maindata-full-bytes")
	var first struct{ Rid int }
	must(b, json.Unmarshal(full, &first))
	cursor, err := s.rest.Cursor(ctx)
	must(b, err)
	rid := first.Rid
	for name, ask := range map[string]func() ([]byte, error){
		"changes": func() ([]byte, error) { return s.send(ctx, "GET", fmt.Sprint("/v1/changes?since=", cursor), "", nil) },
		"recently-active": func() ([]byte, error) {
			return rpc.call(ctx, "torrent-get", map[string]any{"fields": webFields, "ids": "recently-active"})
		},
		"maindata": func() ([]byte, error) {
			answer, err := s.webAPI(ctx, "sync/maindata", url.Values{"rid": {fmt.Sprint(rid)}})
			var next struct{ Rid int }
			if err == nil {
				err = json.Unmarshal(answer, &next)
			}
			rid = next.Rid
			return answer, err
		},
	} {
		var took []float64
		size := 0
		for range 200 {
			began := time.Now()
			answer, err := ask()
			must(b, err)
			took, size = append(took, time.Since(began).Seconds()*1000), len(answer)
		}
		atMost(b, name+"-ms", median(took), 1)
		atMost(b, name+"-bytes", float64(size), 200)
	}
}

// parked measures the memory of a daemon with many complete torrents that no peer asks for.
func parked(b *testing.B, ctx context.Context, count int) {
	b.Helper()
	data := b.TempDir()
	state := filepath.Join(shortDir(b), "s")
	s := serve(b, ctx, "10.2.95.1", state, data)
	torrents := smallTorrents(b, data, count, 4<<10)
	var g errgroup.Group
	for i := range mixClients {
		g.Go(func() error {
			for k := i; k < count; k += mixClients {
				if _, _, err := s.rest.Add(ctx, api.AddBody{Torrent: torrents[k], Seed: true}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(b, g.Wait())
	s.stop()
	s = serve(b, ctx, "10.2.95.1", state, data)
	settled := func() bool {
		n := 0
		for _, state := range []string{"seeding", "parked"} {
			l, err := s.rest.List(ctx, remote.Filter{State: state})
			must(b, err)
			n += len(l)
		}
		return n == count
	}
	poll(ctx, b, "all torrents to be complete", settled)
	time.Sleep(10 * time.Second) // until the garbage has been freed
	atMost(b, "parked-MiB", anonymous(b, s.cmd.Process.Pid)/1024, 80)
	s.stop()
}

// The fields that a web page polls of 500 torrents take at most half of the time that Transmission
// takes.
func BenchmarkBarDaemonTorrentGet(b *testing.B) {
	need(b, transmission{})
	ctx := daemonBarTime(b)
	data := b.TempDir()
	s := serve(b, ctx, "10.2.96.1", filepath.Join(shortDir(b), "s"), data)
	ours := &transmissionRPC{service: s}
	other := transmission{}.start(b, "10.2.97.1", nil).(*transmissionDaemon)
	for _, t := range smallTorrents(b, data, 500, 4<<10) {
		_, err := ours.call(ctx, "torrent-add", map[string]any{"metainfo": t, "paused": true, "download-dir": data})
		must(b, err)
		other.request(ctx, "torrent-add", map[string]any{"metainfo": t, "paused": true, "download-dir": b.TempDir()})
	}
	each := func(call func(args map[string]any) error, format string) func() float64 {
		args := map[string]any{"fields": webFields, "format": format}
		return func() float64 {
			began := time.Now()
			for range 100 {
				must(b, call(args))
			}
			return time.Since(began).Seconds() * 10 // ms of one call
		}
	}
	for _, format := range []string{"objects", "table"} {
		b.Run(format, func(b *testing.B) {
			compare(b, "ms", 0.5,
				each(func(args map[string]any) error { _, err := ours.call(ctx, "torrent-get", args); return err }, format),
				each(func(args map[string]any) error { return other.call(ctx, "torrent-get", args, nil) }, format))
		})
	}
}

// A change is an event of the stream at most 50 ms after its request was answered.
func BenchmarkBarDaemonEvents(b *testing.B) {
	need(b)
	ctx := daemonBarTime(b)
	s := serve(b, ctx, "10.2.98.1", filepath.Join(shortDir(b), "s"), b.TempDir())
	cursor, err := s.rest.Cursor(ctx)
	must(b, err)
	events, err := s.rest.Events(ctx, cursor)
	must(b, err)
	defer events.Close()
	seen := make(chan string, 1000)
	go events.Read(func(kind string, data []byte) error {
		var c api.Changes
		if kind == "changes" && json.Unmarshal(data, &c) == nil {
			for _, t := range c.Changed {
				seen <- t.InfoHash
			}
		}
		return nil
	})
	b.ReportMetric(0, "ns/op")
	for range b.N { // -benchtime 1x
		var took []float64
		for i := range 200 {
			o, _, err := s.rest.Add(ctx, api.AddBody{Link: magnetOf(i + 1), Paused: true})
			must(b, err)
			began := time.Now()
			for hash := ""; hash != o.InfoHash; {
				select {
				case hash = <-seen:
				case <-ctx.Done():
					b.Fatalf("no event about torrent %d", i)
				}
			}
			took = append(took, time.Since(began).Seconds()*1000)
		}
		slices.Sort(took)
		atMost(b, "event-p99-ms", p99(took), 50)
	}
}
