package node

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// What interfaces show of a torrent besides its Snapshot. Each method reads the state of the
// swarm without waiting for a disk. For a torrent that does not run it reads the state directory.
// Nothing is computed in advance, so there is no cost while no client asks.

// PeerInfo describes a connected peer.
type PeerInfo struct {
	engine.PeerInfo
	WebSeed bool // an HTTP mirror (BEP 19); its address stands for it and cannot be dialed
}

// PeerSource says how the address of a peer was learned; a peer may have several sources.
type PeerSource = engine.Source

// The sources of a peer.
const (
	FromDHT      = engine.FromDHT
	FromPEX      = engine.FromPEX
	FromHint     = engine.FromHint     // the link, the user or --peer named it
	FromLastRun  = engine.FromLastRun  // it was known from an earlier run
	FromIncoming = engine.FromIncoming // it dialed us
	FromLSD      = engine.FromLSD      // it announced itself in the local network
)

// Peers describes the connected peers, in the order of their connections.
func (t *Torrent) Peers() []PeerInfo {
	r := t.run.Load()
	if r == nil {
		return nil
	}
	peers := r.swarm.Peers()
	out := make([]PeerInfo, len(peers))
	for i, p := range peers {
		if out[i] = (PeerInfo{PeerInfo: p, WebSeed: isMirror(p.Addr.Addr())}); out[i].WebSeed {
			out[i].Client, out[i].Source = "web seed", FromHint
		}
	}
	return out
}

// Pieces is which pieces of a torrent are verified, and how many peers have each.
type Pieces struct {
	Have  bitset.Set // verified
	Begun bitset.Set // being downloaded
	Peers []int      // connected peers that have each piece; nil if the torrent does not run
}

// Pieces returns which pieces are verified. If the torrent does not run, or its files are being
// opened, this comes from the resume record. The sets have length 0 while the metadata is not
// known. Snapshot.Availability has the number of distributed copies.
func (t *Torrent) Pieces() (p Pieces) {
	if r := t.run.Load(); r != nil {
		if p.Have, p.Begun, p.Peers = r.swarm.Pieces(); p.Have.Len() > 0 {
			return p
		}
	}
	if info := t.Info(); info != nil {
		p.Have, p.Begun = t.savedPieces(info), bitset.New(info.NumPieces())
	}
	return p
}

// savedPieces returns which pieces are verified according to the resume record.
func (t *Torrent) savedPieces(info *metainfo.Info) bitset.Set {
	if sum := t.summary.Load(); sum != nil && int(sum.havePieces) == info.NumPieces() {
		all := bitset.New(info.NumPieces())
		all.Fill()
		return all
	}
	return storage.RecordedPieces(t.state.resumePath(), info)
}

// FileProgress returns how many bytes of each of Info.Files are verified. It returns nil while
// the metadata is not known.
func (t *Torrent) FileProgress() []int64 {
	info := t.Info()
	if info == nil {
		return nil
	}
	return fileProgress(info, t.verified(info))
}

// verified returns which pieces are verified, also while the torrent does not run.
func (t *Torrent) verified(info *metainfo.Info) bitset.Set {
	if r := t.run.Load(); r != nil {
		if have := r.swarm.Have(); have.Len() > 0 {
			return have
		}
	}
	return t.savedPieces(info)
}

// fileProgress returns how many bytes of each file are in the pieces of have.
func fileProgress(info *metainfo.Info, have bitset.Set) []int64 {
	out := make([]int64, len(info.Files))
	for i := range info.Files {
		out[i] = info.BytesOf(i, have)
	}
	return out
}
