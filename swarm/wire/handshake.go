package wire

import "seedbed/internal/id"

// HandshakeLen is the length of a handshake in bytes.
const HandshakeLen = 68

// protocol is the start of every handshake (BEP 3): nineteen, then the name.
const protocol = "\x13BitTorrent protocol"

// Reserved is the eight bytes of flags in a handshake.
type Reserved [8]byte

// Extended reports whether the extension protocol is supported (BEP 10: bit 20 from the
// right).
func (r Reserved) Extended() bool { return r[5]&0x10 != 0 }

// Fast reports whether the fast extension is supported (BEP 6: the third least
// significant bit).
func (r Reserved) Fast() bool { return r[7]&0x04 != 0 }

// DHT reports whether the sender runs a DHT node (BEP 5: the last bit).
func (r Reserved) DHT() bool { return r[7]&0x01 != 0 }

// V2 reports whether the sender can upgrade to a v2 torrent (BEP 52: the fourth most
// significant bit of the last byte).
func (r Reserved) V2() bool { return r[7]&0x10 != 0 }

func (r *Reserved) SetExtended() { r[5] |= 0x10 }
func (r *Reserved) SetFast()     { r[7] |= 0x04 }
func (r *Reserved) SetDHT()      { r[7] |= 0x01 }
func (r *Reserved) SetV2()       { r[7] |= 0x10 }

// AppendHandshake appends the handshake of BEP 3.
func AppendHandshake(dst []byte, r Reserved, infohash, peerID id.ID) []byte {
	dst = append(dst, protocol...)
	dst = append(dst, r[:]...)
	dst = append(dst, infohash[:]...)
	return append(dst, peerID[:]...)
}

// ParseHandshake parses the handshake at the start of b. For fewer than HandshakeLen
// bytes it distinguishes between bytes that cannot become a handshake (BadHandshake) and
// an incomplete one (Short), so that a wrong protocol is detected at its first byte.
//
// BEP 3 sends the peer id last, and a client that checks whether its port is reachable
// may omit it. Such a connection is useless and ends with Short.
func ParseHandshake(b []byte) (r Reserved, infohash, peerID id.ID, err error) {
	n := min(len(b), len(protocol))
	if string(b[:n]) != protocol[:n] {
		return r, infohash, peerID, &Error{Kind: BadHandshake, Len: int64(len(b))}
	}
	if len(b) < HandshakeLen {
		return r, infohash, peerID, &Error{Kind: Short, Len: int64(len(b))}
	}
	copy(r[:], b[20:])
	copy(infohash[:], b[28:])
	copy(peerID[:], b[48:])
	return r, infohash, peerID, nil
}
