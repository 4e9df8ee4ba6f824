// Package magnet reads and writes magnet links.
//
// A link is an identity and hints. The identity is an infohash (BEP 9: xt with
// urn:btih, hexadecimal or base32), a v2 infohash (xt with urn:btmh), the
// public key of a mutable torrent (BEP 46: xs with urn:btpk, and s, its salt),
// or several of them; a link without any is an error. The hints are a name
// (dn), a length (xl), peers (x.pe), selected files (BEP 53: so), trackers
// (tr), web seeds (ws), other sources (xs, as) and keywords (kt). What the
// package does not know it keeps, in order.
//
// Parse takes what is in the wild: the scheme and the names of parameters in
// either case, parameters repeated or numbered (tr.1, tr.2), plus signs for
// spaces in names, and a percent sign that stands for itself. What is the identity
// (xt, xs=urn:btpk, s) has to be right, and an *Error points at what is not. A hint
// that makes no sense (so, xl, x.pe) is passed over: Warnings has an *Error for it.
//
// String writes the one canonical form, and Parse reads that as the same Link.
// Text in a Link is what somebody wrote who need not be a friend: it may hold
// any bytes, and is neither a file name nor fit for a terminal as it is.
package magnet

import "seedbed/internal/id"

// Link is what a magnet link says.
type Link struct {
	InfoHash    id.ID // BEP 9: xt=urn:btih
	HasInfoHash bool
	V2          id.ID32 // BEP 52: xt=urn:btmh
	HasV2       bool

	PublicKey    id.ID32 // BEP 46: xs=urn:btpk
	HasPublicKey bool
	Salt         []byte // BEP 46: s; at most 64 bytes; nil without a public key

	Name         string   // dn
	Length       int64    // xl, in bytes; 0 is unknown
	Trackers     []string // tr
	WebSeeds     []string // ws
	ExactSources []string // xs, but for urn:btpk
	Sources      []string // as
	Keywords     []string // kt
	Peers        []string // x.pe: name:port, IPv4:port or [IPv6]:port
	Select       []Range  // so: sorted, apart from one another; nil is all

	// Other parameters as they came: unknown ones, xt of other networks, and
	// what is left of dn, xl and s when they come more than once.
	Other []Param

	// Warnings say which hints were passed over, the first maxWarnings of them. They
	// are no part of the link: String leaves them out.
	Warnings []error
}

// Range is the file indices from First to Last, both included, from 0.
type Range struct{ First, Last uint32 }

// Param is a parameter, decoded.
type Param struct{ Key, Value string }

// Hash is the infohash as handshakes and the DHT have it: that of BEP 3 if the link
// has it, or else the v2 one cut to 20 bytes (BEP 52).
func (l *Link) Hash() id.ID {
	if l.HasInfoHash || !l.HasV2 {
		return l.InfoHash
	}
	return l.V2.Short()
}

// Openable is nil if the link can be opened, and otherwise an *Error that says
// why not.
func (l *Link) Openable() error {
	switch {
	case l.HasInfoHash, l.HasV2:
		return nil
	case l.HasPublicKey:
		return &Error{Part: keyPrefix + l.PublicKey.String(), Reason: "names what is published under a key (BEP 46), not one torrent: its newest version is opened by get, and kept up with by follow"}
	}
	return &Error{Part: "xt", Reason: "is missing: " + wantTopic}
}

const (
	v1Prefix  = "urn:btih:"
	multihash = "1220" // SHA-256, 32 bytes
	v2Prefix  = "urn:btmh:" + multihash
	keyPrefix = "urn:btpk:"

	wantTopic = "xt=urn:btih: and the 40 hexadecimal digits of an infohash belong in a link"
)
