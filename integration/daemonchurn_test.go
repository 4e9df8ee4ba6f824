//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
)

// Programs use a daemon on all interfaces without a pause, for seven rounds of random operations on
// torrents that are downloaded, moved, checked and removed. After each round all
// interfaces list the same torrents. When these are removed, the daemon has as many goroutines and
// open files as after the first round, and no more memory.
func TestBatteryDaemonChurn(t *testing.T) {
	need(t)
	count, operations := 30, 300
	ctx := timeLimit(t)
	if os.Getenv("SEEDBED_SOAK") != "" {
		count, operations = 1000, 30_000
		ctx = t.Context() // go test's own time limit holds
	}
	source := t.TempDir()
	torrents := smallTorrents(t, filepath.Join(source, "data"), count, 40<<10)
	folder := filepath.Join(source, "torrents")
	must(t, os.Mkdir(folder, 0o755))
	for i, b := range torrents {
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprint(i, ".torrent")), b, 0o644))
	}
	seed := run(t, "10.4.195.1", offline("seed", "--torrents", folder, "-d", filepath.Join(source, "data"))...)
	seed.wait(ctx, "ready")

	c := &churn{t: t, torrents: torrents, dirs: []string{t.TempDir(), t.TempDir()}, peer: endpoint("10.4.195.1")}
	c.service = serve(t, ctx, "10.4.194.1", filepath.Join(shortDir(t), "s"), c.dirs[0], "--allow-path", c.dirs[1])
	var first, last usage
	for round := range 7 {
		c.round(ctx, uint64(round), operations)
		last = c.emptied(ctx)
		if round == 0 {
			first = last
		}
		t.Logf("round %d: %+v", round+1, last)
	}
	// Connections and idle goroutines of HTTP come and go.
	if last.goroutines > first.goroutines+10 || last.files > first.files+10 || last.kib > first.kib*3/2+8<<10 {
		t.Errorf("after the first round %+v, after the last %+v", first, last)
	}
	t.Logf("battery: 7 rounds of %d operations on %d torrents over REST, Transmission's RPC and the WebAPI: %+v after the first, %+v after the last",
		operations, count, first, last)
}

type churn struct {
	*service
	t        *testing.T
	torrents [][]byte
	dirs     []string
	peer     string

	mu     sync.Mutex
	hashes []string // of all torrents that were added so far
}

// usage is what a process uses.
type usage struct {
	goroutines, files int
	kib               float64 // of memory
}

