package node

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/simnet"
)

// A torrent is seeded until it reaches its ratio, counted over all runs, or its
// time, and then releases everything.
func TestSeedingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(31, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, map[string]int{"x": 300_000})
		dir := t.TempDir()
		ratio := func(c *Config) { c.SeedRatio = 1.5 }
		leech := func(num int) {
			b := start(t, n, num, noDHT)
			wait(t, b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), time.Minute, "the download")
			b.close()
		}
		a := start(t, n, 1, noDHT, ratio, state(dir))
		x := a.add(spec)
		leech(2)
		time.Sleep(2 * time.Minute)
		if got := x.Ratio(); got < 1 || got > 1.01 || a.saw(Seeded) {
			t.Fatalf("after one download the ratio is %v", got)
		}
		a.close()

		a = start(t, n, 1, noDHT, ratio, state(dir))
		x = a.add(spec)
		if x.Ratio() != 0 && x.Ratio() < 1 || x.Uploaded() < 300_000 {
			t.Errorf("the next run begins with %d bytes uploaded", x.Uploaded())
		}
		leech(3)
		wait(t, x.Ended(), 2*time.Minute, "the end of sharing")
		if !a.saw(Seeded) || len(a.running()) != 0 {
			t.Error("nothing was told, or it still runs")
		}
		a.close()

		a = start(t, n, 4, noDHT, func(c *Config) { c.SeedTime = time.Hour })
		x = a.add(spec)
		time.Sleep(59 * time.Minute)
		if a.saw(Seeded) {
			t.Error("ended too early")
		}
		wait(t, x.Ended(), 2*time.Minute, "the end of sharing")
	})
}

// An address on the blocklist is neither dialled nor answered.
func TestBlocklist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(32, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		var l blocklist.List
		if err := l.Read(strings.NewReader(netip.PrefixFrom(at(2).Addr(), 32).String())); err != nil {
			t.Fatal(err)
		}
		start(t, n, 1, noDHT, func(c *Config) { c.Blocklist = &l }).add(spec)
		b := start(t, n, 2, noDHT)
		x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		c := start(t, n, 3, noDHT)
		wait(t, c.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), time.Minute, "the download of who is not on the list")
		time.Sleep(time.Minute)
		if s := x.Snapshot(); s.Metadata || s.Connected != 0 {
			t.Errorf("%+v", s)
		}
		// In the other direction: a node with the blocklist does not dial.
		d := start(t, n, 4, noDHT, func(c *Config) { c.Blocklist = &l })
		b.close()
		e := start(t, n, 2, noDHT)
		e.add(spec)
		y := d.add(Spec{Link: withPeers(spec, at(2).String()), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		if s := y.Snapshot(); s.Metadata || e.host.Conns() != 0 {
			t.Errorf("%+v; %d connections", s, e.host.Conns())
		}
	})
}

// saw reports whether there was such an event.
func (r *rig) saw(k EventKind) bool {
	return slices.ContainsFunc(r.told(), func(e Event) bool { return e.Kind == k })
}
