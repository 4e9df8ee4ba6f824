//go:build linux

package integration

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// Dead and silent hosts, and names without an address, do not delay a download: the
// metadata arrives as fast with them as without. The name server of these tests is silent
// too. This test has its own DHT, so that no node leaves it.
func TestDeadBootstrapHosts(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	own := dhtNet{address: "10.15.%d.1", ours: 12}
	t.Cleanup(own.close)
	dht := own.join(t)
	entries := dht[:2]
	silent, err := net.ListenPacket("udp4", "10.9.2.1:6881")
	must(t, err)
	defer silent.Close()
	p := single(t, "found despite dead hosts", 2<<20)
	run(t, "10.2.71.1", entered(entries, "seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
	announced(ctx, t, dht, p.infohash, "10.2.71.1")

	took := func(ip string, hosts ...string) time.Duration {
		o := run(t, ip, entered(hosts, "get", "--metadata-only", p.magnet(), "-d", t.TempDir())...)
		o.ends(ctx, 0)
		return o.first("metadata").at().Sub(o.first("added").at())
	}
	dead := []string{"10.9.2.1:6881", "10.9.3.1:6881", "no.such.host.invalid:6881", "also.none.invalid:6881", "[fd00:9::9]:6881", entries[0]}
	// Waiting for a silent host or name would take seconds, every time. On a busy machine anything may.
	for i := 1; ; i++ {
		alone, among := took(fmt.Sprintf("10.3.71.%d", i), entries[0]), took(fmt.Sprintf("10.3.72.%d", i), dead...)
		if among <= alone+2*time.Second {
			break
		}
		t.Logf("the metadata took %v among dead hosts and %v without", among, alone)
		if i == 5 {
			t.Fatal("dead hosts delay the others")
		}
	}
}
