package peerconn

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// A batch is the concatenation of its blocks' piece messages, in few segments, wherever
// it is cut.
func TestBatchIsAStreamOfMessages(t *testing.T) {
	const pieceLength = 64 << 10
	content := make([]byte, 64*pieceLength)
	for i := range content {
		content[i] = byte(i * 31 >> 3)
	}
	m := newBatch()
	rapid.Check(t, func(t *rapid.T) {
		m.reset()
		var want []byte
		left := batchBytes
		var ends []int
		for len(m.blocks) < batchBlocks {
			longest := rapid.SampledFrom([]int{1, 100, smallBlock, 16 << 10}).Draw(t, "longest")
			var list []engine.Block
			at := rapid.IntRange(0, len(content)/2).Draw(t, "at")
			for range rapid.IntRange(1, 600).Draw(t, "run") {
				b := engine.Block{Piece: uint32(at / pieceLength), Begin: uint32(at % pieceLength), Length: uint32(rapid.IntRange(1, longest).Draw(t, "length"))}
				list = append(list, b)
				at += int(b.Length)
			}
			list = list[:min(len(list), batchBlocks-len(m.blocks))]
			k := contiguousBlocks(list, left, pieceLength)
			if k == 0 {
				break
			}
			list = list[:k]
			if err := m.add(list, func(b []byte) error {
				left -= len(b)
				copy(b, content[int(list[0].Piece)*pieceLength+int(list[0].Begin):])
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, b := range list {
				off := int(b.Piece)*pieceLength + int(b.Begin)
				want = wire.Append(want, wire.Msg{Type: wire.Piece, Index: b.Piece, Begin: b.Begin, Payload: content[off : off+int(b.Length)]})
				ends = append(ends, len(want))
			}
		}
		if got := bytes.Join(m.segments, nil); !bytes.Equal(got, want) {
			t.Fatalf("the stream of %d blocks is wrong", len(m.blocks))
		}
		if len(m.segments) > 2*batchBytes/smallBlock+1 {
			t.Fatalf("%d segments", len(m.segments))
		}
		from := rapid.IntRange(0, len(want)).Draw(t, "from")
		to := rapid.IntRange(from, len(want)).Draw(t, "to")
		if got := m.appendStream([]byte("x"), from, to); !bytes.Equal(got[1:], want[from:to]) {
			t.Fatalf("the stream from %d to %d is wrong", from, to)
		}
		n, rest := 0, from
		for n < len(ends) && ends[n] <= from {
			rest = from - ends[n]
			n++
		}
		if gotN, gotRest := m.completeBlocks(from); gotN != n || gotRest != rest {
			t.Fatalf("%d bytes are %d blocks and %d bytes, not %d and %d", from, gotN, gotRest, n, rest)
		}
	})
}
