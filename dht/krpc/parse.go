package krpc

import (
	"encoding/binary"
	"net/netip"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// Keys of the protocol, as bits of what was seen and of what was malformed.
// The top has its own set of them: "v" is a version there and an item below.
type keys uint32

const (
	kA keys = 1 << iota
	kE
	kIP
	kQ
	kR
	kRO
	kT
	kV
	kY
	kID
	kInfoHash
	kImpliedPort
	kNoSeed
	kPort
	kScrape
	kSeed
	kTarget
	kToken
	kWant
	kNodes
	kNodes6
	kValues
	kSamples
	kBloomSeeds
	kBloomPeers
	kK
	kSig
	kSeq
	kInterval
	kNum
	kCAS
	kSalt
)

// parser holds what is known before "y" tells what it means: dictionaries are
// sorted, so the arguments come before the method.
type parser struct {
	b       []byte
	s       bencode.Scanner
	m       *Message
	top, in keys // seen at the top and in "a" or "r"
	badTop  keys // of these, malformed
	badIn   keys
	y       []byte
	hash    id.ID // info_hash
	port    int64
}

// Parse reads the datagram b into m. Bytes after the message are ignored, as
// libtorrent and anacrolix/dht do. An error is an Error, and m is then without
// meaning.
func Parse(b []byte, m *Message) error {
	*m = Message{}
	p := parser{b: b, s: bencode.NewScanner(b, limits), m: m}
	if !p.s.OpenDict() {
		return ErrNotDict
	}
	if err := p.header(); err != 0 {
		return err
	}
	m.Raw = b[:p.s.Offset():p.s.Offset()]
	// Not returned as it is: an Error of 0 in the interface is not nil.
	if err := p.judge(); err != 0 {
		return err
	}
	return nil
}

// header reads the top level dictionary to its end.
func (p *parser) header() Error {
	for p.s.More() {
		key, ok := p.s.Bytes()
		if !ok {
			return ErrBencode
		}
		var k keys
		good := true
		switch string(key) {
		case "a":
			if k = kA; p.s.Kind() == bencode.Dict {
				if err := p.dict(k, &p.top, p.argument); err != 0 {
					return err
				}
				continue
			}
			good = false
			p.skip()
		case "r":
			if k = kR; p.s.Kind() == bencode.Dict {
				if err := p.dict(k, &p.top, p.result); err != 0 {
					return err
				}
				continue
			}
			good = false
			p.skip()
		case "e":
			k, good = kE, p.refusal()
		case "ip":
			k = kIP
			var ip []byte
			if ip, good = p.str(); good {
				p.m.IP, good = address(ip)
			}
		case "q":
			k = kQ
			p.m.Query.Name, good = p.str()
		case "ro":
			k = kRO
			p.m.Query.ReadOnly, good = p.flag()
		case "t":
			k = kT
			p.m.T, good = p.str()
			good = good && len(p.m.T) <= MaxT
		case "v":
			k = kV
			p.m.Version, good = p.str()
		case "y":
			k = kY
			p.y, good = p.str()
		default:
			p.skip()
		}
		if p.top&k != 0 {
			return ErrRepeated
		}
		p.top |= k
		if !good {
			p.badTop |= k
		}
	}
	if p.s.Err() != nil {
		return ErrBencode
	}
	return 0
}

// dict reads the dictionary at key k with one call of field for each of its
// keys. A message has "a" or "r", not both, so that one set of keys does.
func (p *parser) dict(k keys, seen *keys, field func(key []byte) (keys, bool)) Error {
	if *seen&k != 0 {
		return ErrRepeated
	}
	if *seen&(kA|kR) != 0 {
		return ErrY
	}
	*seen |= k
	p.s.OpenDict()
	for p.s.More() {
		key, ok := p.s.Bytes()
		if !ok {
			return ErrBencode
		}
		f, good := field(key)
		if p.in&f != 0 {
			return ErrRepeated
		}
		p.in |= f
		if !good {
			p.badIn |= f
		}
	}
	if p.s.Err() != nil {
		return ErrBencode
	}
	return 0
}

// argument reads the value of one key of "a".
func (p *parser) argument(key []byte) (k keys, good bool) {
	q := &p.m.Query
	switch string(key) {
	case "cas":
		q.CAS, good = p.int()
		q.HasCAS = good
		return kCAS, good
	case "id":
		return kID, p.id(&q.ID)
	case "implied_port":
		// BEP 5: if it is present and non-zero.
		var n int64
		n, good = p.int()
		q.ImpliedPort = n != 0
		return kImpliedPort, good
	case "info_hash":
		return kInfoHash, p.id(&p.hash)
	case "k":
		q.K, good = p.str()
		return kK, good && len(q.K) == KeyLen
	case "noseed":
		q.NoSeed, good = p.flag()
		return kNoSeed, good
	case "port":
		p.port, good = p.int()
		return kPort, good
	case "salt":
		q.Salt, good = p.str()
		return kSalt, good
	case "scrape":
		q.Scrape, good = p.flag()
		return kScrape, good
	case "seed":
		q.Seed, good = p.flag()
		return kSeed, good
	case "seq":
		q.Seq, good = p.int()
		q.HasSeq = good
		return kSeq, good
	case "sig":
		q.Sig, good = p.str()
		return kSig, good && len(q.Sig) == SigLen
	case "target":
		return kTarget, p.id(&q.Target)
	case "token":
		q.Token, good = p.str()
		return kToken, good && len(q.Token) <= MaxToken
	case "v":
		q.V, good = p.s.Value()
		return kV, good
	case "want":
		return kWant, p.want()
	}
	p.skip()
	return 0, true
}

// want reads BEP 32's list of families.
func (p *parser) want() bool {
	if p.s.Kind() != bencode.List {
		p.skip()
		return false
	}
	q, good := &p.m.Query, true
	p.s.OpenList()
	for p.s.More() {
		w, ok := p.str()
		good = good && ok
		switch string(w) {
		case "n4":
			q.WantV4 = true
		case "n6":
			q.WantV6 = true
		}
		// BEP 32: other strings may be present and must be silently ignored.
	}
	q.HasWant = q.WantV4 || q.WantV6
	return good
}

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

// judge decides what the parts make, once all are known.
func (p *parser) judge() Error {
	m := p.m
	if p.top&^p.badTop&kT == 0 {
		return ErrT
	}
	if p.badTop&kY != 0 || len(p.y) != 1 {
		return ErrY
	}
	m.Y = p.y[0]
	switch m.Y {
	case 'q':
		return p.judgeQuery()
	case 'r', 'e':
		// The decoder behind us reads every key that it knows, wherever it
		// stands: none may be of another type than it expects.
		if p.top&kA != 0 || p.badTop&(kIP|kQ|kRO|kV|kA) != 0 {
			return ErrHeader
		}
		if p.badTop&kR != 0 || p.top&kR != 0 && p.badIn != 0 || m.Y == 'r' && p.top&kR == 0 {
			if p.badIn&kID != 0 {
				return ErrID
			}
			return ErrReturn
		}
		if p.badTop&kE != 0 || m.Y == 'e' && p.top&kE == 0 {
			return ErrErr
		}
		// BEP 5: all responses have an "id" key.
		if m.Y == 'r' && p.in&kID == 0 {
			return ErrID
		}
		m.Query = Query{}
		return 0
	}
	return ErrY
}

func (p *parser) judgeQuery() Error {
	m := p.m
	q := &m.Query
	switch {
	case p.top&^p.badTop&kQ == 0:
		return ErrQ
	case p.top&^p.badTop&kA == 0:
		return ErrArgs
	case p.in&^p.badIn&kID == 0:
		return ErrID
	}
	if p.badTop&kIP != 0 {
		m.IP = netip.AddrPort{}
	}
	if p.badTop&kV != 0 {
		m.Version = nil
	}
	m.Response, m.Error = Response{}, ErrorReply{}
	q.T, q.Version = m.T, m.Version

	if q.Bad = p.judgeArguments(q); q.Bad != "" && q.BadCode == 0 {
		q.BadCode = CodeProtocol
	}
	return 0
}

const (
	noTarget = "no target of 20 bytes"
	noHash   = "no info_hash of 20 bytes"
	badWant  = "want is no list of strings"
)

// judgeArguments sets the kind of the query, and says what is wrong with its
// arguments.
func (p *parser) judgeArguments(q *Query) (bad string) {
	good := p.in &^ p.badIn
	switch string(q.Name) {
	case "ping":
		q.Kind = Ping
	case "find_node":
		q.Kind, q.HasTarget = FindNode, true
		return p.judgeTarget()
	case "get_peers":
		q.Kind, q.HasTarget = GetPeers, true
		q.Target = p.hash
		switch {
		case good&kInfoHash == 0:
			return noHash
		case p.badIn&kWant != 0:
			return badWant
		case p.badIn&(kNoSeed|kScrape) != 0:
			return "noseed or scrape is no integer"
		}
	case "announce_peer":
		q.Kind, q.HasTarget = AnnouncePeer, true
		q.Target = p.hash
		switch {
		case good&kInfoHash == 0:
			return noHash
		case good&kToken == 0:
			return "no token"
		case p.badIn&(kImpliedPort|kSeed) != 0:
			return "implied_port or seed is no integer"
		// BEP 5: if implied_port is present and non-zero, the port argument
		// should be ignored.
		case q.ImpliedPort:
		case good&kPort == 0 || p.port < 1 || p.port > 65535:
			return "no port from 1 to 65535"
		default:
			q.Port = uint16(p.port)
		}
	case "get":
		q.Kind, q.HasTarget = Get, true
		if p.badIn&kSeq != 0 {
			return "seq is no integer"
		}
		return p.judgeTarget()
	case "put":
		q.Kind = Put
		return p.judgePut(q)
	case "sample_infohashes":
		q.Kind, q.HasTarget = SampleInfohashes, true
		return p.judgeTarget()
	default:
		// As libtorrent: an unknown query with a target or an info_hash can
		// be answered with nodes, so that extensions can spread.
		switch {
		case good&kTarget != 0:
			q.HasTarget = true
		case good&kInfoHash != 0:
			q.Target, q.HasTarget = p.hash, true
		}
	}
	return ""
}

func (p *parser) judgeTarget() (bad string) {
	switch {
	case p.in&^p.badIn&kTarget == 0:
		return noTarget
	case p.badIn&kWant != 0:
		return badWant
	}
	return ""
}

// judgePut is BEP 44's put: of a mutable item if it has a key or a signature,
// and then it needs both and a sequence number.
func (p *parser) judgePut(q *Query) (bad string) {
	good := p.in &^ p.badIn
	switch {
	case good&kToken == 0:
		return "no token"
	case good&kV == 0:
		return "no v"
	case len(q.V) > MaxValue:
		q.BadCode = CodeValueTooBig
		return "v is longer than 1000 bytes"
	case p.badIn&kSalt != 0:
		return "salt is no string"
	case len(q.Salt) > MaxSalt:
		q.BadCode = CodeSaltTooBig
		return "salt is longer than 64 bytes"
	case p.badIn&(kSeq|kCAS) != 0:
		return "seq or cas is no integer"
	case p.in&(kK|kSig) == 0:
		// BEP 44: the cas field only applies to mutable puts.
		q.Seq, q.CAS, q.HasSeq, q.HasCAS = 0, 0, false, false
	case good&(kK|kSig|kSeq) != kK|kSig|kSeq:
		return "a mutable item needs k of 32 bytes, sig of 64 bytes and seq"
	case q.Seq < 0:
		return "seq is negative"
	}
	// BEP 44: if the value contains invalid bencoding (e.g. a dictionary with
	// unsorted keys), the storing node must reject the request.
	if _, err := bencode.ParseStrict(q.V, limits); err != nil {
		return "v is no canonical bencoding"
	}
	return ""
}

// The readers below take one value of any kind; false if it is of another
// kind than asked for. A syntax error surfaces at the end of the dictionary.

func (p *parser) skip() { p.s.Value() }

func (p *parser) str() ([]byte, bool) {
	if p.s.Kind() != bencode.String {
		p.skip()
		return nil, false
	}
	return p.s.Bytes()
}

func (p *parser) int() (int64, bool) {
	if p.s.Kind() != bencode.Int {
		p.skip()
		return 0, false
	}
	return p.s.Int()
}

// flag reads an integer that is 1 for set. BEP 33: if the value of seed is not
// 1, the announcing node is a peer; the same goes for noseed, scrape and BEP
// 43's ro.
func (p *parser) flag() (set, good bool) {
	n, good := p.int()
	return n == 1, good
}

func (p *parser) id(dst *id.ID) bool {
	s, ok := p.str()
	return ok && copy(dst[:], s) == len(s) && len(s) == id.Len
}

// sized reads a string of n bytes, or of a multiple of n.
func (p *parser) sized(n int, exactly bool) bool {
	s, ok := p.str()
	return ok && len(s)%n == 0 && (!exactly || len(s) == n)
}

// address reads BEP 42's "ip": a compact address and port; some clients leave
// out the port.
func address(b []byte) (netip.AddrPort, bool) {
	port := uint16(0)
	switch len(b) {
	case PeerLen4, PeerLen6:
		port = binary.BigEndian.Uint16(b[len(b)-2:])
		b = b[:len(b)-2]
	case 4, 16:
	default:
		return netip.AddrPort{}, false
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), port), true
}
