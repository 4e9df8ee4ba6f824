package node

import (
	"net/netip"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// Metainfo returns the content of a .torrent file of the torrent, or nil while the metadata is
// not known. For a torrent that does not run, it reads the state directory. Info is read-only.
func (t *Torrent) Metainfo() *metainfo.Torrent {
	info := t.Info()
	if info == nil {
		return nil
	}
	spec := t.spec()
	file := *torrentFile(&spec, info)
	if spec.Torrent == nil {
		if saved := t.state.loadTorrent(hashesOf(info)); saved != nil {
			file = *saved
		}
	}
	if file.WebSeeds == nil {
		file.WebSeeds = spec.webSeeds()
	}
	return &file
}

// AddPeers passes addresses of peers that the user names to the torrent, and reports whether it
// has taken them: it does not while it is not running. A private torrent takes them too.
func (t *Torrent) AddPeers(peers []netip.AddrPort) bool {
	r := t.run.Load()
	if r == nil {
		return false
	}
	cs := make([]engine.Candidate, len(peers))
	for i, a := range peers {
		cs[i] = engine.Candidate{Addr: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), Source: engine.FromHint}
	}
	r.swarm.AddCandidates(cs)
	return true
}
