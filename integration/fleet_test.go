//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// startFleet adds a torrent to the catalogue of a store, starts daemons over the store, which know each other, and waits until all of
// them have the torrent and its owners are known.
func (o *objectStore) startFleet(ctx context.Context, t testing.TB, p *payload, ips []string, args ...string) (nodes []*service) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "fleet.key")
	output(ctx, t, seedbed, "fleet", "key", "-o", key)
	output(ctx, t, append(o.command(), "catalogue", "add", p.torrent, "--store", inStore)...)
	for i, ip := range ips {
		argv := slices.Concat([]string{"--store", inStore, "--cache", t.TempDir(), "--cache-size", "1G",
			"--fleet", ips[0] + ":7946", "--fleet-key", key, "--fleet-listen", ip + ":7946", "--fleet-name", fmt.Sprint("node", i)}, args)
		nodes = append(nodes, serveAs(t, ctx, o.command(), ip, filepath.Join(shortDir(t), "s"), t.TempDir(), argv...))
	}
	poll(ctx, t, "the torrent of the catalogue on all nodes", func() bool {
		return !slices.ContainsFunc(nodes, func(s *service) bool { return !s.has(ctx, p) })
	})
	poll(ctx, t, "the fleet to know its nodes", func() bool { return len(o.owners(ctx, t, nodes[0], p)) == min(2, len(ips)) })
	return nodes
}

// has reports whether a daemon has a torrent.
func (s *service) has(ctx context.Context, p *payload) bool {
	_, err := s.rest.Torrent(ctx, p.infohash)
	return err == nil
}

// owners returns the names of the nodes that announce p, as one of them sees it.
func (o *objectStore) owners(ctx context.Context, t testing.TB, s *service, p *payload) []string {
	t.Helper()
	var shown struct{ Owners []string }
	must(t, json.Unmarshal([]byte(output(ctx, t, seedbed, "fleet", "status", p.infohash, "--socket", s.socket, "--json")), &shown))
	return shown.Owners
}

// A node of a fleet is killed in the middle of downloads, which have found the nodes by the DHT alone. They finish, the other nodes
// take over what it has announced, and they read nothing again that they have.
func TestAFleetLosesANode(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	startObjectStore(ctx, t, "10.20.30.1").losesNode(ctx, t, "10.20.30")
}

// losesNode kills a node of a fleet over the store while others download from it. Addresses of them begin with those of a network.
func (o *objectStore) losesNode(ctx context.Context, t *testing.T, network string) {
	entries := private4.entries(t)
	proxy := o.proxied(t, network+".2")
	p := single(t, "film of a fleet", 32<<20)
	o.put(ctx, p, "films/")
	ips := []string{network + ".11", network + ".12", network + ".13"}
	nodes := o.startFleet(ctx, t, p, ips, entered(entries, "--up-limit", "4M")...)

	var dirs []string
	var downloads []*ours
	for i := range 2 {
		dirs = append(dirs, t.TempDir())
		downloads = append(downloads, run(t, fmt.Sprintf("%s.%d", network, 21+i), entered(entries, "get", "magnet:?xt=urn:btih:"+p.infohash, "-d", dirs[i])...))
	}
	for _, d := range downloads {
		d.wait(ctx, "progress", func(e event) bool { return e.Have > 4<<20 })
	}
	before := o.owners(ctx, t, nodes[0], p)
	gone := slices.IndexFunc(nodes, func(s *service) bool { return s != nodes[0] && slices.Contains(before, nameOf(nodes, s)) })
	must(t, syscall.Kill(-nodes[gone].cmd.Process.Pid, syscall.SIGKILL))
	killed := time.Now()
	var now []string
	poll(ctx, t, "other owners", func() bool {
		now = o.owners(ctx, t, nodes[0], p)
		return len(now) == 2 && !slices.Contains(now, nameOf(nodes, nodes[gone]))
	})
	t.Logf("another node owns it %.1f s after the kill", time.Since(killed).Seconds())
	for i, s := range nodes {
		if slices.Contains(now, nameOf(nodes, s)) && !slices.Contains(before, nameOf(nodes, s)) {
			announced(ctx, t, entries, p.infohash, ips[i])
		}
	}
	t.Logf("it has announced it %.1f s after the kill", time.Since(killed).Seconds())
	for i, d := range downloads {
		d.ends(ctx, 0)
		p.same(t, dirs[i], true)
	}
	t.Logf("%d requests, %.2f of the size from the store to 3 nodes", proxy.gets.Load(), float64(proxy.read.Load())/float64(p.size))
	if read := proxy.read.Load(); read*100 > p.size*3*105 {
		t.Errorf("%d bytes were read from the store for %d in three nodes", read, p.size)
	}
	if os.Getenv("SEEDBED_SOAK") == "" {
		return // a torrent leaves the nodes two minutes after it has left the catalogue
	}
	output(ctx, t, append(o.command(), "catalogue", "remove", p.infohash, "--store", inStore)...)
	poll(ctx, t, "the torrent to leave all nodes", func() bool {
		return !slices.ContainsFunc(nodes, func(s *service) bool { return s != nodes[gone] && s.has(ctx, p) })
	})
}

// nameOf returns the name of a node of startFleet.
func nameOf(nodes []*service, s *service) string { return fmt.Sprint("node", slices.Index(nodes, s)) }
