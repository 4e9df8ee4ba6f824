package node

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

const sec = mono.Time(time.Second)

// A magnet without peers is looked up for ever, at growing intervals, and never
// more often than allowed.
func TestLookupsWithoutPeersBackOffAndNeverEnd(t *testing.T) {
	var p pace
	now, last, n := mono.Time(0), time.Duration(0), 0
	for now < 24*3600*sec {
		p.began = now
		p.done(now, outcome{})
		gap := p.next.Sub(now)
		if gap < last || gap < paceFirst || gap > paceLongest {
			t.Fatalf("lookup %d: next after %v, the one before after %v", n, gap, last)
		}
		last, now, n = gap, p.next, n+1
	}
	if n < 280 || n > 310 {
		t.Fatalf("%d lookups in a day without a peer", n)
	}
}

func TestAfterPeersAreFoundTheAnnounceIntervalApplies(t *testing.T) {
	var p pace
	p.done(0, outcome{})
	p.done(10*sec, outcome{found: 3, fresh: 3})
	if p.next != (10 * sec).Add(paceAnnounce) {
		t.Fatal(p.next)
	}
}

func TestLackingPeersStartsTheNextLookupSooner(t *testing.T) {
	var p pace
	p.done(0, outcome{found: 50, fresh: 50})
	p.lacking(60 * sec)
	if p.next != 60*sec {
		t.Fatalf("next at %v", p.next)
	}
}

// Otherwise a small swarm whose few members are all known would be looked up
// every few seconds.
func TestLookupsBackOffWhileTheyFindNoNewPeers(t *testing.T) {
	var p pace
	p.done(0, outcome{found: 3, fresh: 3})
	n := 0
	for now := 60 * sec; now < 24*3600*sec; now = p.next {
		p.lacking(now)
		p.began = max(now, p.next)
		p.done(p.began.Add(time.Second), outcome{found: 3})
		p.lacking(p.began.Add(2 * time.Second))
		n++
	}
	if n < 280 || n > 320 {
		t.Fatalf("%d lookups in a day", n)
	}
}

func TestALookupStartsAtOnceWhenTheDHTIsJoined(t *testing.T) {
	var p pace
	for now := mono.Time(0); now < 600*sec; now = p.next {
		p.done(now, outcome{})
	}
	p.joined(700 * sec)
	if p.next != 700*sec {
		t.Fatal(p.next)
	}
	p.done(701*sec, outcome{found: 9, fresh: 1})
	p.joined(702 * sec)
	if p.next != (701 * sec).Add(paceAnnounce) {
		t.Fatal("a torrent that has peers started a lookup early")
	}
}

// Repeated calls of lacking do not delay the next lookup.
func TestLackingDoesNotDelayTheNextLookup(t *testing.T) {
	var p pace
	for now := mono.Time(0); now < 600*sec; now = p.next {
		p.began = now
		p.done(now, outcome{})
		before := p
		for range 20 {
			p.lacking(now.Add(time.Second))
		}
		if p != before {
			t.Fatalf("%+v became %+v", before, p)
		}
	}
}
