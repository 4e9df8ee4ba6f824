package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
)

// bareNode is the part of a node that distributes events.
func bareNode() *Node {
	n := &Node{}
	n.events.log.start(time.Now())
	return n
}

func torrentNumber(i int) id.ID { return id.ID{1, byte(i >> 8), byte(i)} }

func TestASubscriptionGetsEveryEventInOrder(t *testing.T) {
	n := bareNode()
	a, b := n.Subscribe(), n.Subscribe()
	for i := range queuedEvents {
		n.Emit(Event{Kind: Warning, InfoHash: torrentNumber(1), Addr: fmt.Sprint(i)})
	}
	for _, s := range []*Subscription{a, b} {
		got := s.Take()
		if len(got) != queuedEvents || !slices.IsSortedFunc(got, func(x, y Event) int { return x.Time.Compare(y.Time) }) ||
			got[0].Addr != "0" || got[len(got)-1].Addr != fmt.Sprint(queuedEvents-1) {
			t.Errorf("%d events, want %d", len(got), queuedEvents)
		}
	}
	if got := a.Take(); got != nil {
		t.Errorf("taken twice: %v", got)
	}
}

// A subscriber that hands back its slice gets every event, in order, and the slices do not overlap. The queue then takes no
// memory for each call.
func TestASubscriberMayHandBackWhatItTook(t *testing.T) {
	n := bareNode()
	s := n.Subscribe()
	var got []Event
	next := 0
	for round := range 20 {
		want := next
		for range round * 7 {
			n.Emit(Event{Kind: Warning, InfoHash: torrentNumber(1), Uploaded: int64(next)})
			next++
		}
		got = s.TakeInto(got)
		n.Emit(Event{Kind: Warning, InfoHash: torrentNumber(1), Uploaded: int64(next)}) // while got is read
		if len(got) != round*7+min(round, 1) {
			t.Fatalf("round %d: %d events", round, len(got))
		}
		for _, e := range got {
			if e.Uploaded != int64(want)-int64(min(round, 1)) {
				t.Fatalf("round %d: event %d, want %d", round, e.Uploaded, want)
			}
			want++
		}
		next++
	}
	fresh := time.Now()
	if got := testing.AllocsPerRun(100, func() {
		n.Emit(Event{Kind: Warning, Time: fresh, InfoHash: torrentNumber(1)})
		got = s.TakeInto(got)
	}); got != 0 {
		t.Errorf("an event that is taken allocates %v times", got)
	}
}

// A subscriber that starts after Open learns where the node listens.
func TestASubscriptionStartsWithEventsAboutTheNode(t *testing.T) {
	n := bareNode()
	for i := range 2 * recentEvents {
		n.Emit(Event{Kind: Listening, Addr: fmt.Sprint(i)})
	}
	n.Emit(Event{Kind: Added, InfoHash: torrentNumber(1)})
	got := n.Subscribe().Take()
	if len(got) != recentEvents || got[0].Addr != fmt.Sprint(recentEvents) || got[recentEvents-1].Addr != fmt.Sprint(2*recentEvents-1) {
		t.Errorf("%d events, from %v", len(got), got)
	}
}

// A slow subscriber never loses the last event of each kind for each torrent, events keep
// their order, and the queue stays small.
func TestASlowSubscriberGetsTheLastOfEachKind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := bareNode()
		s := n.Subscribe()
		type subject struct {
			torrent id.ID
			kind    EventKind
		}
		posted, taken := map[subject]string{}, map[subject]string{}
		last, longest := -1, 0
		take := func() {
			longest = max(longest, len(s.pending))
			for _, e := range s.Take() {
				var seq int
				fmt.Sscan(e.Addr, &seq)
				if seq <= last {
					rt.Fatalf("event %d after %d", seq, last)
				}
				last = seq
				taken[subject{e.InfoHash, e.Kind}] = e.Addr
			}
		}
		torrents := rapid.IntRange(1, 300).Draw(rt, "torrents")
		pace := rapid.SampledFrom([]int{3000 / scale, 20_001}).Draw(rt, "pace")
		for i := range rapid.IntRange(0, 8_000/scale).Draw(rt, "events") {
			e := Event{Kind: EventKind(1 + i*7%int(lastKind)), InfoHash: torrentNumber(i * 31 % torrents), Addr: fmt.Sprint(i)}
			n.Emit(e)
			posted[subject{e.InfoHash, e.Kind}] = e.Addr
			if i%pace == pace-1 {
				take()
			}
		}
		take()
		if d := cmp.Diff(posted, taken); d != "" {
			rt.Fatal(d)
		}
		if most := max(queuedEvents, 2*torrents*int(lastKind)); longest > most {
			rt.Fatalf("%d events wait, want at most %d", longest, most)
		}
	})
}

func TestTooManyWaitingEventsBecomeMissed(t *testing.T) {
	n := bareNode()
	s := n.Subscribe()
	s.most = 2000
	for i := range 20_000 {
		n.Emit(Event{Kind: Added, InfoHash: torrentNumber(i)})
	}
	got := s.Take()
	if len(got) == 0 || got[0].Kind != Missed || len(got) > 5000 || got[len(got)-1].InfoHash != torrentNumber(19_999) {
		t.Errorf("%d events, from %v", len(got), got[:min(len(got), 2)])
	}
}

