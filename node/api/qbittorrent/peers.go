package qbittorrent

import (
	"strings"

	"seedbed/node"
)

// torrentPeers answers with the peers of a torrent. It is always a full update: there are few peers,
// and most values of each change every second.
func torrentPeers(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	o := newObject(nil)
	o.int("rid", c.integer("rid", 0)%maxRid+1)
	o.bool("full_update", true)
	o.bool("show_flags", false)
	o.object("peers", func(o *object) {
		for _, p := range t.Peers() {
			o.object(p.Addr.String(), func(o *object) { describePeer(o, &p) })
		}
	})
	return c.json(o.end())
}

// maxRid is the largest number of an answer. The numbers then begin again.
const maxRid = 1000000

// describePeer writes the values of a peer.
func describePeer(o *object, p *node.PeerInfo) {
	flags, words := flagsOf(p)
	connection := "BT"
	switch {
	case p.WebSeed:
		connection = "Web"
	case p.UTP:
		connection = "μTP"
	}
	o.str("client", p.Client)
	o.str("peer_id_client", string(printable(p.ID[:8])))
	o.str("ip", p.Addr.Addr().String())
	o.int("port", int64(p.Addr.Port()))
	o.float("progress", p.Progress)
	o.int("dl_speed", int64(p.DownRate))
	o.int("up_speed", int64(p.UpRate))
	o.int("downloaded", p.Downloaded)
	o.int("uploaded", p.Uploaded)
	o.str("connection", connection)
	o.str("flags", flags)
	o.str("flags_desc", words)
	o.float("relevance", 0)
	o.str("files", "")
}

// printable returns the characters of a peer id that can be shown.
func printable(id []byte) (text []byte) {
	for _, c := range id {
		if c > ' ' && c < 0x7f {
			text = append(text, c)
		}
	}
	return text
}

// flagsOf returns the flags of a peer with the letters of qBittorrent, and what they mean.
func flagsOf(p *node.PeerInfo) (letters, words string) {
	var ls, ws []string
	for _, f := range []struct {
		on           bool
		letter, word string
	}{
		{p.Interested && p.Choked, "d", "Interested (local) and choked (peer)"},
		{p.Interested && !p.Choked, "D", "Interested (local) and unchoked (peer)"},
		{p.PeerInterested && p.PeerChoked, "u", "Interested (peer) and choked (local)"},
		{p.PeerInterested && !p.PeerChoked, "U", "Interested (peer) and unchoked (local)"},
		{!p.Choked && !p.Interested, "K", "Not interested (local) and unchoked (peer)"},
		{!p.PeerChoked && !p.PeerInterested, "?", "Not interested (peer) and unchoked (local)"},
		{p.Optimistic, "O", "Optimistic unchoke"},
		{p.Snubbed, "S", "Peer snubbed"},
		{p.Incoming, "I", "Incoming connection"},
		{p.Source&node.FromDHT != 0, "H", "Peer from DHT"},
		{p.Source&node.FromPEX != 0, "X", "Peer from PEX"},
		{p.Source&node.FromLSD != 0, "L", "Peer from LSD"},
		{p.Encrypted, "E", "Encrypted traffic"},
		{p.UTP, "P", "μTP"},
		{p.Punched, "h", "Peer is using NAT hole punching"},
	} {
		if f.on {
			ls, ws = append(ls, f.letter), append(ws, f.letter+" = "+f.word)
		}
	}
	return strings.Join(ls, " "), strings.Join(ws, "\n")
}
