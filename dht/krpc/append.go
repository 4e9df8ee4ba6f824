package krpc

import (
	"encoding/binary"
	"net/netip"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// Version is the "v" of our messages: two letters for the client and two
// bytes for its version, as mainline clients do.
const Version = "Sb\x00\x01"

// Reply is the answer to a query.
type Reply struct {
	To netip.AddrPort // who asked
	T  []byte         // their transaction id, at most MaxT bytes
	ID id.ID          // ours

	Nodes, Nodes6 []byte // compact nodes, the closest first; nil leaves the key out
	Token         []byte // nil leaves the key out
	Values        []byte // compact peers of To's family, one behind the other; empty leaves the key out
}

// Append appends r in canonical form, at most MaxDatagram bytes of it. If it
// would be longer, it has fewer values, then fewer nodes of the family that To
// is not of, then fewer nodes: BEP 32 and 33, "returning less values and only
// returning the mandatory node lists".
func (r *Reply) Append(dst []byte) []byte {
	v6 := is6(r.To)
	nodes, nodes6 := r.Nodes, r.Nodes6
	room := MaxDatagram - r.fixed(v6)
	if v6 {
		nodes6, room = cut(nodes6, NodeLen6, room)
		nodes, room = cut(nodes, NodeLen4, room)
	} else {
		nodes, room = cut(nodes, NodeLen4, room)
		nodes6, room = cut(nodes6, NodeLen6, room)
	}
	size, encoded := PeerLen4, len("6:")+PeerLen4
	if v6 {
		size, encoded = PeerLen6, len("18:")+PeerLen6
	}
	values := r.Values[:min(len(r.Values)/size, max(0, room)/encoded)*size]

	dst = appendHead(append(dst, 'd'), r.To)
	dst = append(dst, "1:rd2:id20:"...)
	dst = append(dst, r.ID[:]...)
	if nodes != nil {
		dst = bencode.AppendBytes(append(dst, "5:nodes"...), nodes)
	}
	if nodes6 != nil {
		dst = bencode.AppendBytes(append(dst, "6:nodes6"...), nodes6)
	}
	if r.Token != nil {
		dst = bencode.AppendBytes(append(dst, "5:token"...), r.Token)
	}
	if len(values) > 0 {
		dst = append(dst, "6:valuesl"...)
		if v6 {
			for v := values; len(v) > 0; v = v[PeerLen6:] {
				dst = append(append(dst, "18:"...), v[:PeerLen6]...)
			}
		} else {
			for v := values; len(v) > 0; v = v[PeerLen4:] {
				dst = append(dst, '6', ':', v[0], v[1], v[2], v[3], v[4], v[5])
			}
		}
		dst = append(dst, 'e')
	}
	return appendTail(append(dst, 'e'), r.T, 'r')
}

// fixed is the length of all but the contents of nodes and values.
func (r *Reply) fixed(v6 bool) int {
	if len(r.Token) > MaxToken {
		panic("krpc: a token of ours is too long")
	}
	n := len("d") + headLen(v6) + len("1:rd2:id20:") + id.Len + len("e") + tailLen(r.T)
	if r.Nodes != nil {
		n += len("5:nodes") + len("123:")
	}
	if r.Nodes6 != nil {
		n += len("6:nodes6") + len("123:")
	}
	if r.Token != nil {
		n += len("5:token") + len("123:") + len(r.Token)
	}
	if len(r.Values) > 0 {
		n += len("6:valuesl") + len("e")
	}
	return n
}

// cut is the head of nodes that fits the room, and the room that it leaves to
// what matters less: none if not all of it fits.
func cut(nodes []byte, size, room int) ([]byte, int) {
	if fits := max(0, room) / size * size; len(nodes) > fits {
		return nodes[:fits], 0
	}
	return nodes, room - len(nodes)
}

// AppendError appends an error reply in canonical form. A long text is cut.
func AppendError(dst []byte, to netip.AddrPort, t []byte, code int, text string) []byte {
	room := MaxDatagram - len("d1:eli999e123:e") - headLen(is6(to)) - tailLen(t)
	dst = bencode.AppendInt(append(dst, "d1:el"...), int64(code))
	dst = bencode.AppendString(dst, text[:min(len(text), room)])
	dst = appendHead(append(dst, 'e'), to)
	return appendTail(dst, t, 'e')
}

func is6(a netip.AddrPort) bool { return !a.Addr().Unmap().Is4() }

// BEP 42: all DHT responses include a top-level "ip": the compact binary
// representation of the requestor's IP and port.
func appendHead(dst []byte, to netip.AddrPort) []byte {
	if a := to.Addr().Unmap(); a.Is4() {
		b := a.As4()
		dst = append(append(dst, "2:ip6:"...), b[:]...)
	} else {
		b := a.As16()
		dst = append(append(dst, "2:ip18:"...), b[:]...)
	}
	return binary.BigEndian.AppendUint16(dst, to.Port())
}

func headLen(v6 bool) int {
	if v6 {
		return len("2:ip18:") + PeerLen6
	}
	return len("2:ip6:") + PeerLen4
}

func appendTail(dst, t []byte, y byte) []byte {
	dst = bencode.AppendBytes(append(dst, "1:t"...), t)
	dst = append(dst, "1:v4:"+Version+"1:y1:"...)
	return append(dst, y, 'e')
}

func tailLen(t []byte) int {
	if len(t) > MaxT {
		panic("krpc: a transaction id that Parse refuses")
	}
	return len("1:t12:") + len(t) + len("1:v4:1:y1:ye") + len(Version)
}
