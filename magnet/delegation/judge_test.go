package delegation

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet/mutable"
)

var (
	master, work, home, thief = id.ID32{1}, id.ID32{2}, id.ID32{3}, id.ID32{4}
	start                     = time.Unix(1_800_000_000, 0)
)

// names returns an item of the master: a statement in which version number is the torrent ih.
func names(seq, number int64, ih byte, keys ...id.ID32) Item {
	d := mutable.Delegation{Keys: keys, Expiry: start.Add(90 * 24 * time.Hour), Number: number}
	return Item{Key: master, Seq: seq, Value: (&mutable.Version{InfoHash: id.ID{ih}, Delegation: &d}).Value()}
}

// version returns an item that names the torrent ih and makes no statement.
func version(key id.ID32, seq int64, ih byte) Item {
	b := id.ID{ih}
	return Item{Key: key, Seq: seq, Value: append(bencode.AppendBytes([]byte("d2:ih"), b[:]), 'e')}
}

func newJudge() *Judge { return New(mutable.Link(master, nil, "")) }

// step offers an item. want is the result, and number and ih are the newest version after it; the
// infohash 0 means that there is none.
type step struct {
	item   Item
	want   error
	number int64
	ih     byte
}

func check(t *testing.T, j *Judge, now time.Time, steps ...step) {
	t.Helper()
	for k, s := range steps {
		if err := j.Offer(s.item, now); !errors.Is(err, s.want) {
			t.Fatalf("step %d: %v, want %v", k, err, s.want)
		}
		if v, ok := j.Newest(); ok != (s.ih > 0) || v.Number != s.number || v.InfoHash != (id.ID{s.ih}) && ok {
			t.Fatalf("step %d: version %d is %v, want %d, %v", k, v.Number, v.InfoHash, s.number, s.ih)
		}
	}
}

// Without a statement, only the items of the key in the link count, as BEP 46 says.
func TestBEP46WithoutAStatement(t *testing.T) {
	check(t, newJudge(), start,
		step{version(work, 9, 9), ErrForeign, 0, 0},
		step{version(master, 0, 9), ErrOlder, 0, 0},
		step{version(master, 3, 3), nil, 3, 3},
		step{version(master, 3, 3), ErrKnown, 3, 3},
		step{version(master, 3, 4), ErrForked, 3, 3},
		step{version(master, 2, 2), ErrOlder, 3, 3},
		step{Item{Key: master, Seq: 5, Value: bencode.Value("de")}, mutable.ErrNoTorrent, 3, 3},
		step{version(master, 4, 4), ErrOlder, 3, 3},
		step{version(master, 6, 6), nil, 6, 6},
	)
}

// Items of the keys that the newest statement names are versions; those of other keys are not.
func TestDelegatedKeysPublish(t *testing.T) {
	j := newJudge()
	check(t, j, start,
		step{version(master, 5, 5), nil, 5, 5},
		step{names(6, 5, 5, work, home), nil, 5, 5},
		step{version(work, 6, 6), nil, 6, 6},
		step{version(home, 7, 7), nil, 7, 7},
		step{version(work, 7, 8), nil, 7, 8}, // the same number: the order of the statement
		step{version(thief, 9, 9), ErrForeign, 7, 8},
	)
	// A statement in the item of another key than the master's says nothing.
	own := names(10, 10, 10, thief)
	own.Key = work
	check(t, j, start,
		step{own, nil, 10, 10},
		step{version(thief, 11, 11), ErrForeign, 10, 10},
	)
}

// After a revocation, the items of the key do not count, however high their numbers are, and the
// best of the others is the newest version. The earlier statement cannot be replayed.
func TestRevocation(t *testing.T) {
	check(t, newJudge(), start,
		step{names(1, 4, 4, work, thief), nil, 4, 4},
		step{version(work, 6, 6), nil, 6, 6},
		step{version(thief, math.MaxInt64, 66), nil, math.MaxInt64, 66},
		step{names(2, 5, 5, work), nil, 6, 6},
		step{names(1, 4, 4, work, thief), ErrOlder, 6, 6},
		step{version(thief, math.MaxInt64, 66), ErrForeign, 6, 6},
		step{version(work, 7, 7), nil, 7, 7},
		step{names(3, 5, 5), nil, 5, 5},                // names nobody
		step{names(4, 5, 5, work, home), nil, 5, 5},    // the items of before do not come back by themselves
		step{version(work, 7, 7), nil, 7, 7},           // but they count again
		step{version(master, 8, 8), nil, 8, 8},         // without a statement: the master alone
		step{version(work, 9, 9), ErrForeign, 8, 8},    //
		step{names(9, 0, 9, work, home), nil, 9, 9},    // a number of its own
		step{version(home, 10, 10), nil, 10, 10},       //
		step{names(10, 9, 9, work, home), nil, 10, 10}, // a renewal changes nothing
	)
}