// A subscriber that takes no events blocks neither the others nor the node.
func TestASubscriberThatTakesNoEventsBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		a, b := start(t, n, 1, noDHT), start(t, n, 2, noDHT)
		stuck := b.Subscribe()
		a.add(spec)
		to := t.TempDir()
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
		wait(t, got.Done(), time.Minute, "the download")
		filetest.Same(t, dir, to+"/things")
		b.close()
		var kinds []EventKind
		for range stuck.Ready() { // ends because the node has closed
			for _, e := range stuck.Take() {
				if e.Kind != Changed {
					kinds = append(kinds, e.Kind)
				}
			}
		}
		if want := []EventKind{Listening, Added, Metadata, FirstPiece, Complete, Seeding}; !slices.Equal(kinds, want) {
			t.Errorf("%v, want %v", kinds, want)
		}
	})
}

func TestASubscriptionEnds(t *testing.T) {
	n := bareNode()
	a, b := n.Subscribe(), n.Subscribe()
	n.Emit(Event{Kind: Added, InfoHash: torrentNumber(1)})
	a.Close()
	a.Close()
	for range a.Ready() {
		if got := a.Take(); got != nil {
			t.Errorf("after Close: %v", got)
		}
	}
	n.events.close()
	n.Emit(Event{Kind: Failed, InfoHash: torrentNumber(1)})
	if got := b.Take(); len(got) != 1 || got[0].Kind != Added {
		t.Errorf("after the node's end: %v", got)
	}
	if _, open := <-n.Subscribe().Ready(); open {
		t.Error("a subscription to a node that has ended is not closed")
	}
}

// A client that applies Changes has the torrents of the node, whatever was added, changed
// and removed in between, and however long it did not call.
func TestChangesKeepACopyUpToDate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := bareNode()
		have, copied, dirty := map[id.ID]bool{}, map[id.ID]bool{}, map[id.ID]bool{}
		var cursor Cursor
		resyncs := 0
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range rapid.IntRange(1, 8).Draw(rt, "rounds") {
			for range rapid.SampledFrom([]int{0, 1, 5, 50, 5 * maxRemoved}).Draw(rt, "events") {
				ih := torrentNumber(rng.IntN(40))
				if have[ih] && rng.IntN(2) == 0 {
					n.Emit(Event{Kind: Removed, InfoHash: ih})
					delete(have, ih)
					delete(dirty, ih)
					n.Emit(Event{Kind: Changed, InfoHash: ih})
					continue
				}
				if have[ih] {
					n.Emit(Event{Kind: Warning, Err: errors.New("x"), InfoHash: ih})
				} else {
					n.Emit(Event{Kind: Changed, InfoHash: ih}) // an operation that ends after the removal
					n.Emit(Event{Kind: Added, InfoHash: ih})
				}
				have[ih], dirty[ih] = true, true
			}
			c := n.Changes(cursor)
			cursor = c.Next
			if c.Resync {
				resyncs++
				clear(copied)
			}
			for _, ih := range c.Removed {
				delete(copied, ih)
			}
			for _, ih := range c.Changed {
				copied[ih] = true
				if !c.Resync && !dirty[ih] {
					rt.Fatalf("%v did not change", ih)
				}
				delete(dirty, ih)
			}
			if d := cmp.Diff(have, copied); d != "" {
				rt.Fatal(d)
			}
			if len(dirty) > 0 {
				rt.Fatalf("changed but not listed: %v", dirty)
			}
			if len(n.events.log.removed) > 2*maxRemoved {
				rt.Fatalf("%d removals are stored", len(n.events.log.removed))
			}
		}
		if resyncs == 0 {
			rt.Fatal("the first call is not a resync")
		}
	})
}

// A cursor of another run is recognised, even if the clock differed.
func TestACursorOfAnotherRunGetsAResync(t *testing.T) {
	n := bareNode()
	n.Emit(Event{Kind: Added, InfoHash: torrentNumber(1)})
	now := n.Changes(0).Next
	for _, c := range []Cursor{0, now - 1e6, now + 1e6} {
		if got := n.Changes(c); !got.Resync || len(got.Changed) != 1 {
			t.Errorf("%d: %+v", c, got)
		}
	}
	if got := n.Changes(now); got.Resync || got.Changed != nil || got.Next != now {
		t.Errorf("%+v", got)
	}
}

// A torrent that ends is reported as removed.
func TestRemovedIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		a := start(t, n, 1, noDHT)
		spec, _ := folder(t, ShareOptions{}, small)
		x := a.add(spec)
		wait(t, x.Done(), time.Minute, "the check")
		c := a.Changes(0)
		x.stop()
		e := a.await(Removed, time.Minute)
		if e.InfoHash != x.InfoHash() || e.Name != "things" {
			t.Errorf("%+v", e)
		}
		if got := a.Changes(c.Next).Removed; !slices.Equal(got, []id.ID{x.InfoHash()}) {
			t.Errorf("%v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}
