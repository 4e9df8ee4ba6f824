package krpc

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// keys is a set of protocol keys, one bit each. The parser has one set for the top level
// and one for "a" or "r", because "v" is a version at the top level and an item below.
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

// parser holds the parts of a message until "y" gives its type. Dictionaries are sorted, so
// the arguments come before the method and the type.
type parser struct {
	b       []byte
	s       bencode.Scanner
	m       *Message
	top, in keys // keys seen at the top and in "a" or "r"
	badTop  keys // of these, malformed ones
	badIn   keys
	y       []byte
	hash    id.ID // info_hash
	port    int64
}

// Parse reads the datagram b into m. Bytes after the message are ignored, as libtorrent and
// anacrolix/dht do. Every error is an Error, and m is then not valid.
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
	// Not returned directly: an Error of 0 in an interface is not nil.
	if err := p.validate(); err != 0 {
		return err
	}
	return nil
}

// header reads the top-level dictionary.
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
				if err := p.dict(k, &p.top, p.returnValue); err != 0 {
					return err
				}
				continue
			}
			good = false
			p.skip()
		case "e":
			k, good = kE, p.errorBody()
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

// dict reads the dictionary at key k, and calls field to read the value of each of its
// keys. A message has "a" or "r", not both, so one set of keys is enough.
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

// validate sets the type of the message, and checks that its parts are valid.
func (p *parser) validate() Error {
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
		return p.validateQuery()
	case 'r', 'e':
		if m.Y == 'r' && (p.top&kR == 0 || p.badTop&kR != 0) {
			return ErrReturn
		}
		// BEP 5: all responses have an "id" key.
		if m.Y == 'r' && p.in&^p.badIn&kID == 0 {
			return ErrID
		}
		if m.Y == 'e' && (p.top&kE == 0 || p.badTop&kE != 0) {
			return ErrErr
		}
		if p.badTop&kV != 0 {
			m.Version = nil
		}
		if p.badTop&kIP != 0 {
			m.IP = netip.AddrPort{}
		}
		if m.Y == 'r' {
			m.Error = ErrorReply{}
		} else {
			m.Response = Response{}
		}
		m.Query = Query{}
		return 0
	}
	return ErrY
}

// The functions below read one value of any type, and return false if it does not have the
// type that they expect. They do not report syntax errors; the scanner's Err does, at the
// end of the dictionary.

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

// flag reads an integer that is 1 if the flag is set. BEP 33: if the value of seed is not
// 1, the announcing node is a peer. The same holds for noseed, scrape and BEP 43's ro.
func (p *parser) flag() (set, good bool) {
	n, good := p.int()
	return n == 1, good
}

func (p *parser) id(dst *id.ID) bool {
	s, ok := p.str()
	return ok && copy(dst[:], s) == len(s) && len(s) == id.Len
}

// address reads BEP 42's "ip": a compact address and port; some clients leave
// out the port.
func address(b []byte) (netip.AddrPort, bool) {
	a := addrs.Parse(b)
	if !a.IsValid() {
		a = netip.AddrPortFrom(addrs.ParseIP(b), 0)
	}
	return a, a.IsValid()
}
