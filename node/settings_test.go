package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/simnet"
)

// change changes the settings of a running node.
func change(t *testing.T, n *Node, do func(*Settings)) {
	t.Helper()
	s := n.Settings()
	do(&s)
	if err := n.Apply(s); err != nil {
		t.Fatal(err)
	}
}

// Changed rates apply to a running download.
func TestRatesChangeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(41, simnet.Link{Delay: 5 * ms})
		spec, _ := folder(t, ShareOptions{}, map[string]int{"x": 2_000_000})
		for _, which := range []func(s *Settings, rate int64){
			func(s *Settings, rate int64) { s.UpRate = rate },
			func(s *Settings, rate int64) { s.TorrentUpRate = rate },
		} {
			seed := start(t, n, 1, noDHT, func(c *Config) { which(&c.Settings, 1000) })
			seed.add(spec)
			leech := start(t, n, 2, noDHT)
			x := leech.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
			time.Sleep(time.Minute)
			before := x.Snapshot().HaveWanted
			if before >= 1_000_000 {
				t.Fatalf("%d bytes were downloaded in a minute at 1,000 bytes a second", before)
			}
			change(t, seed.Node, func(s *Settings) { which(s, 0) })
			wait(t, x.Done(), time.Minute, "the download without a limit")
			leech.close()
			seed.close()
		}
	})
}

// A torrent that was added under other settings ends when the new ones require it.
func TestSeedTimeChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(42, simnet.Link{Delay: 5 * ms})
		spec, _ := folder(t, ShareOptions{}, map[string]int{"x": 300_000})
		a := start(t, n, 1, noDHT)
		x := a.add(spec)
		time.Sleep(time.Hour)
		change(t, a.Node, func(s *Settings) { s.SeedTime = 2 * time.Hour })
		time.Sleep(50 * time.Minute)
		if a.saw(Seeded) {
			t.Error("ended too early")
		}
		wait(t, x.Ended(), 15*time.Minute, "the end of seeding")
	})
}

// An address that is added to the blocklist is not dialled any more, and one that is
// removed is.
func TestBlocklistChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(43, simnet.Link{Delay: 5 * ms})
		spec, _ := folder(t, ShareOptions{}, map[string]int{"x": 300_000})
		start(t, n, 1, noDHT).add(spec)
		block := new(blocklist.List)
		if err := block.Read(strings.NewReader(at(1).Addr().String() + "/32\n")); err != nil {
			t.Fatal(err)
		}
		leech := start(t, n, 2, noDHT, func(c *Config) { c.Blocklist = block })
		x := leech.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		time.Sleep(10 * time.Minute)
		if x.Snapshot().HaveWanted != 0 {
			t.Error("a blocked peer was used")
		}
		change(t, leech.Node, func(s *Settings) { s.Blocklist = nil })
		wait(t, x.Done(), time.Hour, "the download from a peer that is not blocked any more")
	})
}

// Invalid settings change nothing.
func TestInvalidSettingsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, simnet.New(44, simnet.Link{}), 1, noDHT)
		before := a.Settings()
		for _, s := range []Settings{{MaxConns: -1}, {UpRate: -1}, {SeedRatio: -1}, {DialRate: -5}} {
			if err := a.Apply(s); err == nil {
				t.Errorf("%+v was applied", s)
			}
		}
		if got := a.Settings(); got != before {
			t.Errorf("the settings are %+v", got)
		}
	})
}

// In any second, at most as many dials start as the current rate allows.
func TestTheDialRateChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g dialGate
		g.init(&Config{Settings: Settings{HalfOpen: 1000, DialRate: 10}})
		count := func() (n int) {
			from := time.Now()
			for time.Since(from) < time.Second {
				if d := time.Until(g.reserve()); d > 0 {
					time.Sleep(d)
				}
				n++
			}
			return n - 1
		}
		count()
		for _, rate := range []int{3, 50, 10} {
			g.resize(1000, rate)
			count() // discards what came before
			if got := count(); got < rate-1 || got > rate {
				t.Errorf("%d dials a second at a rate of %d", got, rate)
			}
		}
	})
}
