package krpc

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// Version is the "v" of our messages: two letters for the client and two
// bytes for its version, as mainline clients do.
const Version = "Sb\x00\x01"

// Reply is our response to a query. Append encodes it.
type Reply struct {
	To netip.AddrPort // the node that asked
	T  []byte         // the transaction id of the query, at most MaxT bytes
	ID id.ID          // our node id

	Nodes, Nodes6 []byte // compact nodes, the closest first; nil leaves the key out
	Token         []byte // nil leaves the key out
	Values        []byte // compact peers of To's family, concatenated; empty leaves the key out

	// BEP 33: BloomLen bytes each, or nil.
	BloomPeers, BloomSeeds []byte

	// BEP 44. V is nil if the reply has no item. HasSeq says that the reply has Seq, because
	// the item is mutable.
	V      []byte // encoded
	K, Sig []byte
	Seq    int64
	HasSeq bool

	// BEP 51: at most 20 infohashes; nil leaves out all three.
	Samples       []byte
	Interval, Num int
}

// Append appends r in canonical form, at most MaxDatagram bytes. If r is longer, Append
// leaves out values, then nodes of the address family that To does not have, then other
// nodes, and finally the keys of the nodes. BEP 32 and 33: "returning less values and only
// returning the mandatory node lists". Filters, samples and items are always complete. An
// item that does not fit is encoded without any of these, in at most MaxItemDatagram bytes.
func (r *Reply) Append(dst []byte) []byte {
	v6 := is6(r.To)
	size, _ := valueLen(v6)
	nodes, nodes6, n := r.layout(v6)
	values := r.Values[:min(len(r.Values)/size, n)*size]

	dst = appendHead(append(dst, 'd'), r.To)
	dst = append(dst, "1:rd"...)
	if r.BloomPeers != nil {
		dst = append(append(dst, "4:BFpe256:"...), r.BloomPeers...)
		dst = append(append(dst, "4:BFsd256:"...), r.BloomSeeds...)
	}
	dst = append(dst, "2:id20:"...)
	dst = append(dst, r.ID[:]...)
	if r.Samples != nil {
		dst = bencode.AppendInt(append(dst, "8:interval"...), int64(r.Interval))
	}
	if r.K != nil {
		dst = append(append(dst, "1:k32:"...), r.K...)
	}
	if nodes != nil {
		dst = bencode.AppendBytes(append(dst, "5:nodes"...), nodes)
	}
	if nodes6 != nil {
		dst = bencode.AppendBytes(append(dst, "6:nodes6"...), nodes6)
	}
	if r.Samples != nil {
		dst = bencode.AppendInt(append(dst, "3:num"...), int64(r.Num))
		dst = bencode.AppendBytes(append(dst, "7:samples"...), r.Samples)
	}
	if r.HasSeq {
		dst = bencode.AppendInt(append(dst, "3:seq"...), r.Seq)
	}
	if r.Sig != nil {
		dst = append(append(dst, "3:sig64:"...), r.Sig...)
	}
	if r.Token != nil {
		dst = bencode.AppendBytes(append(dst, "5:token"...), r.Token)
	}
	if r.V != nil {
		dst = append(append(dst, "1:v"...), r.V...)
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

// MaxValues returns how many values fit beside the nodes and the token of r.
func (r *Reply) MaxValues() int {
	_, _, n := r.layout(is6(r.To))
	return n
}

// layout returns the nodes that fit into a datagram, and the number of values that fit
// beside them.
func (r *Reply) layout(v6 bool) (nodes, nodes6 []byte, values int) {
	r.check()
	room := MaxDatagram - len("d") - headLen(v6) - len("1:rd2:id20:e") - id.Len - tailLen(r.T)
	if r.Token != nil {
		room -= len("5:token") + stringLen(len(r.Token))
	}
	if r.BloomPeers != nil {
		room -= 2 * (len("4:BFpe256:") + BloomLen)
	}
	if r.Samples != nil {
		room -= len("8:interval3:num7:samples") + intLen(int64(r.Interval)) + intLen(int64(r.Num)) + stringLen(len(r.Samples))
	}
	if r.K != nil {
		room -= len("1:k32:") + KeyLen
	}
	if r.Sig != nil {
		room -= len("3:sig64:") + SigLen
	}
	if r.HasSeq {
		room -= len("3:seq") + intLen(r.Seq)
	}
	if r.V != nil {
		room -= len("1:v") + len(r.V)
	}
	if v6 {
		nodes6, room = cut(r.Nodes6, len("6:nodes6"), NodeLen6, room)
		nodes, room = cut(r.Nodes, len("5:nodes"), NodeLen4, room)
	} else {
		nodes, room = cut(r.Nodes, len("5:nodes"), NodeLen4, room)
		nodes6, room = cut(r.Nodes6, len("6:nodes6"), NodeLen6, room)
	}
	_, encoded := valueLen(v6)
	return nodes, nodes6, max(0, room-len("6:valuesle")) / encoded
}

// check panics if r has something that Parse would refuse.
func (r *Reply) check() {
	switch {
	case len(r.Token) > MaxToken:
		panic("krpc: our token is too long")
	case len(r.BloomPeers) != len(r.BloomSeeds) || r.BloomPeers != nil && len(r.BloomPeers) != BloomLen:
		panic("krpc: bloom filters of the wrong length")
	case r.K != nil && len(r.K) != KeyLen || r.Sig != nil && len(r.Sig) != SigLen || len(r.V) > MaxValue:
		panic("krpc: an item that Parse would refuse")
	case len(r.Samples) > MaxSamples*id.Len:
		panic("krpc: too many samples")
	}
}

// intLen returns the length of n as a bencoded integer.
func intLen(n int64) int {
	digits := len("ie") + 1
	if n < 0 {
		digits++
	}
	for ; n > 9 || n < -9; n /= 10 {
		digits++
	}
	return digits
}

// stringLen returns the length of a bencoded string of n bytes.
func stringLen(n int) int {
	digits := 1
	for m := n; m > 9; m /= 10 {
		digits++
	}
	return digits + len(":") + n
}

// valueLen returns the length of a compact peer, and the length of its bencoded string.
func valueLen(v6 bool) (raw, encoded int) {
	if v6 {
		return PeerLen6, len("18:") + PeerLen6
	}
	return PeerLen4, len("6:") + PeerLen4
}

// cut returns the nodes that fit into room bytes together with their key, or nil if the key
// does not fit either. It also returns the number of bytes left, which is 0 if some nodes
// do not fit.
func cut(nodes []byte, key, size, room int) ([]byte, int) {
	if nodes == nil {
		return nil, room
	}
	if left := room - key - stringLen(len(nodes)); left >= 0 {
		return nodes, left
	}
	n := max(0, room-key) / size * size // at most one too many
	for n > 0 && key+stringLen(n) > room {
		n -= size
	}
	if key+stringLen(n) > room {
		return nil, 0
	}
	return nodes[:n], 0
}

// AppendPing appends a ping query in canonical form: t is its transaction id, own our node
// id.
func AppendPing(dst, t []byte, own id.ID) []byte {
	dst = bencode.AppendBytes(append(dst, "d1:ad2:id"...), own[:])
	dst = bencode.AppendBytes(append(dst, "e1:q4:ping1:t"...), t)
	return append(dst, "1:v4:"+Version+"1:y1:qe"...)
}

// AppendError appends an error reply in canonical form. A text that does not fit is
// truncated.
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
	if is6(to) {
		return addrs.Append(append(dst, "2:ip18:"...), to)
	}
	return addrs.Append(append(dst, "2:ip6:"...), to)
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
		panic("krpc: a transaction id that Parse would refuse")
	}
	return len("1:t") + stringLen(len(t)) + len("1:v4:1:y1:ye") + len(Version)
}
