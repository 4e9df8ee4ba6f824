// Package mutable maps between torrents and the DHT items that name them (BEP 46).
//
// A mutable torrent is a mutable DHT item (BEP 44). A public key and a salt identify it, and
// its value contains the infohash of the newest version. Anyone who has the secret key can
// sign a new value with a higher sequence number.
//
// The package does not sign, look up or fetch anything. Its errors mean that the value of an
// item does not name a torrent.
package mutable

import (
	"crypto/ed25519"
	"errors"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// ErrNoTorrent reports that the value of an item does not name a torrent.
var ErrNoTorrent = errors.New(`the item does not name a torrent: it has no 20-byte infohash under "ih" (BEP 46)`)

// Value returns the value of an item that names a torrent. BEP 46: the infohash is under
// "ih". A v2-only torrent has its infohash truncated to 20 bytes there.
func Value(info *metainfo.Info) bencode.Value {
	dst := bencode.AppendBytes(bencode.AppendString([]byte{'d'}, "ih"), info.Hash[:])
	return append(dst, 'e')
}

// Version is what the value of an item says.
type Version struct {
	InfoHash id.ID // of a v2-only torrent, truncated
}

// Read reads the value of an item of the publication l. It ignores entries that it does not
// know. If the value does not name a torrent, the error is ErrNoTorrent.
func Read(l *magnet.Link, v bencode.Value) (Version, error) {
	if v.Kind() != bencode.Dict {
		return Version{}, ErrNoTorrent
	}
	var version Version
	for key, val := range v.Dict() {
		if string(key) == "ih" {
			b, ok := val.Bytes()
			if !ok || len(b) != id.Len {
				return Version{}, ErrNoTorrent
			}
			version.InfoHash = id.ID(b)
		}
	}
	if version.InfoHash.IsZero() {
		return Version{}, ErrNoTorrent
	}
	return version, nil
}

// Link returns the link of the publication under a key and a salt.
func Link(key [ed25519.PublicKeySize]byte, salt []byte, name string) *magnet.Link {
	return &magnet.Link{PublicKey: key, HasPublicKey: true, Salt: salt, Name: name}
}

// Pin returns a link to one version of the publication l: it has the infohash instead of the
// key, and keeps the peer addresses and other hints of l.
func Pin(l *magnet.Link, infohash id.ID) *magnet.Link {
	return &magnet.Link{InfoHash: infohash, HasInfoHash: true, Name: l.Name, Peers: l.Peers, Trackers: l.Trackers, WebSeeds: l.WebSeeds, Select: l.Select}
}