// round makes three clients of each interface do random operations.
func (c *churn) round(ctx context.Context, number uint64, operations int) {
	var wg sync.WaitGroup
	for i := range 9 {
		dice := rand.New(rand.NewPCG(number, uint64(i)))
		do := []func(context.Context, *rand.Rand) error{c.overREST, c.overRPC(), c.overWebAPI}[i%3]
		wg.Go(func() {
			for range operations / 9 {
				if err := do(ctx, dice); err != nil && !isLate(err) {
					c.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c.listsAgree(ctx)
}

// isLate reports whether an operation failed because of what another client does to the torrent:
// it has removed it, or moves it elsewhere.
func isLate(err error) bool {
	if strings.Contains(err.Error(), "is being moved to") {
		return true
	}
	var p *api.Problem
	var r *refusal
	if errors.As(err, &p) {
		return p.Status == http.StatusNotFound || p.Status == http.StatusConflict
	}
	return errors.As(err, &r) && (r.status == http.StatusNotFound || r.status == http.StatusConflict)
}

// pick returns the infohash of a random torrent that was added at some time.
func (c *churn) pick(dice *rand.Rand) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hashes) == 0 {
		return strings.Repeat("0", 40)
	}
	return c.hashes[dice.IntN(len(c.hashes))]
}

func (c *churn) added(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.hashes, hash) {
		c.hashes = append(c.hashes, hash)
	}
}

func (c *churn) random(dice *rand.Rand) []byte { return c.torrents[dice.IntN(len(c.torrents))] }

func (c *churn) overREST(ctx context.Context, dice *rand.Rand) error {
	hash := c.pick(dice)
	switch dice.IntN(8) {
	case 0, 1:
		o, _, err := c.rest.Add(ctx, api.AddBody{Torrent: c.random(dice), Peers: []string{c.peer}, Overwrite: true})
		if err == nil {
			c.added(o.InfoHash)
		}
		return err
	case 2:
		return c.rest.Remove(ctx, hash, dice.IntN(2) == 0)
	case 3:
		_, err := c.rest.Perform(ctx, []string{"pause", "resume", "recheck"}[dice.IntN(3)], hash)
		return err
	case 4:
		_, err := c.rest.Move(ctx, hash, c.dirs[dice.IntN(2)], false)
		return err
	case 5:
		up := dice.Int64N(1 << 20)
		_, err := c.rest.Change(ctx, hash, api.TorrentChange{Labels: &[]string{fmt.Sprint(dice.IntN(9))}, UpLimit: &up})
		return err
	case 6:
		_, err := c.rest.List(ctx, remote.Filter{})
		return err
	}
	_, err := c.rest.Files(ctx, hash)
	return err
}

func (c *churn) overRPC() func(context.Context, *rand.Rand) error {
	rpc := &transmissionRPC{service: c.service}
	return func(ctx context.Context, dice *rand.Rand) error {
		ids := map[string]any{"ids": []string{c.pick(dice)}}
		switch dice.IntN(7) {
		case 0:
			ids["delete-local-data"] = dice.IntN(2) == 0
			_, err := rpc.call(ctx, "torrent-remove", ids)
			return err
		case 1:
			_, err := rpc.call(ctx, []string{"torrent-start", "torrent-stop", "torrent-verify"}[dice.IntN(3)], ids)
			return err
		case 2:
			ids["location"], ids["move"] = c.dirs[dice.IntN(2)], true
			_, err := rpc.call(ctx, "torrent-set-location", ids)
			return err
		case 3:
			ids["labels"], ids["seedRatioMode"], ids["seedRatioLimit"] = []string{"x"}, 1, 2.5
			_, err := rpc.call(ctx, "torrent-set", ids)
			return err
		case 4:
			_, err := rpc.call(ctx, "torrent-get", map[string]any{"ids": "recently-active", "fields": webFields})
			return err
		case 5:
			_, err := rpc.call(ctx, "torrent-add", map[string]any{"metainfo": c.random(dice), "paused": dice.IntN(2) == 0})
			return err
		}
		_, err := rpc.call(ctx, "torrent-get", map[string]any{"fields": webFields, "format": "table"})
		return err
	}
}

func (c *churn) overWebAPI(ctx context.Context, dice *rand.Rand) error {
	hash := c.pick(dice)
	one := url.Values{"hashes": {hash}}
	name := ""
	switch dice.IntN(6) {
	case 0:
		one.Set("deleteFiles", fmt.Sprint(dice.IntN(2) == 0))
		name = "torrents/delete"
	case 1:
		name = []string{"torrents/start", "torrents/stop", "torrents/recheck"}[dice.IntN(3)]
	case 2:
		one.Set("tags", "a,b")
		name = "torrents/addTags"
	case 3:
		name, one = "torrents/properties", url.Values{"hash": {hash}}
	case 4:
		name, one = "sync/maindata", url.Values{"rid": {fmt.Sprint(dice.IntN(5))}}
	default:
		name, one = "torrents/info", url.Values{}
	}
	_, err := c.webAPI(ctx, name, one)
	return err
}

// listsAgree checks that all interfaces list the same torrents. Removals may still continue after
// their answers.
func (c *churn) listsAgree(ctx context.Context) {
	c.t.Helper()
	var rest, rpc, web []string
	poll(ctx, c.t, "all interfaces to list the same torrents", func() bool {
		rest, rpc, web = nil, nil, nil
		all, err := c.rest.List(ctx, remote.Filter{})
		must(c.t, err)
		for _, o := range all {
			rest = append(rest, o.InfoHash)
		}
		b, err := (&transmissionRPC{service: c.service}).call(ctx, "torrent-get", map[string]any{"fields": []string{"hashString"}})
		must(c.t, err)
		var answer struct{ Torrents []struct{ HashString string } }
		must(c.t, json.Unmarshal(b, &answer))
		for _, o := range answer.Torrents {
			rpc = append(rpc, o.HashString)
		}
		b, err = c.webAPI(ctx, "torrents/info", url.Values{})
		must(c.t, err)
		var list []struct{ Hash string }
		must(c.t, json.Unmarshal(b, &list))
		for _, o := range list {
			web = append(web, o.Hash)
		}
		slices.Sort(rest)
		slices.Sort(rpc)
		slices.Sort(web)
		return slices.Equal(rest, rpc) && slices.Equal(rest, web)
	})
}

// emptied removes all torrents and returns what the daemon uses then.
func (c *churn) emptied(ctx context.Context) usage {
	c.t.Helper()
	_, err := c.webAPI(ctx, "torrents/delete", url.Values{"hashes": {"all"}, "deleteFiles": {"true"}})
	must(c.t, err)
	poll(ctx, c.t, "all torrents to be removed", func() bool {
		all, err := c.rest.List(ctx, remote.Filter{})
		must(c.t, err)
		return len(all) == 0
	})
	s, err := c.rest.Node(ctx)
	must(c.t, err)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	must(c.t, err)
	return usage{s.Goroutines, len(files), anonymous(c.t, c.cmd.Process.Pid)}
}
