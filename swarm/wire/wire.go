// Package wire implements the peer wire protocol: the handshake and the length-prefixed
// messages of BEP 3, with those of BEP 5 (port), BEP 6 (fast), BEP 9 (metadata), BEP 10
// (extensions), BEP 21 (upload only), BEP 54 (lt_donthave) and BEP 55 (holepunch).
//
// It converts between bytes and values and does nothing else: it has no torrent,
// connection or state. It checks that a frame has exactly the form that its id requires.
// The engine checks whether a piece index exists and whether a message is allowed now.
//
// Parse and Append are inverses. Parse takes one frame without its four-byte length
// prefix, and returns a Msg whose Payload points into the frame: nothing is copied or
// allocated. Append writes the prefix too. Integers are big-endian (BEP 3).
//
// If a peer violates the protocol, the error is an *Error, whose Kind is stable and whose text
// is for logs. An unknown message or extension is not an error: it is returned as it is, and
// the caller ignores it.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Type is a message's id, its first byte.
type Type uint8

// The messages whose format Parse checks.
const (
	Choke         Type = 0
	Unchoke       Type = 1
	Interested    Type = 2
	NotInterested Type = 3
	Have          Type = 4 // Index
	Bitfield      Type = 5 // Payload
	Request       Type = 6 // Index, Begin, Length
	Piece         Type = 7 // Index, Begin, Payload, and Length, which is that of Payload
	Cancel        Type = 8 // Index, Begin, Length

	Port Type = 9 // Port (BEP 5)

	Suggest     Type = 13 // Index (BEP 6)
	HaveAll     Type = 14
	HaveNone    Type = 15
	Reject      Type = 16 // Index, Begin, Length
	AllowedFast Type = 17 // Index

	Extended Type = 20 // Ext, Payload (BEP 10)

	// BEP 52. Only a peer that knows that we support v2 sends them. They are parsed like
	// unknown ids.
	HashRequest Type = 21
	Hashes      Type = 22
	HashReject  Type = 23

	// KeepAlive is an empty frame. It has no id on the wire; frames with id 255 are
	// rejected, so that the two cannot be confused.
	KeepAlive Type = 255
)

var typeNames = map[Type]string{
	Choke: "choke", Unchoke: "unchoke", Interested: "interested", NotInterested: "not interested",
	Have: "have", Bitfield: "bitfield", Request: "request", Piece: "piece", Cancel: "cancel",
	Port: "port", Suggest: "suggest piece", HaveAll: "have all", HaveNone: "have none",
	Reject: "reject request", AllowedFast: "allowed fast", Extended: "extended",
	HashRequest: "hash request", Hashes: "hashes", HashReject: "hash reject", KeepAlive: "keep-alive",
}

// String returns the message's name in its BEP.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("message %d", uint8(t))
}

// Sizes in bytes. MaxFrame and MaxBlock limit how much a peer can make us store.
const (
	// MaxFrame is the longest frame: the bitfield of eight million pieces.
	MaxFrame = 1<<20 + 16
	// MaxBlock is the longest block in a piece message, and a sensible limit for
	// requests. BEP 3 says 16 KiB; the mainline client served up to 128 KiB, and a few
	// clients request more than 16.
	MaxBlock = 128 << 10
	// PrefixLen is the size of the length prefix.
	PrefixLen = 4
	// PieceHeaderLen is the length of a piece message before its block, including the
	// length prefix.
	PieceHeaderLen = PrefixLen + 9
)

// Msg is a message. Type determines which fields are used; the others are zero.
type Msg struct {
	Type    Type
	Ext     uint8  // the extension's id, as assigned by its receiver; 0 is the extension handshake
	Port    uint16 // the UDP port of the sender's DHT node
	Index   uint32 // piece index
	Begin   uint32 // offset in the piece in bytes
	Length  uint32 // bytes
	Payload []byte // a bitfield, a block, the bytes after Ext, or the body of an unknown message
}

// Length decodes the length prefix of a frame, which must have at least PrefixLen bytes,
// and rejects a frame longer than MaxFrame.
func Length(prefix []byte) (int, error) {
	n := binary.BigEndian.Uint32(prefix)
	if n > MaxFrame {
		return 0, &Error{Kind: TooLong, Len: int64(n)}
	}
	return int(n), nil
}

