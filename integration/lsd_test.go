//go:build linux

package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A house is a local network of two machines without any other connection: network namespaces
// on one bridge. The tests reach the machines through the bridge.
type house struct {
	names [2]string
	ips   [2]string
}

// newHouse builds a house, which is removed at the end of the test.
func newHouse(t testing.TB, number int) *house {
	t.Helper()
	needCommands(t, "ip")
	h := new(house)
	bridge := fmt.Sprintf("house%d", number)
	ip(t, "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", bridge).Run() })
	ip(t, "addr", "add", fmt.Sprintf("172.31.%d.254/24", number), "dev", bridge)
	ip(t, "link", "set", bridge, "up")
	for i := range h.names {
		ns := fmt.Sprintf("seedbed-%d-%s-%d", os.Getpid(), bridge, i)
		port := fmt.Sprintf("%s-%d", bridge, i)
		h.names[i], h.ips[i] = ns, fmt.Sprintf("172.31.%d.%d", number, i+1)
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ip(t, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
		ip(t, "link", "set", port, "master", bridge, "up")
		ip(t, "-n", ns, "addr", "add", h.ips[i]+"/24", "dev", "eth0")
		ip(t, "-n", ns, "link", "set", "lo", "up")
		ip(t, "-n", ns, "link", "set", "eth0", "up")
		ip(t, "-n", ns, "route", "add", "default", "via", fmt.Sprintf("172.31.%d.254", number)) // clients send multicast by it
	}
	return h
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// in returns a command that runs in one of the machines.
func (h *house) in(machine int, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", h.names[machine]}, argv...)
}

// startLocal starts a client on the second machine, with local service discovery and without
// the DHT.
func startLocal(t *testing.T, c client, h *house) daemon {
	t.Helper()
	switch c.(type) {
	case transmission:
		conf := tempDir(t)
		must(t, os.WriteFile(filepath.Join(conf, "settings.json"), []byte(encode(map[string]any{
			"bind-address-ipv4": h.ips[1], "peer-port": 6881, "dht-enabled": false, "lpd-enabled": true, "utp-enabled": false,
			"port-forwarding-enabled": false, "rpc-bind-address": h.ips[1], "rpc-port": 9091, "rpc-whitelist-enabled": false,
			"rpc-host-whitelist-enabled": false, "rpc-authentication-required": false, "rename-partial-files": true,
		})), 0o644))
		return &transmissionDaemon{
			process: start(t, "transmission", nil, h.in(1, "transmission-daemon", "-f", "-g", conf)...),
			url:     "http://" + net.JoinHostPort(h.ips[1], "9091") + "/transmission/rpc",
		}
	case aria2:
		argv := h.in(1, "aria2c", "--no-conf=true", "--enable-rpc=true", "--rpc-listen-all=true", "--rpc-listen-port=6800", "--show-console-readout=false",
			"--summary-interval=0", "--listen-port=6881", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=true", "--bt-lpd-interface="+h.ips[1],
			"--seed-ratio=0.0", "--file-allocation=none", "--check-integrity=true")
		return &aria2Daemon{process: start(t, "aria2", nil, argv...), t: t, argv: argv, url: "http://" + net.JoinHostPort(h.ips[1], "6800") + "/jsonrpc"}
	}
	d := libtorrent{}.with(t, h.ips[1], nil, map[string]any{"lsd": true})
	d.within = h.in(1)
	return d
}

// With no other way to find each other, peers of one local network find each other by BEP 14.
func TestLocalServiceDiscoveryWithOtherClients(t *testing.T) {
	for i, c := range []client{transmission{}, aria2{}, libtorrent{}} {
		t.Run("seed/"+c.name(), func(t *testing.T) {
			t.Parallel()
			need(t, c)
			ctx, h := timeLimit(t), newHouse(t, 10+i)
			p := single(t, "from "+c.name()+" in one house", 3<<20)
			startLocal(t, c, h).seed(ctx, p)
			dir := t.TempDir()
			runAs(t, h.in(0, seedbed), h.ips[0], offline("get", p.magnet(), "-d", dir)...).ends(ctx, 0)
			p.same(t, dir, true)
		})
		t.Run("leech/"+c.name(), func(t *testing.T) {
			t.Parallel()
			need(t, c)
			ctx, h := timeLimit(t), newHouse(t, 20+i)
			p := single(t, "for "+c.name()+" in one house", 3<<20)
			runAs(t, h.in(0, seedbed), h.ips[0], offline("seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
			d := startLocal(t, c, h)
			dir := t.TempDir()
			d.leech(ctx, p.magnet(), dir)
			d.done(ctx)
			p.as(c).same(t, dir, false)
		})
	}
}
