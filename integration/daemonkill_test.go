//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
	"seedbed/node/view"
)

// A daemon is killed with kill -9 at any instant while several clients use it. The next run
// has the session that the last answers described. A request without an answer may have taken
// effect or not.
func TestBatteryDaemonKills(t *testing.T) {
	need(t)
	kills := 10
	if os.Getenv("SEEDBED_SOAK") != "" {
		kills = 200
	}
	base, err := os.MkdirTemp("", "dk") // the path of a unix socket is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	k := daemonKill{t: t, base: base, torrents: map[string]kept{}}
	for i := range 40 {
		k.hashes = append(k.hashes, fmt.Sprintf("%040x", i+1))
	}
	answered := 0
	for i := range kills {
		answered += k.round(timeLimit(t), uint64(i))
		if t.Failed() {
			return
		}
	}
	if answered < kills {
		t.Errorf("only %d requests were answered", answered)
	}
	t.Logf("battery: %d times kill -9 of a daemon, %d answered requests: nothing lost, nothing half", kills, answered)
}

// kept is what the session must have of a torrent.
type kept struct {
	labels string
	up     int64
	paused bool
}

func keptOf(o *view.Torrent) kept {
	k := kept{up: o.UpLimit, paused: o.State == "paused"}
	if len(o.Labels) > 0 {
		k.labels = o.Labels[0]
	}
	return k
}

type daemonKill struct {
	t      *testing.T
	base   string
	hashes []string

	mu       sync.Mutex
	torrents map[string]kept
	answered int
}

// daemonClients is how many clients use the daemon. Each has torrents of its own, so that the order
// of requests about one torrent is known.
const daemonClients = 4

// round runs the daemon, checks the session, uses it and kills it. It returns the number of
// answered requests.
func (k *daemonKill) round(ctx context.Context, seed uint64) int {
	state := filepath.Join(k.base, "s")
	o := run(k.t, "10.4.191.1", offline("daemon", "-d", filepath.Join(k.base, "d"), "--state", state, "--http", "off")...)
	c := remote.OverSocket(remote.SocketPath(state))
	must(k.t, c.Ready(ctx))
	k.check(ctx, c)
	before := k.answered
	dice := rand.New(rand.NewPCG(seed, 7))
	kill := time.Duration(dice.Int64N(int64(400 * time.Millisecond)))
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	pending := make([]map[string][]kept, daemonClients)
	for i := range daemonClients {
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() { pending[i] = k.use(ctx, c, own, i) })
	}
	time.Sleep(kill)
	o.cmd.Process.Kill()
	<-o.ended
	cancel()
	wg.Wait()
	k.settle(pending)
	return k.answered - before
}

// gone is a torrent that is not in the session.
var gone = kept{up: -1}

// use sends random requests until one fails. It returns the possible states of the torrent
// that the last one was about.
func (k *daemonKill) use(ctx context.Context, c *remote.Client, dice *rand.Rand, number int) map[string][]kept {
	for {
		hash := k.hashes[dice.IntN(len(k.hashes)/daemonClients)*daemonClients+number]
		k.mu.Lock()
		now, has := k.torrents[hash]
		k.mu.Unlock()
		if !has {
			now = gone
		}
		next := now
		var err error
		switch op := dice.IntN(6); {
		case !has:
			next = kept{labels: fmt.Sprint(dice.IntN(100)), paused: true}
			_, _, err = c.Add(ctx, api.AddBody{Link: hash, Paused: true, Labels: []string{next.labels}})
		case op == 0:
			next = gone
			err = c.Remove(ctx, hash, false)
		case op == 1:
			next.paused = true
			_, err = c.Perform(ctx, "pause", hash)
		case op == 2:
			next.paused = false
			_, err = c.Perform(ctx, "resume", hash)
		case op == 3:
			next.up = dice.Int64N(1 << 20)
			_, err = c.Change(ctx, hash, api.TorrentChange{UpLimit: &next.up})
		default:
			next.labels = fmt.Sprint(dice.IntN(100))
			_, err = c.Change(ctx, hash, api.TorrentChange{Labels: &[]string{next.labels}})
		}
		var refused *api.Problem
		if errors.As(err, &refused) && refused.Status != 503 {
			k.t.Errorf("%s: %v", hash, err)
		}
		if err != nil {
			return map[string][]kept{hash: {now, next}}
		}
		k.mu.Lock()
		k.put(hash, next)
		k.answered++
		k.mu.Unlock()
	}
}

func (k *daemonKill) put(hash string, state kept) {
	if state == gone {
		delete(k.torrents, hash)
		return
	}
	k.torrents[hash] = state
}

// settle asks a new daemon which of the possible states the torrents of unanswered requests
// have; it must be one of them.
func (k *daemonKill) settle(pending []map[string][]kept) {
	ctx := timeLimit(k.t)
	state := filepath.Join(k.base, "s")
	o := run(k.t, "10.4.191.1", offline("daemon", "-d", filepath.Join(k.base, "d"), "--state", state, "--http", "off")...)
	c := remote.OverSocket(remote.SocketPath(state))
	must(k.t, c.Ready(ctx))
	for _, p := range pending {
		for hash, possible := range p {
			now := gone
			if t, err := c.Torrent(ctx, hash); err == nil {
				now = keptOf(t)
			}
			if !slices.Contains(possible, now) {
				k.t.Errorf("%s is %+v after a request without an answer; it can be %+v", hash, now, possible)
			}
			k.put(hash, now)
		}
	}
	k.check(ctx, c)
	o.stop()
}

// check compares the session with what was answered.
func (k *daemonKill) check(ctx context.Context, c *remote.Client) {
	all, err := c.List(ctx, remote.Filter{})
	must(k.t, err)
	got := map[string]kept{}
	for _, o := range all {
		got[o.InfoHash] = keptOf(o)
	}
	if !maps.Equal(got, k.torrents) {
		k.t.Errorf("the session has %v, want %v", got, k.torrents)
	}
	entries, err := os.ReadDir(filepath.Join(k.base, "s", "torrents"))
	must(k.t, err)
	for _, e := range entries { // a torrent that has only waited has no folder
		if _, has := k.torrents[e.Name()]; !has {
			k.t.Errorf("the state directory has the folder %s of a torrent that is not in the session", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(k.base, "s", "session.damaged")); err == nil {
		k.t.Error("a kill has damaged the session")
	}
}
