//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"seedbed/node"
)

// private4 and private6 are the DHTs that the tests share. Most nodes are seedbed's and
// run in this process, some are libtorrent's; the clients under test join with their own
// nodes, which leave when their test ends. The permanent nodes outnumber these. Otherwise
// all nodes closest to an infohash could leave with other tests, and its announces would
// be lost until the next round, as in any DHT.
var (
	private4 = dhtNet{address: "10.1.%d.1", ours: 88, theirs: 12}
	private6 = dhtNet{address: "fd00:1:%d::1", ours: 5, theirs: 3}
)

type dhtNet struct {
	address      string // of node i; the first is 1
	ours, theirs int

	once    sync.Once
	nodes   []string
	err     error
	cleanup []func()
}

// join starts the DHT if needed and returns its nodes, ours first.
func (d *dhtNet) join(t testing.TB) []string {
	t.Helper()
	need(t)
	if d.theirs > 0 {
		need(t, libtorrent{})
	}
	d.once.Do(d.start)
	if d.err != nil {
		t.Fatal("the private DHT: ", d.err)
	}
	return d.nodes
}

// entries returns two nodes to join at, one of seedbed and one of libtorrent.
func (d *dhtNet) entries(t *testing.T) []string {
	t.Helper()
	all := d.join(t)
	return []string{all[0], all[d.ours]}
}

func (d *dhtNet) start() {
	for i := range d.ours + d.theirs {
		d.nodes = append(d.nodes, endpoint(fmt.Sprintf(d.address, i+1)))
	}
	for i, addr := range d.nodes[:d.ours] {
		state, err := os.MkdirTemp("", "dht")
		if err != nil {
			d.err = err
			return
		}
		boot := d.nodes[:1]
		if i == 0 {
			boot = []string{}
		}
		n, err := node.Open(node.Config{State: state, Listen: addr, Bootstrap: boot})
		if err != nil {
			d.err = err
			return
		}
		d.cleanup = append(d.cleanup, func() { n.Close(context.Background()) })
	}
	if d.theirs == 0 {
		return
	}
	l := libtorrent{}.start(d, "", d.nodes[:3]).(*libtorrentDaemon)
	l.settings["listen"] = d.nodes[d.ours:]
	l.run()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l.event(ctx, "ready")
}

// close ends the DHT after all tests.
func (d *dhtNet) close() {
	for _, f := range d.cleanup {
		f()
	}
}

// dhtNet is the scope of its libtorrent process, which continues after every test.

func (d *dhtNet) Helper()                   {}
func (d *dhtNet) Cleanup(f func())          { d.cleanup = append(d.cleanup, f) }
func (d *dhtNet) Failed() bool              { return d.err != nil }
func (d *dhtNet) Logf(f string, a ...any)   { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (d *dhtNet) Errorf(f string, a ...any) { d.err = fmt.Errorf(f, a...) }
func (d *dhtNet) Fatalf(f string, a ...any) { d.err = fmt.Errorf(f, a...) }

// announced waits until DHT nodes return ip:6881 as a peer of infohash.
func announced(ctx context.Context, t testing.TB, dht []string, infohash, ip string) {
	t.Helper()
	poll(ctx, t, "the announce of "+ip, func() bool { return countKnowing(t, dht, infohash, ip) >= 2 })
}

// countKnowing counts the DHT nodes that return ip:6881 as a peer of infohash. It asks the
// given nodes and those that they return, because the closest nodes to an infohash may be
// clients of other tests.
func countKnowing(t testing.TB, dht []string, infohash, ip string) (know int) {
	t.Helper()
	addr := netip.MustParseAddr(ip)
	peer := append(addr.AsSlice(), 6881>>8, 6881&0xff)
	raw, err := hex.DecodeString(infohash)
	must(t, err)
	query := bencode(nil, map[string]any{"t": "aa", "y": "q", "q": "get_peers",
		"a": map[string]any{"id": string(raw[10:]) + string(raw[:10]), "info_hash": string(raw)}})
	// Nodes stop answering an address that asks often, so each query comes from another
	// one.
	network, from, key := "udp4", fmt.Sprintf("10.9.%d.%d", 10+rand.IntN(200), 1+rand.IntN(200)), "5:nodes"
	if addr.Is6() {
		network, from, key = "udp6", "fd00:4:8::1", "6:nodes6"
	}
	sock, err := net.ListenPacket(network, net.JoinHostPort(from, "0"))
	must(t, err)
	defer sock.Close()
	asked := map[netip.AddrPort]bool{}
	ask := func(a netip.AddrPort) {
		if a.IsValid() && !asked[a] {
			asked[a] = true
			sock.WriteTo(query, net.UDPAddrFromAddrPort(a))
		}
	}
	for _, n := range dht {
		ask(netip.MustParseAddrPort(n))
	}
	for b := make([]byte, 4096); ; {
		sock.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, _, err := sock.ReadFrom(b)
		if err != nil {
			return know
		}
		if bytes.Contains(b[:n], fmt.Appendf(nil, "%d:%s", len(peer), peer)) {
			know++
		}
		_, nodes, _ := bytes.Cut(b[:n], []byte(key))
		size, nodes, _ := bytes.Cut(nodes, []byte(":"))
		length, _ := strconv.Atoi(string(size))
		for c := range slices.Chunk(nodes[:min(length, len(nodes))], 20+len(peer)) {
			if len(c) == 20+len(peer) {
				a, _ := netip.AddrFromSlice(c[20 : len(c)-2])
				ask(netip.AddrPortFrom(a, binary.BigEndian.Uint16(c[len(c)-2:])))
			}
		}
	}
}
