package metainfo

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
)

// TestPaddingAgainstBytes compares the results for torrents with padding and empty files
// with a torrent laid out byte by byte.
func TestPaddingAgainstBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := &Info{PieceLength: rapid.Int64Range(1, 12).Draw(t, "piece length")}
		var pad []bool // for each byte
		for range rapid.IntRange(1, 12).Draw(t, "files") {
			f := File{Offset: i.Length, Length: rapid.Int64Range(0, 20).Draw(t, "length"), Pad: rapid.Bool().Draw(t, "pad")}
			i.Files = append(i.Files, f)
			i.Length += f.Length
			pad = append(pad, slices.Repeat([]bool{f.Pad}, int(f.Length))...)
		}
		if i.Length == 0 {
			return
		}
		i.number = int((i.Length + i.PieceLength - 1) / i.PieceLength)
		i.buildIndex()
		for p := range i.number {
			bytes := pad[int64(p)*i.PieceLength:][:i.PieceSize(p)]
			want := len(bytes)
			for want > 0 && bytes[want-1] {
				want--
			}
			if want == 0 {
				want = len(bytes) // a piece that is all padding
			}
			if got := i.DataSize(p); got != int64(want) {
				t.Fatalf("piece %d: %d bytes of data, not %d", p, got, want)
			}
			var seen []bool
			for s := range i.PieceSpans(p) {
				seen = append(seen, slices.Repeat([]bool{i.Files[s.File].Pad}, int(s.Length))...)
			}
			if !slices.Equal(seen, bytes) {
				t.Fatalf("piece %d: %v, not %v", p, seen, bytes)
			}
		}
		pieces := bitset.New(i.number)
		for range rapid.IntRange(0, i.number).Draw(t, "pieces") {
			pieces.Add(rapid.IntRange(0, i.number-1).Draw(t, "piece"))
		}
		for k, f := range i.Files {
			var want int64
			for at := f.Offset; at < f.Offset+f.Length; at++ {
				if pieces.Has(int(at / i.PieceLength)) {
					want++
				}
			}
			if got := i.BytesOf(k, pieces); got != want {
				t.Fatalf("file %d: %d bytes in %v, not %d", k, got, pieces, want)
			}
		}
	})
}

// TestFilesAreFoundByTheirRoot compares with a search through every file.
func TestFilesAreFoundByTheirRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := &Info{PieceLength: BlockSize, v2: true}
		for range rapid.IntRange(1, 20).Draw(t, "files") {
			f := File{Length: rapid.Int64Range(0, 2).Draw(t, "length"), Pad: rapid.Bool().Draw(t, "pad")}
			if f.Length > 0 && !f.Pad {
				f.Root = Root{0: 1, 31: rapid.Byte().Draw(t, "root") % 8}
			}
			i.Files = append(i.Files, f)
		}
		i.buildIndex()
		for b := range byte(9) {
			root := Root{0: 1, 31: b}
			want := slices.IndexFunc(i.Files, func(f File) bool { return f.Root == root })
			got, ok := i.fileOf(root)
			if ok != (want >= 0) || ok && got != want {
				t.Fatal(got, ok, "not", want)
			}
		}
	})
}

func manyFiles(n int) *Info {
	i := &Info{PieceLength: BlockSize}
	for range n {
		i.Files = append(i.Files, File{Offset: i.Length, Length: 1000})
		i.Length += 1000
	}
	i.number = int((i.Length + i.PieceLength - 1) / i.PieceLength)
	i.buildIndex()
	return i
}

func TestSpansAllocateNothing(t *testing.T) {
	i := manyFiles(1000)
	sum := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		for s := range i.Spans(123456, BlockSize) {
			sum += s.Length
		}
	}); n != 0 || sum%BlockSize != 0 {
		t.Fatal(n, "allocations")
	}
}

// The start is found in logarithmic time: a thousand times as many files cost little
// more.
func BenchmarkSpans(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		i := manyFiles(n)
		b.Run(fmt.Sprint(n, "files"), func(b *testing.B) {
			off := int64(0)
			for b.Loop() {
				for s := range i.Spans(off, BlockSize) {
					off += s.Length
				}
				off = (off * 7) % (i.Length - BlockSize)
			}
		})
	}
}
