// Package mutable maps between torrents and the DHT items that name them (BEP 46).
//
// A mutable torrent is a mutable DHT item (BEP 44): a public key and a salt say where it
// is, and its value names the infohash of the newest version. Whoever has the secret key
// can sign a new value with a higher number.
//
// The package does not sign, look up or fetch anything. Errors mean that the value of an
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

// ErrNoTorrent says that the value of an item does not name a torrent.
var ErrNoTorrent = errors.New(`the item names no torrent: it has no infohash of 20 bytes under "ih" (BEP 46)`)

// Value returns the value of an item that names a torrent. BEP 46: the infohash is under
// "ih". A torrent with a v2 side only has its infohash cut to 20 bytes there.
func Value(info *metainfo.Info) bencode.Value {
	dst := bencode.AppendBytes(bencode.AppendString([]byte{'d'}, "ih"), info.Hash[:])
	return append(dst, 'e')
}

// Parse returns the infohash that the value of an item names. It ignores all other
// entries.
func Parse(v bencode.Value) (infohash id.ID, err error) {
	if v.Kind() != bencode.Dict {
		return infohash, ErrNoTorrent
	}
	for key, val := range v.Dict() {
		if string(key) == "ih" {
			b, ok := val.Bytes()
			if !ok || len(b) != id.Len {
				return infohash, ErrNoTorrent
			}
			infohash = id.ID(b)
		}
	}
	if infohash.IsZero() {
		return infohash, ErrNoTorrent
	}
	return infohash, nil
}

// Link returns the link of what is published under a key and a salt.
func Link(key [ed25519.PublicKeySize]byte, salt []byte, name string) *magnet.Link {
	return &magnet.Link{PublicKey: key, HasPublicKey: true, Salt: salt, Name: name}
}

// Pin returns a link to one version of what l names: it has the infohash instead of the
// key, and keeps the hints of l, which are for all versions.
func Pin(l *magnet.Link, infohash id.ID) *magnet.Link {
	return &magnet.Link{InfoHash: infohash, HasInfoHash: true, Name: l.Name, Peers: l.Peers, Trackers: l.Trackers, WebSeeds: l.WebSeeds, Select: l.Select}
}
