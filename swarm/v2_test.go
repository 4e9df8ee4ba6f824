package swarm

import (
	"os"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// madeByLibtorrent returns a torrent of metainfo's testdata and its content.
func madeByLibtorrent(t testing.TB, name string) (*metainfo.Info, *memStorage) {
	t.Helper()
	b, err := os.ReadFile("../magnet/metainfo/testdata/" + name + ".torrent")
	if err != nil {
		t.Fatal(err)
	}
	tt, err := metainfo.ParseTorrent(b)
	if err != nil {
		t.Fatal(err)
	}
	m := newMem(tt.Info)
	at := 0
	for _, f := range tt.Info.Files {
		for i := range int(f.Length) {
			if !f.Pad {
				m.data[at+i] = byte(i*i*7 + int(f.Length) + i>>8)
			}
		}
		at += int(f.Length)
	}
	for p := range tt.Info.NumPieces() {
		m.MarkVerified(p)
	}
	return tt.Info, m
}

// withInfohashes sets the infohashes from which a torrent starts.
func withInfohashes(hash id.ID, v2 id.ID32) option {
	return func(c *Config, _ *SharedConfig) { c.InfoHash, c.InfoHashV2 = hash, v2 }
}

// From a v2 infohash only: metadata, layers and pieces. From either infohash of a hybrid
// torrent: a peer that knows one infohash also meets peers that know the other, once it
// has the metadata.
func TestV2FromTheBareInfohash(t *testing.T) {
	for _, c := range []struct {
		name, torrent string
		v2            bool // the leecher knows the v2 infohash
	}{
		{"v2", "v2-tree", true}, {"v2, one file", "v2-single", true},
		{"hybrid by v1", "hybrid-tree", false}, {"hybrid by v2", "hybrid-tree", true}, {"hybrid, one file, by v2", "hybrid-single", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			info, full := madeByLibtorrent(t, c.torrent)
			sim(t, func(t *testing.T, n *simnet.Net) {
				seed := startNode(t, n, 1, info, full, withInfohashes(info.Hash, info.HashV2))
				defer seed.close()
				hash, v2 := info.Hash, id.ID32{}
				if c.v2 {
					hash, v2 = info.HashV2.Short(), info.HashV2
				}
				leech := startNode(t, n, 2, info, nil, withInfohashes(hash, v2))
				defer leech.close()
				leech.addPeers(seed)
				leech.await(Complete, time.Minute)
				leech.checkContent(full)
				// A third one, which knows only the v1 infohash of a hybrid torrent and
				// only the second one as a peer.
				other := startNode(t, n, 3, info, nil, withInfohashes(info.Hash, id.ID32{}))
				defer other.close()
				if !info.HasV1() {
					return
				}
				other.addPeers(leech)
				other.await(Complete, time.Minute)
				other.checkContent(full)
			})
		})
	}
}
