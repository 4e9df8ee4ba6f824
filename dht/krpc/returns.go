package krpc

import (
	"bytes"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// result reads the value of one key of "r".
func (p *parser) result(key []byte) (k keys, good bool) {
	r := &p.m.Response
	switch string(key) {
	case "id":
		return kID, p.id(&r.ID)
	case "nodes":
		r.Nodes, good = p.str()
		return kNodes, good && len(r.Nodes)%NodeLen4 == 0
	case "nodes6":
		r.Nodes6, good = p.str()
		return kNodes6, good && len(r.Nodes6)%NodeLen6 == 0
	case "token":
		r.Token, good = p.str()
		return kToken, good && len(r.Token) <= MaxToken
	case "values":
		return kValues, p.values()
	case "samples": // BEP 51
		return kSamples, p.sized(id.Len, false)
	case "BFsd": // BEP 33
		return kBloomSeeds, p.sized(BloomLen, true)
	case "BFpe":
		return kBloomPeers, p.sized(BloomLen, true)
	case "k": // BEP 44
		return kK, p.sized(KeyLen, true)
	case "sig":
		return kSig, p.sized(SigLen, true)
	case "seq":
		_, good = p.int()
		return kSeq, good
	case "interval": // BEP 51
		_, good = p.int()
		return kInterval, good
	case "num":
		_, good = p.int()
		return kNum, good
	}
	p.skip()
	return 0, true
}

// values reads a list of compact peers.
func (p *parser) values() bool {
	if p.s.Kind() != bencode.List {
		p.skip()
		return false
	}
	begin, good := p.s.Offset(), true
	p.s.OpenList()
	for p.s.More() {
		v, ok := p.str()
		// BEP 32: implementations must be able to parse hybrid lists of
		// 6-octet IPv4 values and 18-octet IPv6 values.
		good = good && ok && (len(v) == PeerLen4 || len(v) == PeerLen6)
	}
	p.m.Response.Values = p.b[begin:p.s.Offset():p.s.Offset()]
	return good
}

// refusal reads "e": BEP 5's list of a code and a text, with more behind it or not.
func (p *parser) refusal() bool {
	if p.s.Kind() != bencode.List {
		p.skip()
		return false
	}
	p.s.OpenList()
	n, good := 0, true
	for ; p.s.More(); n++ {
		switch n {
		case 0:
			var ok bool
			p.m.Error.Code, ok = p.int()
			good = good && ok
		case 1:
			var ok bool
			p.m.Error.Text, ok = p.str()
			good = good && ok
		default:
			p.skip()
		}
	}
	return good && n >= 2
}

// Clone returns a copy of a message that Parse accepted, which does not depend on the
// datagram any more.
func (m *Message) Clone() *Message {
	c := new(Message)
	if err := Parse(bytes.Clone(m.Raw), c); err != nil {
		panic("krpc: a message of another kind than Parse yields")
	}
	return c
}

// Returned is what a response carries for those who ask for items, counts and
// samples. Slices are windows on the datagram; what is absent is nil.
type Returned struct {
	// BEP 44. K and Sig have 32 and 64 bytes. The value is any bencoded value:
	// neither its size nor its order of keys is checked.
	Value  bencode.Value
	K, Sig []byte
	Seq    int64
	HasSeq bool

	BloomSeeds, BloomPeers []byte // BEP 33: filters of 256 bytes

	// BEP 51: samples is there, though empty, where the node supports it.
	Samples       []byte // infohashes of 20 bytes
	HasSamples    bool
	Interval, Num int64
}

// Returned reads the rest of the return values of a response that Parse
// accepted: every field has the type and length that its BEP gives it.
func (m *Message) Returned() (r Returned) {
	if m.Y != 'r' {
		return r
	}
	for key, v := range bencode.Value(m.Raw).Get("r").Dict() {
		switch string(key) {
		case "v":
			if r.Value == nil {
				r.Value = v
			}
		case "k":
			r.K, _ = v.Bytes()
		case "sig":
			r.Sig, _ = v.Bytes()
		case "seq":
			r.Seq, r.HasSeq = v.Int()
		case "BFsd":
			r.BloomSeeds, _ = v.Bytes()
		case "BFpe":
			r.BloomPeers, _ = v.Bytes()
		case "samples":
			r.Samples, r.HasSamples = v.Bytes()
		case "interval":
			r.Interval, _ = v.Int()
		case "num":
			r.Num, _ = v.Int()
		}
	}
	return r
}
