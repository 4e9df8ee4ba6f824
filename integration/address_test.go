//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mover is a machine of a house that downloads slowly from the other one, and whose address
// changes meanwhile.
type mover struct {
	t    testing.TB
	h    *house
	have int64 // bytes of the last look
	*ours
}

// The second machine has the first of these addresses at the start, with their gateways.
var moverNets = [2]string{"172.31.40", "172.31.41"}

// newMover starts a download of p at rate bytes a second.
func newMover(ctx context.Context, t testing.TB, rate string, p *payload) *mover {
	t.Helper()
	m := &mover{t: t, h: newHouse(t, 40)}
	// The bridge is a router between the two networks.
	must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
	ip(t, "addr", "add", moverNets[1]+".254/24", "dev", "house40")
	seeder := runAs(t, m.h.in(0, seedbed), "", offline("seed", filepath.Join(p.parent, p.name), "--listen", ":6881", "--port-map", "off")...)
	link := seeder.wait(ctx, "seeding").Magnet
	m.ours = runAs(t, m.h.in(1, seedbed), "", offline("get", link, "--dir", t.TempDir(), "--peer", m.h.ips[0]+":6881", "--listen", ":6881",
		"--down-limit", rate, "--port-map", "off")...)
	m.goesOn(ctx)
	return m
}

// goesOn waits until more has been downloaded since the last call, and returns when.
func (m *mover) goesOn(ctx context.Context) (at time.Time) {
	m.t.Helper()
	m.until(ctx, "progress", func() bool {
		if len(m.events) == 0 {
			return false
		}
		e := m.events[len(m.events)-1]
		if e.Event != "progress" || e.Have <= m.have {
			return false
		}
		m.have = e.Have
		at, _ = time.Parse(time.RFC3339Nano, e.Time)
		return true
	})
	return at
}

// count returns how many changes of the network to an address were reported; "" stands for no route. The caller
// holds mu.
func (m *mover) count(addr string) (n int) {
	for _, e := range m.events {
		if e.Event == "network_changed" && e.Addr == addr {
			n++
		}
	}
	return n
}

// reports waits until do has made the node report a change of the network to an address. A busy machine may be so
// slow that one change is reported as several.
func (m *mover) reports(ctx context.Context, addr string, do func()) {
	m.t.Helper()
	m.mu.Lock()
	before := m.count(addr)
	m.mu.Unlock()
	do()
	m.until(ctx, fmt.Sprintf("a change of the network to %q", addr), func() bool { return m.count(addr) > before })
}

// move replaces the address of the machine by that of the other network, and returns when.
func (m *mover) move(from, to int) time.Time {
	m.t.Helper()
	ns := m.h.names[1]
	ip(m.t, "-n", ns, "addr", "del", moverNets[from]+".2/24", "dev", "eth0")
	ip(m.t, "-n", ns, "addr", "add", moverNets[to]+".2/24", "dev", "eth0")
	ip(m.t, "-n", ns, "route", "add", "default", "via", moverNets[to]+".254")
	return time.Now()
}

// connectionsFrom returns the TCP connections of the machine from an address.
func (m *mover) connectionsFrom(addr string) (list []string) {
	m.t.Helper()
	argv := m.h.in(1, "ss", "-tnH", "state", "established", "src", addr)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%q: %v: %s", argv, err, out)
	}
	for line := range strings.Lines(string(out)) {
		list = append(list, strings.TrimSpace(line))
	}
	return list
}

// A download goes on after the address of the machine has changed to one of another network, and
// after its link was down. The connections from the address before are closed.
func TestADownloadFollowsTheAddress(t *testing.T) {
	needCommands(t, "ip", "ss")
	ctx := timeLimit(t)
	m := newMover(ctx, t, "300000", single(t, "moved", 5<<20))
	old, fresh := moverNets[0]+".2", moverNets[1]+".2"
	if len(m.connectionsFrom(old)) == 0 {
		t.Fatal("there is no connection from the first address")
	}
	m.reports(ctx, fresh, func() { m.move(0, 1) })
	m.goesOn(ctx)
	m.goesOn(ctx)
	if list := m.connectionsFrom(old); len(list) > 0 {
		t.Errorf("connections from the address before are left: %q", list)
	}
	ns := m.h.names[1]
	for range 5 {
		m.reports(ctx, "", func() { ip(t, "-n", ns, "link", "set", "eth0", "down") })
		m.reports(ctx, fresh, func() {
			ip(t, "-n", ns, "link", "set", "eth0", "up")
			ip(t, "-n", ns, "route", "add", "default", "via", moverNets[1]+".254")
		})
	}
	m.ends(ctx, 0)
}

// BenchmarkBarAddressChange measures how long a download stops when the address of the machine
// changes. The limit is 10 s.
func BenchmarkBarAddressChange(b *testing.B) {
	needCommands(b, "ip", "ss")
	for range b.N { // -benchtime 1x
		ctx := barTime(b)
		m := newMover(ctx, b, "300000", single(b, "moved", 30<<20))
		var longest time.Duration
		for i := range 6 {
			var moved time.Time
			m.reports(ctx, moverNets[1-i%2]+".2", func() { moved = m.move(i%2, 1-i%2) })
			longest = max(longest, m.goesOn(ctx).Sub(moved))
			m.goesOn(ctx)
		}
		b.ReportMetric(longest.Seconds(), "s/gap")
		b.ReportMetric(0, "ns/op")
		if longest > 10*time.Second {
			b.Errorf("the download stopped for %v", longest)
		}
	}
}
