//go:build linux

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
)

// pushSwarm is a publisher and its followers, each a process, in a DHT with nodes of seedbed, libtorrent and
// bittorrent-dht. Followers ask the DHT for versions once an hour, so that they have only what is pushed.
type pushSwarm struct {
	t         testing.TB
	ctx       context.Context
	entries   []string
	dir       string // what is published
	state     string // of the publisher
	publisher *ours
	followers []*ours
	folders   []string // of the followers
	digests   []string // of each version, from 1
}

const pushNet = "10.8.72."

func startPushSwarm(ctx context.Context, t testing.TB, followers, direct int) *pushSwarm {
	all := private4.join(t)
	s := &pushSwarm{t: t, ctx: ctx, entries: []string{all[0], all[private4.ours]}, dir: filepath.Join(t.TempDir(), "pages"), state: t.TempDir()}
	webtorrent{}.join(ctx, t, pushNet+"9", s.entries)
	s.write("first")
	s.publish("--connections", fmt.Sprint(direct), "--watch", "--watch-every", "300ms")
	link := s.publisher.wait(ctx, "published", version(1)).Link
	for i := range followers {
		to := t.TempDir()
		s.folders = append(s.folders, to)
		s.followers = append(s.followers, run(t, fmt.Sprint(pushNet, 10+i), entered(s.entries, "follow", link, "-d", to, "--poll", "1h")...))
	}
	s.reach(1)
	return s
}

// publish starts the publisher, again if it was killed.
func (s *pushSwarm) publish(args ...string) {
	s.publisher = run(s.t, pushNet+"1", entered(s.entries, append([]string{"publish", s.dir, "--key", "pushed", "--state", s.state}, args...)...)...)
}

// write changes the folder. It is the next version.
func (s *pushSwarm) write(text string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(s.dir, 0o755))
	must(s.t, os.WriteFile(filepath.Join(s.dir, "page"), []byte(text), 0o644))
	d, err := digestOf(s.dir)
	must(s.t, err)
	s.digests = append(s.digests, d)
}

// reach waits until every follower has a version, and checks its content.
func (s *pushSwarm) reach(seq int64) {
	s.t.Helper()
	for i, f := range s.followers {
		f.wait(s.ctx, "current", version(seq))
		if d, err := digestOf(filepath.Join(s.folders[i], "current", "pages")); err != nil || d != s.digests[seq-1] {
			s.t.Errorf("follower %d has something else than version %d: %v", i, seq, err)
		}
	}
}

// push publishes a change, and returns how many milliseconds it took until each follower had it, sorted.
func (s *pushSwarm) push(text string) (took []float64) {
	s.t.Helper()
	s.write(text)
	seq := int64(len(s.digests))
	s.publisher.wait(s.ctx, "published", version(seq))
	began := s.publisher.last("added").at()
	for _, f := range s.followers {
		took = append(took, f.wait(s.ctx, "current", version(seq)).at().Sub(began).Seconds()*1000)
	}
	s.reach(seq)
	slices.Sort(took)
	return took
}

// attack connects a liar of each kind to the publisher and every follower until stop is called.
func (s *pushSwarm) attack() (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.t.Cleanup(cancel)
	var wg sync.WaitGroup
	var liars []*nodetest.Liar
	for lie := range nodetest.Lies {
		l := nodetest.NewLiar(lie)
		liars = append(liars, l)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprint(pushNet, 200+int(lie)))}}
		for i := range len(s.followers) + 1 {
			of, event, to := s.publisher, "published", pushNet+"1"
			if i > 0 {
				of, event, to = s.followers[i-1], "current", fmt.Sprint(pushNet, 10+i-1)
			}
			infohash := func() (h id.ID) {
				h, _ = id.ParseHex(of.last(event).Infohash)
				return h
			}
			wg.Go(func() {
				l.Run(ctx, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", endpoint(to)) }, infohash)
			})
		}
	}
	return func() {
		cancel()
		wg.Wait()
		for lie, l := range liars {
			items, conns := l.Sent()
			s.t.Logf("liar %d sent %d items over %d connections", lie, items, conns)
			if items == 0 {
				s.t.Errorf("liar %d sent no item", lie)
			}
		}
	}
}

// A publisher is killed in the middle of a push, and peers replay old items, forge newer ones, send those of another key and
// flood: nobody adopts anything but what was published, and everybody has each version in the end. With SEEDBED_SOAK there
// are 50 followers, and the liars may slow them down by at most 10 %. That is a ratio of what this machine does with and
// without the liars, which run on it too.
func TestBatteryPush(t *testing.T) {
	need(t, libtorrent{}, webtorrent{})
	followers, direct, changes := 6, 3, 1
	isSoak := os.Getenv("SEEDBED_SOAK") != ""
	switch {
	case isSoak:
		followers, direct, changes = 50, 10, 5
	default:
		t.Parallel()
	}
	ctx := timeLimit(t)
	s := startPushSwarm(ctx, t, followers, direct)
	var honest, attacked []float64
	for i := range changes {
		honest = append(honest, s.push(fmt.Sprint("honest ", i))...)
	}
	stop := s.attack()
	for i := range changes {
		attacked = append(attacked, s.push(fmt.Sprint("attacked ", i))...)
	}
	slices.Sort(honest)
	slices.Sort(attacked)
	before, after := percentile(honest, 95), percentile(attacked, 95)
	t.Logf("p95 of %d followers: %.0f ms, with liars %.0f ms", followers, before, after)
	if isSoak && after > 1.1*before {
		t.Errorf("liars slow the followers down: 95 %% have a version after %.0f ms, without them after %.0f ms", after, before)
	}

	// The first follower has just learned of the next version.
	s.write("in the middle")
	seq := int64(len(s.digests))
	s.followers[0].wait(ctx, "version", version(seq))
	must(t, s.publisher.cmd.Process.Signal(syscall.SIGKILL))
	<-s.publisher.ended
	time.Sleep(time.Second)
	for i, f := range s.followers {
		e := f.last("current")
		if e.Seq < seq-1 || e.Seq > seq {
			t.Errorf("follower %d is at version %d, while version %d is pushed", i, e.Seq, seq)
		}
		if d, err := digestOf(filepath.Join(resolved(t, s.folders[i]), "pages")); err != nil || !slices.Contains(s.digests[seq-2:], d) {
			t.Errorf("follower %d has neither version: %v", i, err)
		}
	}
	s.publish()
	s.reach(seq)
	stop()
	for i, f := range s.followers {
		for _, e := range f.every("current") {
			if e.Seq < 1 || e.Seq > seq {
				t.Errorf("follower %d has adopted version %d, which was never published", i, e.Seq)
			}
		}
		for _, e := range f.every("warning") {
			t.Errorf("follower %d warns: %s (%s)", i, e.Error, e.Hint)
		}
	}
}
