// Package pex implements peer exchange (BEP 11): peers of a torrent exchange the
// addresses of the peers that they are connected to.
//
// Parse and Append are the codec of ut_pex messages. A Sender decides what is sent to one
// peer and when, from the list of connections; an Intake decides what is accepted from
// one peer. Rules say which addresses may be sent or accepted. Sender and Intake hold the
// state of one connection, are created and dropped with it, and use bounded memory.
//
// Private torrents must not use PEX (BEP 27). The caller enforces that, and must not list
// a peer before its handshake has completed.
//
// If a peer violates the protocol, the error is an *Error. Received addresses are unverified
// (BEP 11): nothing shows that there is a peer before a connection to it succeeds.
package pex

import (
	"errors"
	"fmt"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bencode"
)

// Flags are what the sender knows about a peer (BEP 11).
type Flags uint8

const (
	PrefersEncryption Flags = 0x01
	Seed              Flags = 0x02 // or partial seed (BEP 21 upload_only)
	UTP               Flags = 0x04
	Holepunch         Flags = 0x08
	Reachable         Flags = 0x10 // the sender has dialed it
)

// known is the set of flags of BEP 11; "other bits are reserved for future use".
const known = PrefersEncryption | Seed | UTP | Holepunch | Reachable

// Peer is an address and its flags.
type Peer struct {
	Addr  netip.AddrPort
	Flags Flags
}

// Update is one message: the peers that its sender has connected to, and disconnected
// from, since the last one.
type Update struct {
	Added   []Peer
	Dropped []netip.AddrPort
}

// Limits of one message:
const (
	// MaxEntries is BEP 11's limit on added and on dropped peers, IPv4 and IPv6 together.
	MaxEntries = 50
	// MaxFirst bounds the peers read from any message, because BEP 11 has no limit for
	// the first one. libtorrent sends at most 100.
	MaxFirst = 200
	// MaxLen is the longest accepted payload in bytes.
	MaxLen = 32 << 10
)

// Error reports that a peer violated the protocol.
type Error struct {
	Kind Kind
	Len  int   // of the payload in bytes
	Err  error // of BadBencode: the scanner's error
}

// Kind says what a peer did wrong.
type Kind uint8

const (
	TooLong    Kind = iota + 1 // a message of more than MaxLen bytes
	BadBencode                 // not a dictionary
	Flood                      // far more messages than BEP 11 allows
)

func (e *Error) Error() string {
	switch e.Kind {
	case TooLong:
		return fmt.Sprintf("peer exchange message of %d bytes is too long", e.Len)
	case BadBencode:
		return fmt.Sprintf("peer exchange message of %d bytes: %v", e.Len, e.Err)
	case Flood:
		return "too many peer exchange messages: BEP 11 allows one a minute"
	}
	return "unknown fault"
}

func (e *Error) Unwrap() error { return e.Err }

var (
	errNoDict = errors.New("not a dictionary")
	limits    = bencode.Limits{Depth: 8, Tokens: 100, StringLen: MaxLen}
)

// Parse parses the payload of a ut_pex message. Like other clients it is lenient: it
// accepts the complete contacts of a string with extra bytes, flags only if there is one
// for each contact, and MaxFirst contacts of longer lists. A message without any of the
// fields violates BEP 11 and yields an empty Update.
func Parse(payload []byte) (Update, error) {
	if len(payload) > MaxLen {
		return Update{}, &Error{Kind: TooLong, Len: len(payload)}
	}
	v, _, err := bencode.Parse(payload, limits)
	if err == nil && v.Kind() != bencode.Dict {
		err = errNoDict
	}
	if err != nil {
		return Update{}, &Error{Kind: BadBencode, Len: len(payload), Err: err}
	}
	var added4, flags4, added6, flags6, dropped4, dropped6 []byte
	for key, v := range v.Dict() {
		b, _ := v.Bytes()
		switch string(key) {
		case "added":
			added4 = b
		case "added.f":
			flags4 = b
		case "added6":
			added6 = b
		case "added6.f":
			flags6 = b
		case "dropped":
			dropped4 = b
		case "dropped6":
			dropped6 = b
		}
	}
	var u Update
	if n := min(len(added4)/addrs.Len4+len(added6)/addrs.Len6, MaxFirst); n > 0 {
		u.Added = make([]Peer, 0, n)
		u.Added = readPeers(u.Added, added4, flags4, addrs.Len4)
		u.Added = readPeers(u.Added, added6, flags6, addrs.Len6)
	}
	if n := min(len(dropped4)/addrs.Len4+len(dropped6)/addrs.Len6, MaxFirst); n > 0 {
		u.Dropped = make([]netip.AddrPort, 0, n)
		u.Dropped = readAddrs(u.Dropped, dropped4, addrs.Len4)
		u.Dropped = readAddrs(u.Dropped, dropped6, addrs.Len6)
	}
	return u, nil
}

func readPeers(dst []Peer, b, flags []byte, size int) []Peer {
	if len(flags) != len(b)/size {
		flags = nil // BEP 11: "optional, bit-flags, 1 byte per added peer"
	}
	for i := 0; len(b) >= size && len(dst) < MaxFirst; i++ {
		p := Peer{Addr: addrs.Parse(b[:size])}
		if flags != nil {
			p.Flags = Flags(flags[i]) & known
		}
		dst, b = append(dst, p), b[size:]
	}
	return dst
}

func readAddrs(dst []netip.AddrPort, b []byte, size int) []netip.AddrPort {
	for len(b) >= size && len(dst) < MaxFirst {
		dst, b = append(dst, addrs.Parse(b[:size])), b[size:]
	}
	return dst
}

// Append appends the payload of a ut_pex message. Flags are always included, because
// libtorrent ignores contacts without them.
func Append(dst []byte, u Update) []byte {
	var added, flags, dropped [2][]byte // by family
	for _, p := range u.Added {
		f := family(p.Addr)
		added[f] = addrs.Append(added[f], p.Addr)
		flags[f] = append(flags[f], byte(p.Flags&known))
	}
	for _, a := range u.Dropped {
		f := family(a)
		dropped[f] = addrs.Append(dropped[f], a)
	}
	dst = append(dst, 'd')
	field := func(key string, b []byte) {
		dst = bencode.AppendBytes(bencode.AppendString(dst, key), b)
	}
	// BEP 11: messages must contain at least one of the fields.
	if len(added[0]) > 0 || len(u.Added)+len(u.Dropped) == 0 {
		field("added", added[0])
		field("added.f", flags[0])
	}
	if len(added[1]) > 0 {
		field("added6", added[1])
		field("added6.f", flags[1])
	}
	if len(dropped[0]) > 0 {
		field("dropped", dropped[0])
	}
	if len(dropped[1]) > 0 {
		field("dropped6", dropped[1])
	}
	return append(dst, 'e')
}

// family returns 0 for an IPv4 address and 1 otherwise.
func family(a netip.AddrPort) int {
	if a.Addr().Unmap().Is4() {
		return 0
	}
	return 1
}
