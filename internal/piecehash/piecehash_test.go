package piecehash

import (
	"crypto/sha1"
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"seedbed/magnet/metainfo"
)

var errAbsent = errors.New("not there")

// TestDigestsAreThoseOfOnePieceAfterTheOther compares a job with a plain loop.
func TestDigestsAreThoseOfOnePieceAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 3*ReadSize).Draw(t, "piece length")
		pieces := rapid.IntRange(1, 9).Draw(t, "pieces")
		data := make([]byte, length*pieces-rapid.IntRange(0, length-1).Draw(t, "short"))
		for k := range data {
			data[k] = byte(k * k >> 7)
		}
		absent := rapid.SliceOfN(rapid.Bool(), pieces, pieces).Draw(t, "absent")
		size := func(p int) int64 { return int64(min(length, len(data)-p*length)) }
		var list []int
		for p := range pieces {
			list = append(list, p)
		}
		var mu sync.Mutex
		got, reported := map[int]*metainfo.Digest{}, int64(0)
		job := Job{
			Pieces: slices.Values(list), Total: int64(len(data)), Size: size,
			Offset: func(p int) int64 { return int64(p * length) },
			Read: func(b []byte, off int64) error {
				if absent[int(off)/length] {
					return errAbsent
				}
				copy(b, data[off:])
				return nil
			},
			Advise: func(int64, int64) {},
			Absent: func(err error) bool { return errors.Is(err, errAbsent) },
			Done: func(p int, sum metainfo.Digest, skip bool) {
				mu.Lock()
				defer mu.Unlock()
				if _, twice := got[p]; twice {
					t.Errorf("piece %d is done twice", p)
				}
				got[p] = &sum
				if skip {
					got[p] = nil
				}
			},
			Progress: func(done, _ int64) { reported = done },
		}
		if err := job.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reported != int64(len(data)) || len(got) != pieces {
			t.Fatal(reported, "bytes of", len(data), "in", len(got), "pieces of", pieces)
		}
		for p, sum := range got {
			if want := sha1.Sum(data[p*length:][:size(p)]); (sum == nil) != absent[p] || sum != nil && sum.V1 != want {
				t.Fatalf("piece %d: %v", p, sum)
			}
		}
		// An error other than that of missing bytes ends the job.
		job.Absent, job.Done = func(error) bool { return false }, func(int, metainfo.Digest, bool) {}
		if err := job.Run(t.Context()); slices.Contains(absent, true) != errors.Is(err, errAbsent) {
			t.Fatal(err)
		}
	})
}