// bodyLen is the exact number of bytes after the id, by type; anyLen if it varies.
var bodyLen = func() (t [256]int32) {
	for i := range t {
		t[i] = anyLen
	}
	for _, id := range []Type{Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone} {
		t[id] = 0
	}
	for _, id := range []Type{Have, Suggest, AllowedFast} {
		t[id] = 4
	}
	for _, id := range []Type{Request, Cancel, Reject} {
		t[id] = 12
	}
	t[Port] = 2
	return t
}()

const anyLen = -1

// Parse parses one frame, without its length prefix. The Payload is part of frame.
func Parse(frame []byte) (Msg, error) {
	if len(frame) == 0 {
		// BEP 3: messages of length zero are keepalives and are ignored.
		return Msg{Type: KeepAlive}, nil
	}
	if len(frame) > MaxFrame {
		return Msg{}, &Error{Kind: TooLong, Type: Type(frame[0]), Len: int64(len(frame))}
	}
	m := Msg{Type: Type(frame[0])}
	b := frame[1:]
	if want := bodyLen[m.Type]; want != anyLen && len(b) != int(want) {
		return Msg{}, &Error{Kind: BadLength, Type: m.Type, Len: int64(len(frame))}
	}
	switch m.Type {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
	case Have, Suggest, AllowedFast:
		m.Index = binary.BigEndian.Uint32(b)
	case Request, Cancel, Reject:
		m.Index = binary.BigEndian.Uint32(b)
		m.Begin = binary.BigEndian.Uint32(b[4:])
		m.Length = binary.BigEndian.Uint32(b[8:])
	case Piece:
		// An empty block cannot answer a valid request.
		if len(b) <= 8 || len(b)-8 > MaxBlock {
			return Msg{}, &Error{Kind: BadLength, Type: Piece, Len: int64(len(frame))}
		}
		m.Index = binary.BigEndian.Uint32(b)
		m.Begin = binary.BigEndian.Uint32(b[4:])
		m.Length = uint32(len(b) - 8)
		m.Payload = b[8:]
	case Port:
		m.Port = binary.BigEndian.Uint16(b)
	case Extended:
		// BEP 10: the first byte after the id is the extension message id.
		if len(b) == 0 {
			return Msg{}, &Error{Kind: BadLength, Type: Extended, Len: int64(len(frame))}
		}
		m.Ext, m.Payload = b[0], b[1:]
	case KeepAlive:
		return Msg{}, &Error{Kind: BadID, Type: m.Type, Len: int64(len(frame))}
	default:
		// A bitfield, or an unknown id.
		m.Payload = b
	}
	return m, nil
}

// Append appends m with its length prefix. It is the inverse of Parse. The length of a
// piece message is that of its Payload.
func Append(dst []byte, m Msg) []byte {
	switch m.Type {
	case KeepAlive:
		return append(dst, 0, 0, 0, 0)
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return appendHeader(dst, 0, m.Type)
	case Have, Suggest, AllowedFast:
		return binary.BigEndian.AppendUint32(appendHeader(dst, 4, m.Type), m.Index)
	case Request, Cancel, Reject:
		dst = binary.BigEndian.AppendUint32(appendHeader(dst, 12, m.Type), m.Index)
		dst = binary.BigEndian.AppendUint32(dst, m.Begin)
		return binary.BigEndian.AppendUint32(dst, m.Length)
	case Piece:
		return append(AppendPieceHeader(dst, m.Index, m.Begin, len(m.Payload)), m.Payload...)
	case Port:
		return binary.BigEndian.AppendUint16(appendHeader(dst, 2, Port), m.Port)
	case Extended:
		return append(append(appendHeader(dst, 1+len(m.Payload), Extended), m.Ext), m.Payload...)
	default:
		return append(appendHeader(dst, len(m.Payload), m.Type), m.Payload...)
	}
}

// AppendPieceHeader appends the PieceHeaderLen bytes that precede a block of length
// bytes, for a sender that does not copy the block.
func AppendPieceHeader(dst []byte, index, begin uint32, length int) []byte {
	dst = appendHeader(dst, 8+length, Piece)
	dst = binary.BigEndian.AppendUint32(dst, index)
	return binary.BigEndian.AppendUint32(dst, begin)
}

func appendHeader(dst []byte, body int, t Type) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(1+body)), byte(t))
}
