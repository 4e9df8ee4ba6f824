package krpc

import (
	"bytes"
	"iter"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// returnValue reads the value of one key of "r". Only "id" must be well formed. Any other
// malformed value counts as absent, so that one bad field does not make the nodes and peers
// of the answer useless.
func (p *parser) returnValue(key []byte) (k keys, good bool) {
	r := &p.m.Response
	switch string(key) {
	case "id":
		return kID, p.id(&r.ID)
	case "nodes":
		r.Nodes = p.elements(NodeLen4)
		return kNodes, true
	case "nodes6":
		r.Nodes6 = p.elements(NodeLen6)
		return kNodes6, true
	case "token":
		if r.Token, good = p.str(); !good || len(r.Token) > MaxToken {
			r.Token = nil
		}
		return kToken, true
	case "values":
		if r.Values, good = p.s.Value(); !good || r.Values.Kind() != bencode.List {
			r.Values = nil
		}
		return kValues, true
	}
	// Returned reads these values when a caller needs them.
	k = extra[string(key)]
	p.skip()
	return k, true
}

// extra has the keys of "r" that Returned reads.
var extra = map[string]keys{
	"samples": kSamples, "interval": kInterval, "num": kNum, // BEP 51
	"BFsd": kBloomSeeds, "BFpe": kBloomPeers, // BEP 33
	"k": kK, "sig": kSig, "seq": kSeq, "v": kV, // BEP 44
}

// elements reads a string that consists of elements of n bytes. It leaves out an incomplete
// last element. It returns nil if the value is not a string.
func (p *parser) elements(n int) []byte {
	s, ok := p.str()
	if !ok {
		return nil
	}
	return s[: len(s)/n*n : len(s)/n*n]
}

// errorBody reads "e": BEP 5's list of a code and a text, possibly with more after it. A
// malformed element counts as absent, because the message is still an error.
func (p *parser) errorBody() bool {
	if p.s.Kind() != bencode.List {
		p.skip()
		return false
	}
	p.s.OpenList()
	for n := 0; p.s.More(); n++ {
		switch n {
		case 0:
			p.m.Error.Code, _ = p.int()
		case 1:
			p.m.Error.Text, _ = p.str()
		default:
			p.skip()
		}
	}
	return true
}

// Peers yields the peers of a response. BEP 32: implementations must be able to parse
// hybrid lists of 6-octet IPv4 values and 18-octet IPv6 values. Other elements are skipped.
func (r *Response) Peers() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for v := range r.Values.List() {
			b, _ := v.Bytes()
			if a := addrs.Parse(b); a.IsValid() && !yield(a) {
				return
			}
		}
	}
}

// Clone returns a copy of a message that Parse accepted. The copy does not point into the
// datagram.
func (m *Message) Clone() *Message {
	c := new(Message)
	if err := Parse(bytes.Clone(m.Raw), c); err != nil {
		panic("krpc: Clone of a message that Parse did not accept")
	}
	return c
}

// Returned has the return values of BEP 33, 44 and 51: items, counts and samples. Its
// slices point into the datagram, and are nil if the value is absent.
type Returned struct {
	// BEP 44. K and Sig have 32 and 64 bytes. The value is any bencoded value:
	// neither its size nor its order of keys is checked.
	Value  bencode.Value
	K, Sig []byte
	Seq    int64
	HasSeq bool

	BloomSeeds, BloomPeers []byte // BEP 33: filters of 256 bytes

	// BEP 51. A node that supports it always returns samples, even if empty.
	Samples       []byte // infohashes of 20 bytes
	HasSamples    bool
	Interval, Num int64
}

// Returned reads the return values of BEP 33, 44 and 51 of a response that Parse accepted.
// It leaves out values that do not have the type and length that their BEP gives them. It
// returns the zero value for a query or an error.
func (m *Message) Returned() (r Returned) {
	if m.Y != 'r' {
		return r
	}
	str := func(v bencode.Value, n int) []byte {
		if b, ok := v.Bytes(); ok && len(b) == n {
			return b
		}
		return nil
	}
	for key, v := range bencode.Value(m.Raw).Get("r").Dict() {
		switch string(key) {
		case "v":
			r.Value = v
		case "k":
			r.K = str(v, KeyLen)
		case "sig":
			r.Sig = str(v, SigLen)
		case "seq":
			r.Seq, r.HasSeq = v.Int()
		case "BFsd":
			r.BloomSeeds = str(v, BloomLen)
		case "BFpe":
			r.BloomPeers = str(v, BloomLen)
		case "samples":
			r.Samples, r.HasSamples = v.Bytes()
			r.Samples = r.Samples[:len(r.Samples)/id.Len*id.Len]
		case "interval":
			r.Interval, _ = v.Int()
		case "num":
			r.Num, _ = v.Int()
		}
	}
	return r
}
