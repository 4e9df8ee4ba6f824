// Package magnet parses and formats magnet links.
//
// A link consists of an identity and hints. The identity is an infohash (BEP 9: xt with
// urn:btih, hexadecimal or base32), a v2 infohash (xt with urn:btmh), the public key of a
// mutable torrent (BEP 46: xs with urn:btpk, and s, its salt), or several of these; a
// link without any is an error. With a public key, x.read or x.keep is the secret of a private
// publication (package sealed), and its salt follows from that. The hints are a name (dn), a length (xl), peers (x.pe),
// selected files (BEP 53: so), trackers (tr), web seeds (ws), other sources (xs, as) and
// keywords (kt). Unknown parameters are kept in order.
//
// Parse accepts links as they occur in practice: the scheme and parameter names in either
// case, parameters repeated or numbered (tr.1, tr.2), plus signs for spaces in names, and
// a percent sign that stands for itself. The identity (xt, xs=urn:btpk, s) must be valid;
// otherwise Parse returns an *Error that names the wrong part; so must a secret, which the *Error does not show. An invalid hint (so, xl,
// x.pe) is ignored, and Warnings contains an *Error for it.
//
// String returns the canonical form, which Parse reads as the same Link. Text in a Link
// may come from an attacker: it may contain any bytes, and must not be used as a file
// name or printed to a terminal unchanged.
package magnet

import (
	"sort"

	"seedbed/internal/id"
	"seedbed/internal/sealed"
)

// Link is a parsed magnet link.
type Link struct {
	InfoHash    id.ID // BEP 9: xt=urn:btih
	HasInfoHash bool
	V2          id.ID32 // BEP 52: xt=urn:btmh
	HasV2       bool

	PublicKey    id.ID32 // BEP 46: xs=urn:btpk
	HasPublicKey bool
	Salt         []byte // BEP 46: s; at most 64 bytes; nil without a public key
	// Secret is that of a private publication: x.read or x.keep. Salt is the one that follows
	// from it.
	Secret sealed.Secret

	Name         string   // dn
	Length       int64    // xl, in bytes; 0 means unknown
	Trackers     []string // tr
	WebSeeds     []string // ws
	ExactSources []string // xs, except urn:btpk
	Sources      []string // as
	Keywords     []string // kt
	Peers        []string // x.pe: name:port, IPv4:port or [IPv6]:port
	Select       []Range  // so: sorted and disjoint; nil means all

	// Other holds further parameters as they are: unknown ones, xt of other networks, and
	// additional occurrences of dn, xl and s.
	Other []Param

	// Warnings lists the ignored hints, up to maxWarnings. They are not part of the link:
	// String omits them.
	Warnings []error
}

// Range is the file indices from First to Last inclusive, counted from 0.
type Range struct{ First, Last uint32 }

// Selects reports whether the link selects the file with that index (BEP 53). Without a selection, as in a nil Link, it
// selects every file.
func (l *Link) Selects(index int) bool {
	if l == nil || len(l.Select) == 0 {
		return true
	}
	k := sort.Search(len(l.Select), func(k int) bool { return int64(l.Select[k].Last) >= int64(index) })
	return k < len(l.Select) && int64(l.Select[k].First) <= int64(index)
}

// Param is a parameter, decoded.
type Param struct{ Key, Value string }

// Hash returns the infohash used in handshakes and the DHT: that of BEP 3 if the link has
// it, otherwise the v2 one truncated to 20 bytes (BEP 52).
func (l *Link) Hash() id.ID {
	if l.HasInfoHash || !l.HasV2 {
		return l.InfoHash
	}
	return l.V2.Short()
}

// Openable returns nil if the link names a torrent, and otherwise an *Error with the
// reason.
func (l *Link) Openable() error {
	switch {
	case l.HasInfoHash, l.HasV2:
		return nil
	case l.HasPublicKey:
		return &Error{Part: keyPrefix + l.PublicKey.String(), Reason: "names a publication (BEP 46), not a torrent: use get to download its latest version, or follow to keep it up to date"}
	}
	return &Error{Part: "xt", Reason: "is missing: " + wantTopic}
}

const (
	v1Prefix  = "urn:btih:"
	multihash = "1220" // SHA-256, 32 bytes
	v2Prefix  = "urn:btmh:" + multihash
	keyPrefix = "urn:btpk:"

	wantTopic = "a link needs xt=urn:btih: and the 40 hexadecimal digits of an infohash"
)
