package pex

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

const (
	minute = mono.Time(time.Minute)
	gap    = mono.Time(SendInterval)
)

// nth returns the nth of many public addresses.
func nth(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}), 6881)
}

func peers(from, end int) (ps []Peer) {
	for i := from; i < end; i++ {
		ps = append(ps, Peer{Addr: nth(i)})
	}
	return ps
}

func want(t *testing.T, s *Sender, now mono.Time, connected []Peer, added []Peer, dropped []netip.AddrPort) {
	t.Helper()
	u, ok := s.Next(now, connected)
	s.Sent(now)
	if ok != (len(added)+len(dropped) > 0) {
		t.Fatalf("%v, %v", u, ok)
	}
	if d := cmp.Diff(Update{added, dropped}, u, sameAddr); d != "" {
		t.Fatal(d)
	}
}

func TestSenderOfBEP11(t *testing.T) {
	t.Run("no message without changes", func(t *testing.T) {
		var s Sender
		want(t, &s, 0, nil, nil, nil)
		// Without changes no interval starts: the first message is still sent at once.
		want(t, &s, 1, peers(0, 1), peers(0, 1), nil)
		want(t, &s, gap+1, peers(0, 1), nil, nil)
	})
	t.Run("no more than 1 message per gap", func(t *testing.T) {
		var s Sender
		want(t, &s, 5, peers(0, 2), peers(0, 2), nil)
		if s.Due() != gap+5 {
			t.Error(s.Due())
		}
		want(t, &s, gap+4, peers(0, 3), nil, nil)
		want(t, &s, gap+5, peers(0, 3), peers(2, 3), nil)
	})
	t.Run("a message counts from when it is sent", func(t *testing.T) {
		var s Sender
		if _, ok := s.Next(0, peers(0, 1)); !ok || s.Due() != mono.Never {
			t.Error(ok, s.Due())
		}
		if u, ok := s.Next(3*gap, peers(0, 2)); ok {
			t.Error("a second message before the first is sent:", u)
		}
		s.Sent(3 * gap)
		s.Sent(5 * gap) // of another message
		if s.Due() != 4*gap || s.Due() < 3*gap+minute {
			t.Error(s.Due())
		}
		if u, ok := s.Next(4*gap, peers(0, 2)); !ok || len(u.Added) != 1 {
			t.Error(u, ok)
		}
	})
	t.Run("dropped once it is disconnected", func(t *testing.T) {
		var s Sender
		want(t, &s, 0, peers(0, 2), peers(0, 2), nil)
		want(t, &s, gap, peers(1, 3), peers(2, 3), []netip.AddrPort{nth(0)})
		want(t, &s, 2*gap, nil, nil, []netip.AddrPort{nth(1), nth(2)})
		want(t, &s, 3*gap, peers(0, 1), peers(0, 1), nil)
	})
	t.Run("at most 50 entries, the others next time", func(t *testing.T) {
		var s Sender
		want(t, &s, 0, peers(0, 120), peers(0, 50), nil)
		want(t, &s, gap, peers(0, 120), peers(50, 100), nil)
		want(t, &s, 2*gap, peers(0, 120), peers(100, 120), nil)
		u, _ := s.Next(3*gap, peers(119, 200))
		if len(u.Added) != 50 || len(u.Dropped) != 50 {
			t.Error(len(u.Added), len(u.Dropped))
		}
	})
	t.Run("transient connections are elided", func(t *testing.T) {
		var s Sender
		want(t, &s, 0, peers(0, 1), peers(0, 1), nil)
		s.Next(gap/2, peers(0, 5))
		want(t, &s, gap, peers(0, 1), nil, nil)
	})
	t.Run("no duplicates", func(t *testing.T) {
		var s Sender
		want(t, &s, 0, append(peers(0, 3), peers(0, 3)...), peers(0, 3), nil)
	})
	t.Run("flags are sent", func(t *testing.T) {
		var s Sender
		p := []Peer{{nth(0), Seed | Reachable}}
		want(t, &s, 0, p, p, nil)
	})
	t.Run("never itself, us or a private address", func(t *testing.T) {
		s := Sender{Rules: Rules{Peer: nth(0), Own: []netip.AddrPort{nth(1)}}}
		want(t, &s, 0, append(peers(0, 3), Peer{Addr: addr("192.168.1.2:6881")}, Peer{Addr: addr("5.5.5.5:0")}), peers(2, 3), nil)
	})
}

// Whatever peers come and go, a receiver of the messages ends up with the true list, and
// each message complies with BEP 11.
func TestSenderConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Sender
		now, last := mono.Time(0), -gap
		believed := map[netip.AddrPort]bool{}
		hear := func(connected []Peer) bool {
			u, ok := s.Next(now, connected)
			s.Sent(now)
			if !ok {
				return false
			}
			if now-last < gap {
				t.Fatalf("a message %v after the last", now-last)
			}
			last = now
			if len(u.Added) > 50 || len(u.Dropped) > 50 || len(u.Added)+len(u.Dropped) == 0 {
				t.Fatalf("%d added, %d dropped", len(u.Added), len(u.Dropped))
			}
			for _, a := range u.Dropped {
				if !believed[a] {
					t.Fatalf("%v dropped that was not added", a)
				}
				delete(believed, a)
			}
			for _, p := range u.Added {
				if believed[p.Addr] || slices.Contains(u.Dropped, p.Addr) {
					t.Fatalf("%v added twice, or added and dropped", p.Addr)
				}
				believed[p.Addr] = true
			}
			return true
		}
		var connected []Peer
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now += mono.Time(rapid.Int64Range(0, int64(2*gap)).Draw(t, "pause"))
			from := rapid.IntRange(0, 150).Draw(t, "from")
			connected = peers(from, from+rapid.IntRange(0, 150).Draw(t, "number"))
			connected = rapid.Permutation(connected).Draw(t, "order")
			hear(connected)
		}
		for range 10 {
			now += gap
			hear(connected)
		}
		truth := map[netip.AddrPort]bool{}
		for _, p := range connected {
			truth[p.Addr] = true
		}
		if !maps.Equal(truth, believed) {
			t.Fatalf("believed %d, true %d", len(believed), len(truth))
		}
	})
}

func BenchmarkNext(b *testing.B) {
	connected := peers(0, 200)
	b.Run("nothing changed", func(b *testing.B) {
		var s Sender
		now := mono.Time(0)
		for range 4 {
			s.Next(now, connected)
			s.Sent(now)
			now += gap
		}
		b.ReportAllocs()
		for b.Loop() {
			s.Next(now, connected)
		}
	})
	b.Run("not due", func(b *testing.B) {
		var s Sender
		s.Next(0, connected)
		b.ReportAllocs()
		for b.Loop() {
			s.Next(1, connected)
		}
	})
}
