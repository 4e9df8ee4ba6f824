//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// natLab is an internet with two homes behind NAT routers, in network namespaces; see
// testdata/natlab/up. Its names are global, so tests with it must not be parallel.
type natLab struct {
	t   testing.TB
	dir string
}

// newNATLab builds the network until the test ends. env are the variables of testdata/natlab/up.
func newNATLab(t testing.TB, env ...string) *natLab {
	t.Helper()
	needCommands(t, "nft", "ip", "miniupnpd")
	l := &natLab{t, t.TempDir()}
	t.Cleanup(func() {
		for _, n := range []string{"homeA", "routerA", "internet", "routerB", "homeB"} {
			_ = exec.Command("ip", "netns", "del", n).Run() // absent if the build has failed
		}
	})
	up := exec.Command(filepath.Join("testdata", "natlab", "up"), l.dir)
	up.Env = append(os.Environ(), env...)
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return l
}

// on returns the command that runs argv on a host of the lab.
func (l *natLab) on(host string, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", host}, argv...)
}

// output runs argv on a host and returns what it prints.
func (l *natLab) output(host string, argv ...string) string {
	l.t.Helper()
	argv = l.on(host, argv...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// startMapper starts the daemon that maps ports on routerA.
func (l *natLab) startMapper() *process {
	return start(l.t, "miniupnpd", nil, l.on("routerA", "miniupnpd", "-d", "-f", filepath.Join(l.dir, "miniupnpd.conf"), "-P", filepath.Join(l.dir, "pid"))...)
}

// mappings returns the redirections of routerA.
func (l *natLab) mappings() string {
	return l.output("routerA", "nft", "list", "chain", "inet", "miniupnpd", "prerouting_miniupnpd")
}

// A seeder behind a NAT knows no peer and asks nobody. A peer on the internet connects to the port
// that the router maps, whatever the method. At the end the router maps nothing.
func TestAnOutsiderConnectsThroughAMappedPort(t *testing.T) {
	ctx := timeLimit(t)
	l := newNATLab(t, "MAPPER_A=1")
	l.startMapper()
	p := single(t, "mapped", 600<<10)
	for method, name := range map[string]string{"pcp": "PCP", "natpmp": "NAT-PMP", "upnp": "UPnP", "auto": "PCP"} {
		t.Run(method, func(t *testing.T) {
			seeder := runAs(t, l.on("homeA", seedbed), "", offline("seed", filepath.Join(p.parent, p.name), "--port-map", method, "--listen", ":6881")...)
			mapped := seeder.wait(ctx, "mapped")
			if mapped.Addr != "45.0.0.1:6881" || mapped.Method != name || mapped.Router != "192.168.1.1" {
				t.Errorf("%+v", mapped)
			}
			link := seeder.wait(ctx, "seeding").Magnet
			leecher := runAs(t, l.on("internet", seedbed), "", offline("get", link, "--dir", t.TempDir(), "--peer", mapped.Addr, "--listen", "45.0.0.100:6881")...)
			leecher.ends(ctx, 0)
			if rules := l.mappings(); !strings.Contains(rules, "tcp dport 6881") && !strings.Contains(rules, "th dport 6881") {
				t.Errorf("the router has %s", rules)
			}
			seeder.cmd.Process.Signal(interrupt)
			seeder.exit(ctx)
			if rules := l.mappings(); strings.Contains(rules, "6881") {
				t.Errorf("at the end the router has %s", rules)
			}
		})
	}
}
