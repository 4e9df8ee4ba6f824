package swarm

import (
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// The answer to each of our requests fits the longest frame that we accept, including the
// leaves of pieces of 64 MiB.
func TestHashAnswersFit(t *testing.T) {
	for _, length := range []int64{16 << 10, 1 << 20, 64 << 20} {
		d, err := metainfo.NewDraft(metainfo.Plan{
			Name: "f", PieceLength: length, Format: metainfo.V2, Files: []metainfo.PlanFile{{Length: 3*length + 5}},
		})
		if err != nil {
			t.Fatal(err)
		}
		info := d.Layout()
		for p := range info.NumPieces() {
			q, ok := info.LeafRequest(p)
			if !ok {
				continue
			}
			m := wire.Msg{Type: wire.Hashes, Payload: wire.AppendHash(nil, wire.HashMsg{Root: q.Root, Length: q.Length, Hashes: make([]byte, 32*q.Length)})}
			if n := len(wire.Append(nil, m)) - wire.PrefixLen; n > longestFrame(info) {
				t.Errorf("%d bytes of leaves of piece %d of %d bytes, but frames are limited to %d", n, p, length, longestFrame(info))
			}
		}
	}
}
