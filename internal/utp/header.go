package utp

import (
	"encoding/binary"
	"errors"
)

// HeaderLen is the length in bytes of a header without extensions.
const HeaderLen = 20

const version = 1

// Type is the type of a packet.
type Type uint8

// The types of BEP 29.
const (
	Data  Type = iota // ST_DATA
	Fin               // ST_FIN
	State             // ST_STATE
	Reset             // ST_RESET
	Syn               // ST_SYN
	numTypes
)

// Header is the header of a packet.
type Header struct {
	Type          Type
	ConnID        uint16
	Timestamp     uint32 // microseconds on the sender's clock
	TimestampDiff uint32 // microseconds between the last packet's timestamp and its arrival
	Window        uint32 // bytes that the sender can receive
	Seq, Ack      uint16
}

// ErrMalformed is the error of Parse for data that is not a packet.
var ErrMalformed = errors.New("utp: not a uTP packet")

// Parse parses the header of a packet and skips its extensions.
func Parse(b []byte) (h Header, payload []byte, err error) {
	h, _, payload, err = parse(b)
	return h, payload, err
}

// The extensions that we use.
const (
	extSelectiveAck = 1
	// extPadding fills a probe up to its size. No one defines this type, and BEP 29 says
	// that unknown extensions are skipped; libutp and libtorrent do.
	extPadding = 0xfd
)

// parse is Parse with the payload of the selective ack, which is nil if there is none.
func parse(b []byte) (h Header, sack, payload []byte, err error) {
	if len(b) < HeaderLen || b[0]&0x0f != version || b[0]>>4 >= byte(numTypes) {
		return Header{}, nil, nil, ErrMalformed
	}
	h = Header{
		Type:          Type(b[0] >> 4),
		ConnID:        binary.BigEndian.Uint16(b[2:]),
		Timestamp:     binary.BigEndian.Uint32(b[4:]),
		TimestampDiff: binary.BigEndian.Uint32(b[8:]),
		Window:        binary.BigEndian.Uint32(b[12:]),
		Seq:           binary.BigEndian.Uint16(b[16:]),
		Ack:           binary.BigEndian.Uint16(b[18:]),
	}
	// BEP 29: "The extension field is a linked list": each extension has the type of the
	// next one and its own length before its payload; type 0 ends the list.
	next, rest := b[1], b[HeaderLen:]
	for next != 0 {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return Header{}, nil, nil, ErrMalformed
		}
		if next == extSelectiveAck {
			sack = rest[2 : 2+int(rest[1])]
		}
		next, rest = rest[0], rest[2+int(rest[1]):]
	}
	return h, sack, rest, nil
}

// Append appends the header, without extensions.
func (h *Header) Append(dst []byte) []byte {
	dst = append(dst, byte(h.Type)<<4|version, 0)
	dst = binary.BigEndian.AppendUint16(dst, h.ConnID)
	dst = binary.BigEndian.AppendUint32(dst, h.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, h.TimestampDiff)
	dst = binary.BigEndian.AppendUint32(dst, h.Window)
	dst = binary.BigEndian.AppendUint16(dst, h.Seq)
	return binary.BigEndian.AppendUint16(dst, h.Ack)
}

// Refuse returns the ST_RESET that answers an ST_SYN. now is our clock in microseconds;
// seq should be random.
//
// BEP 29: the connection id of a SYN is the one under which its sender receives. The
// packet acknowledges the SYN; otherwise libtorrent considers it forged.
func Refuse(syn Header, now uint32, seq uint16) Header {
	return Header{Type: Reset, ConnID: syn.ConnID, Timestamp: now, TimestampDiff: now - syn.Timestamp, Seq: seq, Ack: syn.Seq}
}
