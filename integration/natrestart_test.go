//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// The daemon of a router restarts and has lost its table, which its epoch does not show. It announces its
// start, and three seeders, one for each method, are mapped again and reached from outside.
func TestARouterThatRestartsMapsAgain(t *testing.T) {
	ctx := timeLimit(t)
	l := newNATLab(t, "MAPPER_A=1")
	mapper := l.startMapper()
	p := single(t, "restarted", 64<<10)
	var link string
	ports := []int{6881, 6882, 6883}
	for i, method := range []string{"pcp", "natpmp", "upnp"} {
		seeder := runAs(t, l.on("homeA", seedbed), "", offline("seed", filepath.Join(p.parent, p.name), "--port-map", method, "--listen", fmt.Sprint(":", ports[i]))...)
		if mapped := seeder.wait(ctx, "mapped"); mapped.Addr != fmt.Sprint("45.0.0.1:", ports[i]) {
			t.Fatalf("%+v", mapped)
		}
		link = seeder.wait(ctx, "seeding").Magnet
	}
	mapper.cmd.Process.Kill()
	<-mapper.ended
	for _, chain := range []string{"miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"} {
		l.output("routerA", "nft", "flush", "chain", "inet", "miniupnpd", chain)
	}
	if rules := l.mappings(); strings.Contains(rules, "dport") {
		t.Fatalf("the router still has %s", rules)
	}
	l.startMapper().poll(ctx, "the ports to be mapped again", func() bool {
		rules := l.mappings()
		for _, port := range ports {
			if strings.Count(rules, fmt.Sprint("dport ", port)) < 2 { // TCP and UDP
				return false
			}
		}
		return true
	})
	for _, port := range ports {
		leecher := runAs(t, l.on("internet", seedbed), "", offline("get", link, "--dir", t.TempDir(), "--peer", fmt.Sprint("45.0.0.1:", port), "--listen", "45.0.0.100:6881")...)
		leecher.ends(ctx, 0)
	}
}