// New items do not count when the statement has expired. Those that counted stay, and a new
// statement lets the others count.
func TestExpiry(t *testing.T) {
	j := newJudge()
	check(t, j, start,
		step{names(1, 4, 4, work, home), nil, 4, 4},
		step{version(work, 5, 5), nil, 5, 5},
	)
	expiry := start.Add(90 * 24 * time.Hour)
	check(t, j, expiry.Add(Tolerance), step{version(work, 6, 6), nil, 6, 6})
	late := expiry.Add(Tolerance + time.Second)
	var expired *ExpiredError
	if err := j.Offer(version(work, 7, 7), late); !errors.As(err, &expired) || expired.Key != work || !expired.Expiry.Equal(expiry) {
		t.Error(err)
	}
	if v, _ := j.Newest(); v.Number != 6 || j.After(work) != 6 || !j.Expired(late) || j.Expired(start) {
		t.Error(v.Number, j.After(work))
	}
	// What counted in an earlier run counts after a restart.
	again := newJudge()
	check(t, again, time.Time{}, step{names(1, 4, 4, work, home), nil, 4, 4}, step{version(work, 6, 6), nil, 6, 6})
	d := mutable.Delegation{Keys: []id.ID32{work}, Expiry: late.Add(time.Hour), Number: 6}
	check(t, j, late,
		step{Item{Key: master, Seq: 2, Value: (&mutable.Version{InfoHash: id.ID{6}, Delegation: &d}).Value()}, nil, 6, 6},
		step{version(work, 7, 7), nil, 7, 7},
	)
}

// A statement without a torrent delegates a publication that has no version yet.
func TestStatementWithoutATorrent(t *testing.T) {
	check(t, newJudge(), start,
		step{names(1, 0, 0, work), nil, 0, 0},
		step{version(work, 1, 1), nil, 1, 1},
		step{names(2, 1, 0, work), nil, 1, 1},
		step{names(3, 1, 0, home), nil, 0, 0},
		step{version(home, 1, 2), nil, 1, 2},
	)
}

// The judge agrees with a naive one that remembers every item, for hostile items in any order:
// replayed, forked, of unknown keys, with any number.
func TestJudgeAgainstNaive(t *testing.T) {
	keys := []id.ID32{master, work, home, thief}
	rapid.Check(t, func(t *rapid.T) {
		j := newJudge()
		var counted []Item // in their order
		now := start
		for range rapid.IntRange(1, 40).Draw(t, "items") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			seq := rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 2, 3, 4, 5, 6, 7, math.MaxInt64 - 1, math.MaxInt64}).Draw(t, "seq")
			ih := byte(rapid.IntRange(1, 250).Draw(t, "ih"))
			i := version(key, seq, ih)
			if rapid.Bool().Draw(t, "states") {
				i = names(seq, rapid.Int64Range(0, 9).Draw(t, "number"), ih, rapid.SliceOfNDistinct(rapid.SampledFrom(keys[1:]), 0, 3, rapid.ID).Draw(t, "names")...)
				i.Key = key
			}
			if rapid.IntRange(0, 9).Draw(t, "time passes") == 0 {
				now = now.Add(40 * 24 * time.Hour)
			}
			before, _ := j.Newest()
			err := j.Offer(i, now)
			if naive := naiveCounts(counted, i, now); (err == nil) != naive {
				t.Fatalf("%+v counts: %v (%v)", i, naive, err)
			}
			if err == nil {
				counted = append(counted, i)
			}
			got, ok := j.Newest()
			if want := naiveNewest(counted); ok != (want != nil) || ok && (got.Item.Key != want.Key || got.Item.Seq != want.Seq) {
				t.Fatalf("the newest version is %+v, want %+v", got.Item, want)
			}
			if err != nil && (got.Item.Key != before.Item.Key || got.Item.Seq != before.Item.Seq) {
				t.Fatalf("an item that does not count (%v) changed the newest version", err)
			}
			if len(j.Keys()) > 1+mutable.MaxDelegates {
				t.Fatal(j.Keys())
			}
		}
	})
}

// naiveStatement returns the master's newest item.
func naiveStatement(counted []Item) (newest *Item, d *mutable.Delegation) {
	for k := range counted {
		if i := &counted[k]; i.Key == master && (newest == nil || i.Seq > newest.Seq) {
			newest = i
		}
	}
	if newest != nil {
		v, _ := mutable.Read(mutable.Link(master, nil, ""), newest.Value)
		d = v.Delegation
	}
	return newest, d
}

// naiveOf returns the newest item of a key since the statements name it without a break.
func naiveOf(counted []Item, key id.ID32) (newest *Item) {
	for k := range counted {
		switch i := &counted[k]; {
		case i.Key == key && (newest == nil || i.Seq > newest.Seq):
			newest = i
		case i.Key == master && key != master:
			if _, d := naiveStatement(counted[:k+1]); d == nil || !slices.Contains(d.Keys, key) {
				newest = nil
			}
		}
	}
	return newest
}

func naiveCounts(counted []Item, i Item, now time.Time) bool {
	_, d := naiveStatement(counted)
	if i.Key != master && (d == nil || !slices.Contains(d.Keys, i.Key) || now.After(d.Expiry.Add(Tolerance))) {
		return false
	}
	last := naiveOf(counted, i.Key)
	return i.Seq > 0 && (last == nil || i.Seq > last.Seq)
}

func naiveNewest(counted []Item) (newest *Item) {
	s, d := naiveStatement(counted)
	if s == nil {
		return nil
	}
	newest = s
	number := s.Seq
	if d == nil {
		return newest
	}
	if d.Number > 0 {
		number = d.Number
	}
	for _, key := range d.Keys {
		if i := naiveOf(counted, key); i != nil && i.Seq > number {
			newest, number = i, i.Seq
		}
	}
	return newest
}
