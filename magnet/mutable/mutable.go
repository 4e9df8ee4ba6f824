// Package mutable maps between torrents and the DHT items that name them (BEP 46).
//
// A mutable torrent is a mutable DHT item (BEP 44). A public key and a salt identify it, and
// its value contains the infohash of the newest version. Anyone who has the secret key can
// sign a new value with a higher sequence number.
//
// The value of a private publication is sealed: the link's secret opens it (package sealed).
//
// The package does not sign, look up or fetch anything. Its errors mean that the value of an
// item does not name a torrent.
package mutable

import (
	"crypto/ed25519"
	"errors"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// ErrPrivate reports that the item is of a private publication, and that the link has no
// secret.
var ErrPrivate = errors.New("the publication is private, and this link has no secret (x.read or x.keep): ask the publisher for the whole link")

// ErrNotSealed reports that the link has a secret, and the value of the item is not sealed.
var ErrNotSealed = errors.New("the link is of a private publication, but the value of the item is not sealed")

// sealedKey is the key of the sealed value of a private publication. The value has no other.
const sealedKey = "sb"

// ErrNoTorrent reports that the value of an item does not name a torrent.
var ErrNoTorrent = errors.New(`the item does not name a torrent: it has no 20-byte infohash under "ih" (BEP 46)`)

// Version is what an item says.
type Version struct {
	Seq        int64   // its number, as its history says; 0 if it has none
	InfoHash   id.ID   // of a v2-only torrent, truncated
	InfoHashV2 id.ID32 // BEP 52; zero if the value does not have it

	Signed  time.Time // when it was signed; the zero Time if that is not known
	Earlier []Earlier // earlier versions, the newest first

	// Delegation is the statement in the value, or nil. It counts only in an item that is
	// signed with the key in the link.
	Delegation *Delegation
}

// VersionOf returns the version seq that is the torrent info.
func VersionOf(info *metainfo.Info, seq int64) Version {
	return Version{Seq: seq, InfoHash: info.Hash, InfoHashV2: info.HashV2}
}

// Value returns the value of the item of a version. BEP 46: the infohash is under "ih". A v2-only
// torrent has its infohash truncated to 20 bytes there. An item that only makes a statement has no
// infohash. Three entries are ours: "d" is the statement; "h" is the history, unless Seq is 0 (see
// appendHistory); and "i2" is the complete v2 infohash, so that followers can use the v2 side of a
// hybrid torrent from the first connection on. The value fits into an item, also after Seal: the
// history has as many versions as the other entries leave room for.
func (v *Version) Value() bencode.Value {
	dst := []byte{'d'}
	if v.Delegation != nil {
		dst = v.Delegation.appendEntry(dst)
	}
	var hashes []byte
	if !v.InfoHashV2.IsZero() {
		hashes = bencode.AppendBytes(bencode.AppendString(hashes, "i2"), v.InfoHashV2[:])
	}
	if !v.InfoHash.IsZero() {
		hashes = bencode.AppendBytes(bencode.AppendString(hashes, "ih"), v.InfoHash[:])
	}
	if v.Seq > 0 {
		room := sealed.MaxValuePlain - len(dst) - len("1:h000:") - len(hashes) - len("e")
		dst = bencode.AppendBytes(bencode.AppendString(dst, "h"), v.appendHistory(nil, min(room, maxHistory)))
	}
	return append(append(dst, hashes...), 'e')
}

// Seal returns the value of an item of the private publication with this secret, in place of the
// value that a public one would have. The error is sealed.ErrValueLen.
func Seal(s sealed.Secret, v bencode.Value) (bencode.Value, error) {
	box, err := s.SealValue(v)
	if err != nil {
		return nil, err
	}
	return append(bencode.AppendBytes(bencode.AppendString([]byte{'d'}, sealedKey), box), 'e'), nil
}

// open returns the value in a sealed one.
func open(s sealed.Secret, v bencode.Value) (bencode.Value, error) {
	var box []byte
	for key, val := range v.Dict() {
		if string(key) == sealedKey {
			box, _ = val.Bytes()
		}
	}
	switch {
	case box == nil && s.IsZero():
		return v, nil
	case box == nil:
		return nil, ErrNotSealed
	case s.IsZero():
		return nil, ErrPrivate
	}
	plain, err := s.OpenValue(box)
	if err != nil {
		return nil, err
	}
	// The publisher may be hostile: what it has sealed is as little checked as any value.
	inner, rest, err := bencode.Parse(plain, bencode.Limits{Depth: maxDepth})
	if err != nil || len(rest) > 0 || inner.Kind() != bencode.Dict {
		return nil, ErrNoTorrent
	}
	return inner, nil
}

// maxDepth is the greatest depth of a sealed value.
const maxDepth = 32

// Read reads the value of an item of the publication l. It ignores entries that it does not
// know. It opens the value of a private publication with the secret in the link. If the value does
// not name a torrent, the error is ErrNoTorrent, and the statement, if there is one, is returned even
// then; if it cannot be opened, the error is ErrPrivate, ErrNotSealed, sealed.ErrValue or a
// *sealed.VersionError.
func Read(l *magnet.Link, v bencode.Value) (Version, error) {
	if v.Kind() != bencode.Dict {
		return Version{}, ErrNoTorrent
	}
	v, err := open(l.Secret, v)
	if err != nil {
		return Version{}, err
	}
	var version Version
	for key, val := range v.Dict() {
		b, ok := val.Bytes()
		switch string(key) {
		case "d":
			version.Delegation = readDelegation(l, val)
		case "ih":
			if !ok || len(b) != id.Len {
				return Version{}, ErrNoTorrent
			}
			version.InfoHash = id.ID(b)
		case "i2":
			if ok && len(b) == len(version.InfoHashV2) {
				version.InfoHashV2 = id.ID32(b)
			}
		case "h":
			if ok {
				version.readHistory(b)
			}
		}
	}
	if version.InfoHash.IsZero() {
		return version, ErrNoTorrent
	}
	return version, nil
}

// At returns the link to version seq of the publication l, if that is v or one of its earlier
// versions. The caller has set Seq to the number of the item.
func (v *Version) At(l *magnet.Link, seq int64) (*magnet.Link, bool) {
	if seq == v.Seq {
		return v.Pin(l), true
	}
	for _, e := range v.Earlier {
		if e.Seq == seq {
			return Pin(l, e.InfoHash), true
		}
	}
	return nil, false
}

// Pin returns a link to v, which is a version of the publication l, like the function Pin.
func (v *Version) Pin(l *magnet.Link) *magnet.Link {
	p := Pin(l, v.InfoHash)
	p.V2, p.HasV2 = v.InfoHashV2, !v.InfoHashV2.IsZero()
	return p
}

// Link returns the link of the publication under a key and a salt.
func Link(key [ed25519.PublicKeySize]byte, salt []byte, name string) *magnet.Link {
	return &magnet.Link{PublicKey: key, HasPublicKey: true, Salt: salt, Name: name}
}

// Pin returns a link to one version of the publication l: it has the infohash instead of the
// key, and keeps the peer addresses and other hints of l. The name of a private publication is left out: it is for those who
// have the secret, which a pinned link does not have.
func Pin(l *magnet.Link, infohash id.ID) *magnet.Link {
	p := &magnet.Link{InfoHash: infohash, HasInfoHash: true, Name: l.Name, Peers: l.Peers, Trackers: l.Trackers, WebSeeds: l.WebSeeds, Select: l.Select}
	if l.IsPrivate() {
		p.Name = ""
	}
	return p
}
