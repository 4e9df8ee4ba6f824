package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

// A peer that delivers steadily, however slowly, is neither snubbed nor overdue when
// compared with a peer of the same pace.
func TestSteadyPeerIsNeverLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "gap"))
		queue := rapid.IntRange(2, 4).Draw(t, "queue")
		var a, b standing
		now := mono.Time(time.Hour)
		asked := make([]mono.Time, queue) // oldest first
		for i := range asked {
			asked[i] = now
		}
		for i := range 60 {
			for _, at := range []time.Duration{gap / 2, gap - gap/2} { // it may arrive a little late
				now = now.Add(at)
				quiet := now.Sub(max(asked[0], a.lastBlock))
				if i > 0 && quiet > a.snubTimeout(b.gap) {
					t.Fatalf("snubbed after %v of silence at a pace of %v", quiet, gap)
				}
				// The oldest request is the first to become overdue.
				if before := a.overdue(now, &b, true); i > 0 && asked[0] <= before && now.Sub(asked[0]) < 2*gap {
					t.Fatalf("overdue after %v at a pace of %v", now.Sub(asked[0]), gap)
				}
			}
			for _, s := range []*standing{&a, &b} {
				s.rate.Add(now, blockSize)
				s.noteBlock(now, asked[0])
			}
			asked = append(asked[1:], now)
		}
	})
}

// What a mute peer owes is overdue within two seconds for a peer that is faster than
// that. Its pauses double until it delivers.
func TestMutePeerIsOverdueSoonAndItsPausesDouble(t *testing.T) {
	var mute, fast standing
	now := mono.Time(time.Hour)
	fast.rate.Add(now, blockSize)
	fast.noteBlock(now.Add(50*time.Millisecond), now)
	asked := now
	now = now.Add(2 * time.Second)
	if asked > mute.overdue(now, &fast, false) || now.Sub(asked) < mute.snubTimeout(fast.gap) {
		t.Error("the mute peer is not overdue")
	}
	if at := now.Add(-weakAfter / 2); at <= mute.overdue(now, &fast, true) {
		t.Error("the mute peer has no time to answer")
	}
	want := 2 * time.Second
	for range 8 {
		mute.strike(now, asked, false)
		if !mute.isDoubtful() || mute.retry.Sub(now) != want {
			t.Errorf("a pause of %v, not %v", mute.retry.Sub(now), want)
		}
		mute.strike(now, asked, false) // one strike for all lost blocks
		asked, now = mute.retry, mute.retry.Add(time.Second)
		want = min(2*want, 64*time.Second)
	}
	mute.rate.Add(now, blockSize)
	mute.noteBlock(now, asked)
	if mute.isDoubtful() || !mute.isFirm() || mute.retry != 0 {
		t.Error("a block did not clear the strikes")
	}
}

// A block is overdue if later ones have arrived, unless it is too recent.
func TestOvertakenBlockIsOverdue(t *testing.T) {
	var s, taker standing
	now := mono.Time(time.Hour)
	lost := now
	for range 5 {
		now = now.Add(time.Second)
		s.rate.Add(now, blockSize)
		s.noteBlock(now, now.Add(-100*time.Millisecond))
	}
	if lost > s.overdue(now, &taker, false) {
		t.Error("a block overtaken for five seconds is not overdue")
	}
	if at := now.Add(-time.Second); at <= s.overdue(now, &taker, false) {
		t.Error("a block requested a second ago is overdue")
	}
}
