package metainfo

import (
	"crypto/sha1"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
)

// padded returns a torrent of files with these lengths, where a negative length means
// padding; its piece hashes are those of zeros.
func padded(t interface{ Fatal(...any) }, pieceLength int64, lengths []int64) *Info {
	var files list
	total := int64(0)
	for _, n := range lengths {
		f := dict{"length", max(n, -n), "path", list{"f"}}
		if n < 0 {
			f = append(dict{"attr", "p"}, f...)
		}
		files = append(files, f)
		total += max(n, -n)
	}
	var sums string
	for off := int64(0); off < total; off += pieceLength {
		h := sha1.Sum(make([]byte, min(pieceLength, total-off)))
		sums += string(h[:])
	}
	i, err := ParseInfo([]byte(be(dict{"files", files, "name", "n", "piece length", pieceLength, "pieces", sums})))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A list of files looks up every number, so a lookup must not read all files: this test then took
// minutes.
func TestTheNumberOfAFileIsFoundWithoutReadingAllFiles(t *testing.T) {
	i := padded(t, 1<<20, slices.Repeat([]int64{1}, 200_000))
	for k := range i.Files {
		if index, ok := i.FileIndex(k + 1); !ok || index != k {
			t.Fatalf("file %d is %d, %v", k+1, index, ok)
		}
	}
}

// TestPaddingAgreesWithACountOfBytes compares with a count of all bytes.
func TestPaddingAgreesWithACountOfBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.Int64Range(-40, 20), 1, 9).Draw(t, "lengths")
		lengths = append(lengths, rapid.Int64Range(1, 20).Draw(t, "last"))
		i := padded(t, 16, lengths)
		owner := make([]int, 0, i.Length) // of each byte; -1 means padding
		number := 0
		for k, n := range lengths {
			want := 0
			if n >= 0 {
				number++
				want = number
				if index, ok := i.FileIndex(number); !ok || index != k {
					t.Fatalf("file %d is %d, %v, not %d", number, index, ok, k)
				}
			}
			if got := i.FileNumber(k); got != want {
				t.Fatalf("file at %d has number %d, not %d", k, got, want)
			}
			for range max(n, -n) {
				if n < 0 {
					owner = append(owner, -1)
				} else {
					owner = append(owner, k)
				}
			}
		}
		for _, n := range []int{0, -1, number + 1} {
			if _, ok := i.FileIndex(n); ok {
				t.Fatalf("there is no file %d", n)
			}
		}
		some := bitset.New(len(i.Files))
		for k := range i.Files {
			if rapid.Bool().Draw(t, "wanted") {
				some.Add(k)
			}
		}
		proven := bitset.New(i.NumPieces())
		for p := range i.ProvenPadding {
			proven.Add(p)
		}
		all := i.Wanted(nil)
		for p := range i.NumPieces() {
			var data, wanted int64
			for _, k := range owner[p*16 : min((p+1)*16, len(owner))] {
				if k >= 0 {
					data++
					if some.Has(k) {
						wanted++
					}
				}
			}
			if got := i.PayloadIn(p, bitset.Set{}); got != data {
				t.Fatalf("piece %d has %d bytes of files, not %d", p, got, data)
			}
			if got := i.PayloadIn(p, some); got != wanted {
				t.Fatalf("piece %d has %d wanted bytes, not %d", p, got, wanted)
			}
			if nothing := data == 0; i.IsPadding(p) != nothing || all.Has(p) == nothing || proven.Has(p) != nothing {
				t.Fatalf("piece %d has %d bytes of files: %v %v %v", p, data, i.IsPadding(p), all.Has(p), proven.Has(p))
			}
		}
	})
}

func TestPaddingWithAWrongHashIsNotProven(t *testing.T) {
	i := padded(t, 16, []int64{16, -32, 1})
	i.pieces[hashLen]++
	for p := range i.ProvenPadding {
		if p != 2 {
			t.Errorf("piece %d", p)
		}
	}
	if w := i.Wanted(nil); w.Count() != 2 || !w.Has(0) || !w.Has(3) {
		t.Error("padding that cannot be verified is wanted")
	}
	if w := i.Wanted([]int{1}); w.Count() != 0 {
		t.Error("padding was wanted by its index")
	}
}
