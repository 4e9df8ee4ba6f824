// Package krpc reads the messages of the DHT (BEP 5) in place and writes the replies to
// queries.
//
// Parse scans a datagram once, copies no strings and allocates nothing. The slices of a
// Message point into the datagram. Parse accepts:
//
//   - Queries, with every argument that BEP 5, 32, 33, 43, 44 and 51 name. A query with
//     wrong arguments is still a query: Query.Bad says what to answer. So is a query with
//     an unknown name.
//   - Responses with an id, and errors. Any other field that does not have the type and
//     length that its BEP gives it counts as absent.
//
// For everything else Parse returns an Error: for a datagram that does not decode, and for
// a message without a field that every message must have. The caller does not reply to it.
//
// Append and AppendError encode replies. Every reply contains the address of the node that
// asked (BEP 42) and our version. A reply has at most MaxDatagram bytes (BEP 32), except
// with an item that does not fit.
//
// This package does not write our own queries, except pings, and does not interpret
// responses.
package krpc

import (
	"net/netip"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

const (
	// MaxDatagram is BEP 32's limit: a node must not send UDP datagrams with a payload
	// larger than 1024 octets. The one exception is a BEP 44 value of up to 1000 bytes:
	// neither the put nor the reply that carries it can be that short. The required fields
	// of such a reply take at most MaxItemDatagram bytes, which is the largest mutable item
	// over IPv6 with a token of 8 bytes.
	MaxDatagram     = 1024
	MaxItemDatagram = 1268
	// MaxT is the maximum length of a transaction id. We do not reply to a longer one. BEP
	// 5 expects 2 bytes; the id is part of the reply and must leave room for the rest.
	MaxT = 32
	// MaxToken is the maximum length of a token. It is longer than any token in use, and
	// short enough to store until the announce.
	MaxToken = 128

	// BEP 44: values above 1000 bytes may be rejected; the salt must not be
	// longer than 64 bytes.
	MaxValue = 1000
	MaxSalt  = 64
	KeyLen   = 32 // of an ed25519 public key
	SigLen   = 64 // of a signature

	BloomLen = 256 // BEP 33

	// MaxSamples is the maximum number of infohashes in a sample (BEP 51 allows what fits;
	// this is libtorrent's number).
	MaxSamples = 20

	// The lengths of compact peers and nodes (BEP 5 and 32).
	PeerLen4, PeerLen6 = 6, 18
	NodeLen4, NodeLen6 = id.Len + PeerLen4, id.Len + PeerLen6
)

// limits accept every legitimate message. The largest response seen was a fragmented
// datagram with about a thousand values, from a node that does not limit its replies.
var limits = bencode.Limits{Depth: 32, Tokens: 8192, StringLen: 1 << 16, BigInts: true}

// Error is the reason why a datagram is not a valid KRPC message.
type Error uint8

const (
	_           Error = iota
	ErrBencode        // not bencode, or beyond the limits
	ErrNotDict        // not a dictionary
	ErrRepeated       // a key of the protocol appears twice
	ErrT              // no transaction id of 0 to 32 bytes
	ErrY              // no "y" of "q", "r" or "e"
	ErrQ              // a query without a name
	ErrArgs           // a query without arguments
	ErrID             // no node id of 20 bytes
	ErrReturn         // a response without return values
	ErrErr            // an error without a list
)

func (e Error) Error() string {
	return [...]string{
		ErrBencode:  "krpc: not bencode, or beyond the limits",
		ErrNotDict:  "krpc: not a dictionary",
		ErrRepeated: "krpc: a key appears twice",
		ErrT:        "krpc: no transaction id of at most 32 bytes",
		ErrY:        "krpc: neither query nor response nor error",
		ErrQ:        "krpc: a query without a name",
		ErrArgs:     "krpc: a query without arguments",
		ErrID:       "krpc: no node id of 20 bytes",
		ErrReturn:   "krpc: a response without return values",
		ErrErr:      "krpc: an error without a list",
	}[e]
}

// The error codes of BEP 5 and 44.
const (
	CodeGeneric     = 201
	CodeServer      = 202
	CodeProtocol    = 203 // malformed packet, invalid arguments or bad token
	CodeUnknown     = 204 // method unknown
	CodeValueTooBig = 205
	CodeBadSig      = 206
	CodeSaltTooBig  = 207
	CodeCASMismatch = 301 // re-read the value and try again
	CodeOldSeq      = 302 // sequence number less than current
)

// Kind is the method of a query.
type Kind uint8

const (
	Unknown Kind = iota
	Ping
	FindNode
	GetPeers
	AnnouncePeer
	Get
	Put
	SampleInfohashes
)

func (k Kind) String() string {
	return [...]string{"unknown", "ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes"}[k]
}

// Message is one KRPC message. Its slices point into the datagram.
type Message struct {
	Raw     []byte // the dictionary, without the bytes after it in the datagram
	Y       byte   // 'q', 'r' or 'e': which of the three below is set
	T       []byte // transaction id
	Version []byte // "v", nil if absent

	// IP is our address as the sender sees it (BEP 42), in a response or error. It is the
	// zero AddrPort if absent, and has port 0 if the sender left the port out.
	IP netip.AddrPort

	Query    Query
	Response Response
	Error    ErrorReply
}

// Query is a query that another node sent us. Parse does not check arguments that a query
// of its Kind does not have.
type Query struct {
	T    []byte
	Name []byte
	Kind Kind
	ID   id.ID // of the node that asks

	// Bad says why the arguments of a known query are invalid. It is the text of the error
	// reply, and BadCode the code. If Bad is empty, all arguments that the Kind needs are
	// valid and set.
	Bad     string
	BadCode int

	// Target is the argument "target" of find_node, get and sample_infohashes, "info_hash"
	// of get_peers and announce_peer, and one of the two of an unknown query if HasTarget.
	// A put does not contain its target, which is computed from the item.
	Target    id.ID
	HasTarget bool

	Port        uint16 // announce_peer; 0 only if ImpliedPort
	ImpliedPort bool
	Token       []byte

	// BEP 44. A put is for a mutable item if K is not nil.
	V      bencode.Value // in strict form, at most MaxValue bytes
	K, Sig []byte
	Salt   []byte
	Seq    int64 // set in a put of a mutable item, and in a get if HasSeq
	CAS    int64 // only if HasCAS
	HasSeq bool
	HasCAS bool

	Seed, NoSeed, Scrape    bool // BEP 33
	ReadOnly                bool // BEP 43: do not add the node to the table
	HasWant, WantV4, WantV6 bool // BEP 32; HasWant: the list contains a family that we know
	Version                 []byte
}

// Response is a response to a query of ours: the return values that a lookup uses.
type Response struct {
	ID     id.ID
	Nodes  []byte        // compact nodes of 26 bytes, nil if absent
	Nodes6 []byte        // of 38 bytes
	Values bencode.Value // a list, which Peers reads
	Token  []byte        // nil if absent
}

// ErrorReply is the content of an error message.
type ErrorReply struct {
	Code int64
	Text []byte
}
