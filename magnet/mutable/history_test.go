package mutable

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
)

func at(s int64) time.Time { return time.Unix(s, 0).UTC() }

// A value names earlier versions with their numbers, infohashes and times.
func TestTheHistoryOfAVersionIsInItsValue(t *testing.T) {
	v := Version{Seq: 9, InfoHash: id.ID{9}, InfoHashV2: id.ID32{9, 9}, Signed: at(1_800_000_000), Earlier: []Earlier{
		{8, id.ID{8}, at(1_799_990_000)}, {5, id.ID{5}, at(1_700_000_000)}, {1, id.ID{1}, time.Time{}}}}
	got, err := Read(&linkOfTests, v.Value())
	if err != nil || got.Seq != 9 || got.InfoHash != v.InfoHash || got.InfoHashV2 != v.InfoHashV2 || !got.Signed.Equal(v.Signed) || !slices.Equal(got.Earlier, v.Earlier) {
		t.Fatalf("%+v, %v", got, err)
	}
	for seq, want := range map[int64]id.ID{9: {9}, 8: {8}, 1: {1}} {
		if l, ok := got.At(&linkOfTests, seq); !ok || l.InfoHash != want || l.HasV2 != (seq == 9) {
			t.Errorf("version %d: %v, %v", seq, l, ok)
		}
	}
	if l, ok := got.At(&linkOfTests, 7); ok {
		t.Errorf("version 7 is %v", l)
	}
}

// However long the history is, the value fits into an item, also with a statement and sealed. The
// newest of the earlier versions stay.
func TestAHistoryIsAsLongAsFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Version{InfoHash: id.ID{1}, InfoHashV2: id.ID32{1}, Signed: at(rapid.Int64Range(0, maxSeconds).Draw(t, "time"))}
		v.Seq = rapid.Int64Range(1, 1<<62).Draw(t, "seq")
		for seq, when := v.Seq, v.Signed.Unix(); seq > 1 && len(v.Earlier) < 60; {
			seq = rapid.Int64Range(max(1, seq-rapid.SampledFrom([]int64{1, 2, 1 << 40}).Draw(t, "step")), seq-1).Draw(t, "seq")
			when = rapid.Int64Range(max(0, when-rapid.SampledFrom([]int64{60, 86400, 1 << 40}).Draw(t, "step")), when).Draw(t, "time")
			e := Earlier{Seq: seq, InfoHash: id.ID{byte(len(v.Earlier)), 7}}
			if when > 0 {
				e.Time = at(when)
			}
			v.Earlier = append(v.Earlier, e)
		}
		kept := 15
		if n := rapid.IntRange(-1, MaxDelegates).Draw(t, "delegates"); n >= 0 {
			kept = 14
			v.Delegation = &Delegation{Expiry: at(maxExpiry), Number: 1<<63 - 1}
			for i := range n {
				v.Delegation.Keys = append(v.Delegation.Keys, id.ID32{byte(i + 2)})
			}
		}
		b := v.Value()
		if len(b) > sealed.MaxValuePlain {
			t.Fatalf("the value has %d bytes", len(b))
		}
		got, err := Read(&linkOfTests, b)
		if err != nil || got.Seq != v.Seq || !got.Signed.Equal(v.Signed) && v.Signed.Unix() != 0 || (got.Delegation == nil) != (v.Delegation == nil) {
			t.Fatalf("%+v, %v", got, err)
		}
		if n := len(got.Earlier); n < min(len(v.Earlier), kept) || !slices.Equal(got.Earlier, v.Earlier[:n]) {
			t.Fatalf("%d of %d earlier versions: %v", n, len(v.Earlier), got.Earlier)
		}
	})
}

// A clock that was set back between two versions does not damage the history.
func TestAClockThatWasSetBack(t *testing.T) {
	v := Version{Seq: 2, InfoHash: id.ID{2}, Signed: at(100), Earlier: []Earlier{{1, id.ID{1}, at(500)}}}
	got, err := Read(&linkOfTests, v.Value())
	if err != nil || len(got.Earlier) != 1 || got.Earlier[0].Time.After(got.Signed) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A history that is wrong ends where that begins, and the version is read all the same.
func TestADamagedHistoryIsIgnored(t *testing.T) {
	v := Version{Seq: 9, InfoHash: id.ID{9}, Signed: at(1000), Earlier: []Earlier{{8, id.ID{8}, at(900)}, {7, id.ID{7}, at(800)}}}
	whole := v.appendHistory(nil, maxHistory)
	value := func(h []byte) bencode.Value {
		b := bencode.AppendBytes(bencode.AppendString([]byte{'d'}, "h"), h)
		return append(bencode.AppendBytes(bencode.AppendString(b, "ih"), v.InfoHash[:]), 'e')
	}
	for n := range len(whole) {
		got, err := Read(&linkOfTests, value(whole[:n]))
		if err != nil || len(got.Earlier) > n/22 || !slices.Equal(got.Earlier, v.Earlier[:len(got.Earlier)]) {
			t.Errorf("%d bytes: %+v, %v", n, got, err)
		}
	}
	for _, bad := range []string{"\x00\x00", "\x09\x00\x00\x00" + string(make([]byte, 20)), "\x09\x00\x09\x00" + string(make([]byte, 20)),
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "\x09\x05\x01\x06" + string(make([]byte, 20))} {
		if got, err := Read(&linkOfTests, value([]byte(bad))); err != nil || len(got.Earlier) > 0 {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

var linkOfTests = *Link([32]byte{7}, nil, "")

// What is read is written again as it was, except for what was ignored.
func FuzzHistory(f *testing.F) {
	v := Version{Seq: 9, Signed: at(1000), Earlier: []Earlier{{8, id.ID{8}, at(900)}, {1, id.ID{7}, time.Time{}}}}
	f.Add(v.appendHistory(nil, maxHistory))
	f.Add([]byte{1, 0})
	f.Add([]byte{9, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, again Version
		v.readHistory(b)
		if v.Seq == 0 {
			return
		}
		e := v.appendHistory(nil, maxHistory)
		again.readHistory(e)
		if again.Seq != v.Seq || !again.Signed.Equal(v.Signed) || len(e) <= maxHistory && len(b) <= maxHistory && !slices.Equal(again.Earlier, v.Earlier) {
			t.Errorf("%x: %+v, then %+v", b, v, again)
		}
		if !bytes.Equal(again.appendHistory(nil, maxHistory), e) {
			t.Errorf("%x is written in two ways", b)
		}
	})
}
