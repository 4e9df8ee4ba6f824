package swarm

import (
	"slices"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// swarmHash is an infohash under which the torrent has a swarm, in the form used in
// handshakes: that of BEP 3, or the truncated one of BEP 52. A hybrid torrent has both.
type swarmHash struct {
	hash id.ID
	v2   bool
}

// swarmHashesOf returns the infohashes in cfg, the primary one first.
func swarmHashesOf(cfg *Config) []swarmHash {
	first := swarmHash{hash: cfg.InfoHash}
	if cfg.InfoHashV2.IsZero() {
		return []swarmHash{first}
	}
	second := swarmHash{hash: cfg.InfoHashV2.Short(), v2: true}
	if second.hash == first.hash {
		return []swarmHash{second}
	}
	return []swarmHash{first, second}
}

// addSwarmHashes adds the infohashes of the info dictionary.
func (t *Torrent) addSwarmHashes(info *metainfo.Info) {
	hashes := slices.Clone(*t.swarmHashes.Load())
	add := func(n swarmHash) {
		if k := slices.IndexFunc(hashes, func(o swarmHash) bool { return o.hash == n.hash }); k >= 0 {
			hashes[k].v2 = n.v2
		} else {
			hashes = append(hashes, n)
		}
	}
	if info.HasV1() {
		add(swarmHash{hash: info.Hash})
	}
	if info.HasV2() {
		add(swarmHash{hash: info.HashV2.Short(), v2: true})
	}
	t.swarmHashes.Store(&hashes)
}

// byInfohash returns the swarmHash with this infohash, and whether there is one.
func (t *Torrent) byInfohash(hash id.ID) (n swarmHash, ok bool) {
	for _, n := range *t.swarmHashes.Load() {
		if n.hash == hash {
			return n, true
		}
	}
	return swarmHash{}, false
}

// preferV2 returns the v2 infohash, for a peer that supports it, or n if there is none.
func (t *Torrent) preferV2(n swarmHash) swarmHash {
	for _, o := range *t.swarmHashes.Load() {
		if o.v2 {
			return o
		}
	}
	return n
}
