//go:build linux

package integration

import (
	"path/filepath"
	"strings"
	"testing"
)

// A node behind a NAT, without a mapping, is told by peers on the internet that it cannot be reached, and with a
// mapping that it can. Peers that it has dialed know that they can be reached themselves.
func TestPeersSayWhetherAPortIsOpen(t *testing.T) {
	ctx := timeLimit(t)
	l := newNATLab(t, "MAPPER_A=1")
	l.startMapper()
	p := single(t, "reached", 16<<20)
	addrs := []string{"46.0.0.1", "47.0.0.1", "48.0.0.1"} // of different networks
	for _, a := range addrs {
		l.output("internet", "ip", "addr", "add", a+"/24", "dev", "net")
	}
	for _, c := range []struct{ mapping, verdict, text string }{
		{"auto", "reachable", "reachable from outside: 45.0.0.1:6881"},
		{"off", "not_reachable", "not reachable from outside"},
	} {
		t.Run(c.mapping, func(t *testing.T) {
			var outside []*ours // new ones each time, because they dial an address rarely
			args := []string{"--dir", t.TempDir(), "--listen", ":6881", "--port-map", c.mapping}
			for _, a := range addrs {
				o := runAs(t, l.on("internet", seedbed), "", offline("seed", filepath.Join(p.parent, p.name), "--listen", a+":6881", "--lsd", "off")...)
				args = append(args, "--peer", a+":6881")
				outside = append(outside, o)
			}
			link := outside[0].wait(ctx, "seeding").Magnet
			for _, o := range outside {
				o.wait(ctx, "seeding")
			}
			// It downloads long enough to stay connected, and fast enough that reports do not wait behind blocks.
			home := runAs(t, l.on("homeA", seedbed), "", offline(append([]string{"get", link, "--down-limit", "200k"}, args...)...)...)
			r := home.wait(ctx, "reachability", func(e event) bool { return e.Verdict == c.verdict })
			if r.Family != "ipv4" || !strings.HasPrefix(r.Text, c.text) {
				t.Errorf("%+v", r)
			}
			for _, o := range outside {
				if r := o.wait(ctx, "reachability"); r.Verdict != "reachable" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}
