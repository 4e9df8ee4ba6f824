package swarm

import (
	"slices"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// A name is an infohash that a swarm of the torrent goes by, as handshakes have
// it: that of BEP 3, or that of BEP 52 cut short. A hybrid has both.
type name struct {
	hash id.ID
	v2   bool
}

// namesOf are those of cfg, the first one first.
func namesOf(cfg *Config) []name {
	first := name{hash: cfg.InfoHash}
	if cfg.InfoHashV2.IsZero() {
		return []name{first}
	}
	second := name{hash: cfg.InfoHashV2.Short(), v2: true}
	if second.hash == first.hash {
		return []name{second}
	}
	return []name{first, second}
}

// learnNames adds the names that the info dictionary tells.
func (t *Torrent) learnNames(info *metainfo.Info) {
	names := slices.Clone(*t.names.Load())
	add := func(n name) {
		if k := slices.IndexFunc(names, func(o name) bool { return o.hash == n.hash }); k >= 0 {
			names[k].v2 = n.v2
		} else {
			names = append(names, n)
		}
	}
	if info.HasV1() {
		add(name{hash: info.Hash})
	}
	if info.HasV2() {
		add(name{hash: info.HashV2.Short(), v2: true})
	}
	t.names.Store(&names)
}

// called is the name with this hash; ok is false if there is none.
func (t *Torrent) called(hash id.ID) (n name, ok bool) {
	for _, n := range *t.names.Load() {
		if n.hash == hash {
			return n, true
		}
	}
	return name{}, false
}

// upgrade is the v2 name for a peer that could do with that, or n.
func (t *Torrent) upgrade(n name) name {
	for _, o := range *t.names.Load() {
		if o.v2 {
			return o
		}
	}
	return n
}
