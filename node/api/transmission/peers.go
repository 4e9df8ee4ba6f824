package transmission

import (
	"encoding/base64"

	"seedbed/node"
)

// writePeers writes an object for each connected peer.
func writePeers(w *writer, r *row) {
	for i := range r.connected() {
		if p := &r.peers[i]; !p.WebSeed {
			writePeer(w, p)
		}
	}
}

func writePeer(w *writer, p *node.PeerInfo) {
	w.open('{')
	texts := func(name, v string) { w.key(name); w.text(v) }
	is := func(name string, v bool) { w.key(name); w.boolean(v) }
	texts("address", p.Addr.Addr().String())
	is("client_is_choked", p.Choked)
	is("client_is_interested", p.Interested)
	texts("client_name", p.Client)
	texts("flag_str", flagsOf(p))
	is("is_downloading_from", isSending(p))
	is("is_encrypted", p.Encrypted)
	is("is_incoming", p.Incoming)
	is("is_uploading_to", p.UpRate >= 1)
	is("is_utp", p.UTP)
	texts("peer_id", base64.StdEncoding.EncodeToString(p.ID[:]))
	is("peer_is_choked", p.PeerChoked)
	is("peer_is_interested", p.PeerInterested)
	w.key("progress")
	w.double(p.Progress)
	w.members(member{"bytes_to_client", p.Downloaded}, member{"bytes_to_peer", p.Uploaded}, member{"port", int64(p.Addr.Port())},
		member{"rate_to_client", int64(p.DownRate)}, member{"rate_to_peer", int64(p.UpRate)})
	w.close('}')
}

// flagsOf returns the letters by which clients show the state of a peer.
func flagsOf(p *node.PeerInfo) string {
	var flags []byte
	for _, f := range []struct {
		is     bool
		letter byte
	}{
		{p.UTP, 'T'},
		{p.Optimistic, 'O'},
		{p.Interested && !p.Choked, 'D'},
		{p.Interested && p.Choked, 'd'},
		{p.PeerInterested && !p.PeerChoked, 'U'},
		{p.PeerInterested && p.PeerChoked, 'u'},
		{!p.Interested && !p.Choked, 'K'},
		{!p.PeerInterested && !p.PeerChoked, '?'},
		{p.Encrypted, 'E'},
		{p.Source&node.FromDHT != 0, 'H'},
		{p.Source&node.FromPEX != 0, 'X'},
		{p.Incoming, 'I'},
	} {
		if f.is {
			flags = append(flags, f.letter)
		}
	}
	return string(flags)
}

// writeSources counts the connected peers by how their addresses were learned.
func writeSources(w *writer, r *row) {
	from := func(s node.PeerSource) int64 {
		return r.count(false, func(p *node.PeerInfo) bool { return p.Source&s != 0 })
	}
	w.open('{')
	w.members(member{"from_cache", from(node.FromLastRun)}, member{"from_dht", from(node.FromDHT)}, member{"from_incoming", from(node.FromIncoming)},
		member{"from_lpd", from(node.FromLSD)}, member{"from_ltep", 0}, member{"from_pex", from(node.FromPEX)}, member{"from_tracker", 0})
	w.close('}')
}
